#!/bin/sh
# Work that takes long: watched, ended with its controller, and telling how far it is.

worker=''

# Runs "$@" in a child that ends with the last line of output, and ends it with all of its own children when a signal
# comes or standard input ends. We wait for it and do nothing else, because a shell acts on signals only in `wait`.
supervise() {
    # Some shells would tell here of each child that a signal ended; what matters of errors goes into `report`.
    exec 3<&0 2>/dev/null
    trap : PIPE
    trap interrupted TERM HUP INT
    "$@" &
    worker=$!
    watch_input >/dev/null 9>&- &
    watcher=$!
    wait "$worker"
    rc=$?
    trap '' TERM HUP INT
    # KILL: any other signal is lost on a shell that has only just been forked and still has our traps.
    kill -s KILL "$watcher"
    wait "$watcher"
    let_go
    [ "$rc" -gt 1 ] || exit "$rc"
    end_children "$$"
    rm -f "$raw"
    die interrupted "the transfer was killed (exit code $rc)"
}

watch_input() {
    while IFS= read -r _; do :; done <&3
    kill -TERM "$$" 2>/dev/null || end_children "$worker"
}

interrupted() {
    trap '' TERM HUP INT
    end_children "$$"
    rm -f "$raw"
    let_go
    die interrupted "a signal, or the end of standard input"
}

# PPid is read from `status`, where the kernel escapes the process's own choice of name; in `stat` it could forge lines.
# The worker stands still meanwhile: it must not take the end of its tool for a failure and tell of that as well.
end_children() {
    kill -s STOP "$worker" 2>/dev/null
    for signal in TERM KILL; do
        family=$(grep -s '^PPid:' /proc/[0-9]*/status | awk -F '[/:\t ]+' -v root="$1" '
            { parent[$3] = $NF }
            END { for (pid in parent) { up = pid
                  for (i = 0; i < 50 && up in parent; i++) { up = parent[up]; if (up == root) { print pid; break } } } }')
        [ "$1" = "$$" ] || family="$family $1"
        # shellcheck disable=SC2086
        [ -z "$family" ] || { kill -s "$signal" $family; kill -s CONT $family; } 2>/dev/null
        wait "$worker"
    done
}

# The length of the temporary each second; ends with TERM, or with us, and never leaves its `sleep` behind.
report_progress() {
    nap=
    exec 3<&- 9>&-
    trap 'kill $nap 2>/dev/null; exit 0' TERM
    while kill -0 "$$"; do
        sleep 1 >/dev/null 2>&1 &
        nap=$!
        wait "$nap" 2>/dev/null
        bytes=$(stat -c %s "$part" 2>/dev/null) || continue
        # The raw file has its length from the start, so what it occupies tells how far its making is.
        [ -e "$raw" ] && blocks=$(stat -c %b "$raw" 2>/dev/null) && bytes="$bytes,\"converted\":$((blocks * 512))"
        printf '{"event":"progress","bytes":%s}\n' "$bytes"
    done
}

start_progress() {
    began=$(date +%s)
    report_progress 2>/dev/null &
    ticker=$!
}

# The first 4000 bytes of what comes, and the last: what we ourselves have to say stands at the end. (Not head: BusyBox's takes more than it gives.)
shorten() {
    exec 3<&- 9>&-
    dd bs=4000 count=1 iflag=fullblock status=none && tail -c 400
}

# Takes `report` apart into status, curl (exit code), range, rate (bytes a second), said (our other lines) and text (foreign lines).
# shellcheck disable=SC2034
read_report() {
    status='' curl=0 range='' said='' text='' rate=0
    rest=$report$nl
    while [ -n "$rest" ]; do
        line=${rest%%"$nl"*}
        rest=${rest#*"$nl"}
        case $line in
            '=status '*) status=${line#=status } ;;
            '=curl '*) curl=${line#=curl } ;;
            '=range '*) said="$said =range" range=${line#=range } ;;
            '=rate '*) rate=${line#=rate } ;;
            =restarted) offset=0 ;;
            =*) said="$said $line" ;;
            ?*) text="$text$line " ;;
        esac
    done
}
