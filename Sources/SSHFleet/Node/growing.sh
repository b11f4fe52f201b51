#!/bin/sh
# The digest of a temporary while it still grows, so that publish need not read all of it again.

# Reads what comes into this very file, and ends once all of it has come, or once nobody wants the result any longer: whoever
# takes the sum away ends it. Nothing depends on it: where it fails, publish reads the file itself.
start_digest() {
    find_digest_tool "$p_algo"
    command exec 6<"$part" || return 0
    digested=$(stat -L -c %i /proc/self/fd/6)
    unfinished=$sum
    rm -f "$sum"
    : >"$sum"
    # Closed for good: a shell would keep what is closed for one command alone, and standard output with it.
    { exec 3<&- 7>&- 8>&- 9>&- && follow; } | { exec 3<&- 6<&- 7>&- 8>&- 9>&- && $digest_tool; } >"$sum" &
    digester=$!
    exec 6<&-
} 2>/dev/null

# Asked for its length before it is read: what comes meanwhile is read in the next round.
follow() {
    while [ -e "$sum" ]; do
        length=$(stat -L -c %s /proc/self/fd/6)
        cat <&6 || return
        [ "$length" -lt "$p_size" ] || return
        sleep 0.4 || sleep 1
    done
}

# Writes down what the digest is of, once all has come.
end_digest() {
    [ -n "$digester" ] || return 0
    [ "$(stat -c %i "$part")" = "$digested" ] || rm -f "$sum"
    wait "$digester"
    digester='' unfinished=''
    read -r line <"$sum" || line=
    if [ -n "$line" ]; then
        printf '%s %s\n' "$(state_of_part)" "${line%% *}" >"$sum"
    else
        rm -f "$sum"
    fi
} 2>/dev/null
