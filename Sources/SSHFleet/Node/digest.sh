#!/bin/sh
# That the bytes which came are the image's.

keys="$keys proof_ranges proof_digest" p_proof_ranges='' p_proof_digest=''

check_proof() {
    [ -n "$p_proof_ranges$p_proof_digest" ] || return 0
    need_hex proof_digest "$p_proof_digest" 64
    count=0
    each_range "$p_proof_ranges" check_proof_range
}

check_proof_range() {
    need_number "an offset in proof_ranges" "$1"
    need_number "a length in proof_ranges" "$2"
    count=$((count + 1))
    if [ "$count" -gt 100 ] || [ "$2" -gt 4194304 ] || [ $(($1 + $2)) -gt "$p_size" ]; then
        die bad_parameter "proof_ranges are too many, too long, or beyond the image's end"
    fi
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
    proof=$(each_range "$p_proof_ranges" proof_bytes | $digest_tool) || die io "cannot read $part"
    [ "${proof%% *}" != "$p_proof_digest" ] || return 0
    rm -f "$part"
    die digest_mismatch "not the bytes that were inspected, though $p_algo is right" ",\"digest\":\"$found\""
}

proof_bytes() {
    bytes_of "$1" "$2" "$part"
}
