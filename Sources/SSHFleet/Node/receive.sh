#!/bin/sh
# Bytes from the controller itself, on standard input behind the parameters, into the temporary: for nodes without a way to Glance.
# Parts: common directory image growing lock supervise transfer

perform() {
    check_transfer
    prepare
    exec 2>/dev/null
    start_progress
    started "$have"
    if [ "$have" -lt "$p_size" ]; then
        start_digest
        # A host that went away without a word is found by sshd, which then ends what we read from.
        text=$(take $((p_size - have)) 2>&1) || received_too_little "$(kind_of_text io "$text")" "$text"
    fi
    bytes=$(stat -c %s "$part") || received_too_little io "the temporary $part is gone"
    [ "$bytes" = "$p_size" ] || received_too_little interrupted "standard input ended after $bytes of $p_size bytes"
    let_go
    done_transfer ''
}

received_too_little() {
    let_go
    die "$1" "$2"
}
