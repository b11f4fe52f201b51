#!/bin/sh
# Several ranged downloads side by side, where one does not fill the link. The temporary grows at its end only, as its followers
# count on: each stream writes slices, files of their own, which are joined to it in their order.

keys="$keys streams trial near"
p_streams=1 p_trial=0 p_near=20000
largest_slice=16777216 smallest_slice=65536
# How long the first stream goes on alone, to be measured; curl counts connecting as well. Where others come anyway, it need not be
# known so well.
alone_seconds() {
    if [ "$p_trial" = 1 ]; then printf 4; else printf 2; fi
}

check_streams() {
    need_number streams "$p_streams"
    if [ "$p_streams" -lt 1 ] || [ "$p_streams" -gt 16 ]; then die bad_parameter "streams is not from 1 to 16"; fi
    case $p_trial in 0 | 1) ;; *) die bad_parameter "trial is neither 0 nor 1" ;; esac
    need_number near "$p_near"
}

# Whether an answer takes less than `near` microseconds. One stream fills a gigabit on such a way, with a window of a few megabytes as any
# kernel has: a trial would cost more than it can bring. Not the time to connect: something nearer may take connections for the server.
# Asked without the token, at the server's root, and for no body: whose server answers there with one may not mean a small one.
is_near() {
    server=${p_url#*://}
    { curl_line url "${p_url%%://*}://${server%%/*}/" && curl_trust && printf 'max-time = 2\n'; } |
        curl -q -s -I -o /dev/null --globoff --proto '=http,https' --noproxy '*' -w '%{time_pretransfer} %{time_starttransfer}\n' --config - \
            2>/dev/null 3<&- 8>&- 9>&- |
        awk -v near="$p_near" '{ is_near = $2 > 0 && ($2 - $1) * 1000000 < near } END { exit !is_near }'
}

# Sets `slice` to the name of the slice that begins at $1.
name_slice() {
    slice=$(printf '%s.%016x.slice' "$stem" "$1")
}

# What an earlier try left: the slice that goes on where the temporary ends is joined to it, whole or not; the others are dropped.
join_left_slices() {
    name_slice "$have"
    while [ -f "$slice" ] && [ ! -L "$slice" ]; do
        more=$(stat -c %s "$slice")
        if [ "$more" = 0 ] || [ $((have + more)) -gt "$p_size" ]; then break; fi
        cat "$slice" >>"$part" 2>/dev/null || break
        rm -f "$slice"
        have=$((have + more))
        name_slice "$have"
    done
    rm -f "$stem".*.slice
    have=$(stat -c %s "$part") || die io "the temporary $part is gone"
}

# From `at` on, for as long as it is worth it; `rate` is what one stream brought, in bytes a second. With `trial` their number is
# doubled while the sum grows by more than a fifth by it. Whatever goes wrong is left to the single stream that comes after.
fetch_in_streams() {
    best=$rate most=$rate streams=1 settled=$((1 - p_trial))
    [ "$settled" = 0 ] || streams=$p_streams
    # One stream that brings what it may bring leaves nothing to gain.
    [ "$p_rate_limit" = 0 ] || [ $((rate * 10)) -lt $((p_rate_limit * 9)) ] || return 0
    while [ "$at" -lt "$p_size" ]; do
        if [ "$settled" = 0 ]; then
            # Too little left for a trial to pay.
            [ $(((p_size - at) / (best + 1))) -ge 10 ] || settled=1
            kept=$streams
            [ "$settled" = 1 ] || streams=$((streams * 2))
            [ "$streams" -lt "$p_streams" ] || streams=$p_streams
        fi
        if [ "$streams" = 1 ] || ! has_room_for_slices; then return 0; fi
        fetch_round || return 0
        if [ "$settled" = 1 ]; then
            # Also down: a slice is to take its two seconds on a link that others use, too. But slowly: what each slice costs besides counts more then.
            [ "$rate" -le "$most" ] || most=$rate
            [ "$rate" -ge $((most / 4)) ] || most=$((most / 2))
            best=$rate
            [ "$best" -ge $((most / 4)) ] || best=$((most / 4))
        elif [ $((rate * 10)) -gt $((best * 12)) ]; then
            best=$rate
            [ "$streams" -lt "$p_streams" ] || settled=1
        else
            streams=$kept settled=1
        fi
    done
}

has_room_for_slices() {
    [ $(($(free_bytes .) - (p_size - at) - raw_least - largest_slice)) -ge "$p_keep_free" ]
}

# Four slices a stream, each of a second in a trial and of two later, if all streams together brought no more than was had before: what
# waits for its turn to be joined is not to make the followers wait. Sets `at` and `rate`; false where a slice failed.
fetch_round() {
    length=$((best * (settled + 1) / streams))
    [ "$length" -le "$largest_slice" ] || length=$largest_slice
    [ $((length * streams * 4)) -le $((p_size - at)) ] || length=$(((p_size - at) / (streams * 4) + 1))
    [ "$length" -ge "$smallest_slice" ] || length=$smallest_slice
    first=$at
    last=$((first + length * streams * 4))
    [ "$last" -le "$p_size" ] || last=$p_size
    start=$(centiseconds)
    {
        number=0
        while [ "$number" -lt "$streams" ]; do
            fetch_slices "$number" &
            number=$((number + 1))
        done
        wait
    } | join_slices
    at=$(stat -c %s "$part") || die io "the temporary $part is gone"
    rate=$(((at - first) * 100 / ($(centiseconds) - start + 1)))
    rm -f "$stem".*.slice
    # curl's own limits hold the streams back only roughly.
    [ "$p_rate_limit" = 0 ] || wait_until $((start + (at - first) * 100 / p_rate_limit))
    [ "$at" -eq "$last" ]
}

# Stream $1, counted from 0: its slices over one connection, each told of as it ends: on standard error, as curl keeps what it says on
# standard output to itself until it ends. A curl before 7.63 complains, and does just that. Line by line, because curl writes word by word.
fetch_slices() {
    ulimit -f $((length / 512 + 1))
    slices_config "$1" | curl -q --fail-early --config - 2>&1 3<&- 8>&- 9>&- | while read -r line; do printf '%s\n' "$line"; done
}

slices_config() {
    from=$((first + $1 * length)) next=''
    while [ "$from" -lt "$last" ]; do
        to=$((from + length))
        [ "$to" -le "$last" ] || to=$last
        name_slice "$from"
        [ -z "$next" ] || printf 'next\n'
        curl_options
        printf 'silent\ngloboff\nfail\nproto = "=http,https"\nnoproxy = "*"\noutput = "%s"\nrange = "%s-%s"\n' "$slice" "$from" "$((to - 1))"
        printf 'write-out = "%%{stderr}%%{http_code} %%{size_download} %s %s\\n"\n' "$from" "$to"
        [ "$p_rate_limit" = 0 ] || printf 'limit-rate = %s\n' "$((p_rate_limit / streams + 1))"
        next=yes
        from=$((from + length * streams))
    done
}

# Joins what is whole as soon as its turn comes. After the first slice that is not, nothing is joined any more.
join_slices() {
    turn=$first whole=' '
    while read -r code bytes from to; do
        if [ "$code" != 206 ] || [ "$bytes" != "$((to - from))" ]; then continue; fi
        whole="$whole$from:$to "
        while :; do
            case $whole in *" $turn:"*) ;; *) break ;; esac
            to=${whole#*" $turn:"}
            to=${to%% *}
            name_slice "$turn"
            is_written "$slice" $((to - turn)) || break 2
            cat "$slice" >>"$part" 2>/dev/null || break 2
            rm -f "$slice"
            whole=${whole%%" $turn:"*}" "${whole#*" $turn:$to "}
            turn=$to
        done
    done
    cat >/dev/null
}

# curl tells of a slice just before it closes it.
is_written() {
    tries=0
    until [ "$(stat -c %s "$1" 2>/dev/null)" = "$2" ]; do
        tries=$((tries + 1))
        [ "$tries" -le 50 ] || return 1
        sleep 0.1 || sleep 1
    done
}
