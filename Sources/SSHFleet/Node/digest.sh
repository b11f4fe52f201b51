#!/bin/sh
# That the bytes which came are the image's.

keys="$keys proof_ranges proof_digest" p_proof_ranges='' p_proof_digest=''

check_proof() {
    [ -n "$p_proof_ranges$p_proof_digest" ] || return 0
    need_hex proof_digest "$p_proof_digest" 64
    rest=$p_proof_ranges, count=0
    while [ -n "$rest" ]; do
        range=${rest%%,*} rest=${rest#*,} count=$((count + 1))
        need_number "an offset in proof_ranges" "${range%%+*}"
        need_number "a length in proof_ranges" "${range#*+}"
        if [ "$count" -gt 100 ] || [ "${range#*+}" -gt 4194304 ] || [ $((${range%%+*} + ${range#*+})) -gt "$p_size" ]; then
            die bad_parameter "proof_ranges are too many, too long, or beyond the image's end"
        fi
    done
}

# Sets `found`; where that is another digest than the image's, the temporary goes. The transfer may have left its digest, of this
# very file as it was then; only a good one is believed.
verify() {
    found=$p_digest line=''
    [ ! -f "$sum" ] || [ -L "$sum" ] || read -r line <"$sum"
    [ "$line" != "$(state_of_part) $p_digest" ] || return 0
    find_digest_tool "$p_algo"
    found=$($digest_tool <"$part") || die io "cannot read $part"
    found=${found%% *}
    case $found in '' | *[!0-9a-f]*) die io "no digest came from the tool for $p_algo" ;; esac
    [ "$found" != "$p_digest" ] || return 0
    rm -f "$part"
    die digest_mismatch "$p_algo is $found and should be $p_digest" ",\"digest\":\"$found\""
}

# The controller has looked at these ranges of the image as Glance gave them: what it saw holds here only if they are the same.
prove() {
    [ -n "$p_proof_ranges" ] || return 0
    find_digest_tool sha256
    proof=$(proof_bytes | $digest_tool) || die io "cannot read $part"
    [ "${proof%% *}" != "$p_proof_digest" ] || return 0
    rm -f "$part"
    die digest_mismatch "not the bytes that were inspected, though $p_algo is right" ",\"digest\":\"$found\""
}

proof_bytes() {
    rest=$p_proof_ranges,
    while [ -n "$rest" ]; do
        range=${rest%%,*} rest=${rest#*,}
        tail -c "+$((${range%%+*} + 1))" "$part" 2>/dev/null | head -c "${range#*+}"
    done
}

# Its time of change cannot be set back, as that of modification can.
state_of_part() {
    stat -c '%i-%s-%y-%z' "$part" | tr -d ' '
}

# Sets `digest_tool`. openssl first: it is up to four times faster where the processor has instructions for it. Asked before,
# because one that must not do md5 says so only then.
find_digest_tool() {
    if openssl dgst "-$1" -r </dev/null >/dev/null 2>&1; then
        digest_tool="openssl dgst -$1 -r"
    elif command -v "$1sum" >/dev/null; then
        digest_tool=$1sum
    else
        die no_tool "neither openssl nor $1sum is installed"
    fi
}
