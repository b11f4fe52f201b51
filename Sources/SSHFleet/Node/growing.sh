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
    python=$(command -v python3 || command -v /usr/libexec/platform-python)
    # Closed for good: a shell would keep what is closed for one command alone, and standard output with it.
    if [ -n "$python" ]; then
        # shellcheck disable=SC2094
        { exec 3<&- 7>&- 8>&- 9>&- && exec "$python" -I -S -c "$digest_program" "$p_algo" "$sum" "$p_size" <&6; } >"$sum" &
    else
        { exec 3<&- 7>&- 8>&- 9>&- && follow; } | { exec 3<&- 6<&- 7>&- 8>&- 9>&- && $digest_tool; } >"$sum" &
    fi
    digester=$!
    exec 6<&-
} 2>/dev/null

# Of either: asked for its length before it is read, so that what comes meanwhile is read in the next round.
follow() {
    while [ -e "$sum" ]; do
        length=$(stat -L -c %s /proc/self/fd/6)
        cat <&6 || return
        [ "$length" -lt "$p_size" ] || return
        sleep 0.4 || sleep 1
    done
}

# The same in one process where there is Python: half the work, for nothing goes through a pipe. Indented by tabs, because
# spaces at the beginning of a line stay with the sender.
digest_program='
import hashlib, os, sys, time
digest, sum, size = hashlib.new(sys.argv[1]), sys.argv[2], int(sys.argv[3])
piece = memoryview(bytearray(1 << 17))
while os.path.exists(sum):
	length = os.fstat(0).st_size
	for count in iter(lambda: os.readv(0, [piece]), 0):
		digest.update(piece[:count])
	if length >= size:
		print(digest.hexdigest())
		break
	time.sleep(0.2)
'

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
