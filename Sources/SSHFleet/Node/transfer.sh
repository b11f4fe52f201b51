#!/bin/sh
# What fetch and copy have in common.

keys="$keys rate_limit connect_timeout stall_timeout"
p_rate_limit=0 p_connect_timeout=10 p_stall_timeout=60

check_transfer() {
    check_image
    need_number rate_limit "$p_rate_limit"
    need_number connect_timeout "$p_connect_timeout"
    need_number stall_timeout "$p_stall_timeout"
    if [ "$p_connect_timeout" = 0 ] || [ "$p_stall_timeout" = 0 ]; then die bad_parameter "a timeout of 0"; fi
    # Before the bytes are here, nobody knows how much of its disk an image holds; it seldom is less than the image takes.
    raw_least=$p_raw_size
    [ "$p_raw_size" -le "$p_size" ] || raw_least=$p_size
}

# Everything up to the first byte.
prepare() {
    enter make
    hold "$stem" || die busy "another forecache is at work on $part"
    if base_exists; then
        rm -f "$part"
        let_go
        printf '{"event":"done","existing":true,"bytes":0,"offset":0,"seconds":0}\n'
        exit 0
    fi
    look_at_part
    if [ "$have" -gt "$p_size" ]; then
        rm -f "$part"
        have=0
    fi
    # A node that is short of space is left as it was: no lock and no empty temporary for the sweep to find.
    (need_free $((p_size - have + raw_least))) || { let_go; exit 1; }
    [ -e "$part" ] || new_file "$part"
}

started() {
    offset=$1
    printf '{"event":"started","offset":%s}\n' "$offset"
}

done_transfer() {
    end_digest
    stop_progress
    printf '{"event":"done","existing":false,"bytes":%s,"offset":%s,"seconds":%s%s}\n' \
        "$((p_size - offset))" "$offset" "$(($(date +%s) - began))" "$1"
    exit 0
}

# Up to $1 bytes of standard input to the end of the temporary. With a limit a part of them at a time, each when it is due: what
# comes faster waits in the pipe and so with its sender. (curl's own limit lets megabytes through before it bites.)
take() {
    if [ "$p_rate_limit" = 0 ]; then
        head -c "$1" >>"$part"
        return
    fi
    taken=0 before=$(stat -c %s "$part") first_taken=$(centiseconds)
    while [ "$taken" -lt "$1" ]; do
        piece=$((p_rate_limit / 4 + 1))
        [ "$piece" -le $(($1 - taken)) ] || piece=$(($1 - taken))
        # Not head: BusyBox's takes more out of the pipe than it writes. Small blocks, so that slow bytes are written as they come.
        dd bs=64k count="$piece" iflag=count_bytes,fullblock status=none >>"$part" || return 1
        taken=$((taken + piece))
        [ $(($(stat -c %s "$part") - before)) -ge "$taken" ] || return 0
        wait_until $((first_taken + taken * 100 / p_rate_limit))
    done
}

# The time since the node started, in hundredths of a second.
centiseconds() {
    read -r uptime _ </proc/uptime
    printf '%s' "${uptime%.*}${uptime#*.}"
}

wait_until() {
    pause=$(($1 - $(centiseconds)))
    [ "$pause" -le 0 ] || sleep "$((pause / 100)).$((pause % 100 / 10))$((pause % 10))" 2>/dev/null || sleep 1
}
