#!/bin/sh
# From a temporary to a base file.
# Parts: common directory image digest container convert lock supervise

keys="$keys keep_part" p_keep_part=0

perform() {
    check_image
    check_proof
    check_conversion
    case $p_keep_part in 0 | 1) ;; *) die bad_parameter "keep_part is neither 0 nor 1" ;; esac
    enter make
    hold "$stem" || die busy "another forecache is at work on $part"
    supervise publish_worker
}

publish_worker() {
    start_progress
    ! base_exists || published_before
    look_at_part
    [ -e "$part" ] || die truncated "there is no temporary $part"
    [ "$have" -ge "$p_size" ] || die truncated "the temporary has $have of $p_size bytes"
    if [ "$have" -gt "$p_size" ]; then
        rm -f "$part"
        die too_long "the temporary has $have bytes, the image $p_size"
    fi
    verify
    prove
    made=$part
    [ -z "$p_convert_from" ] || convert
    finish "$made"
    if ! report=$(link_file "$made" 2>&1); then
        rm -f "$raw"
        ! base_exists || published_before
        die "$(kind_of_text io "$report")" "$report"
    fi
    drop_part
    sync .. . 2>/dev/null
    published false "\"$found\""
}

# As Nova's own file, and on the disk before it has a name that Nova knows.
finish() {
    chown -h "$p_owner" "$1" 2>/dev/null || [ "$(stat -c '%u:%g' "$1")" = "$p_owner" ] || die io "cannot give $1 to $p_owner"
    chmod 0644 "$1" || die io "cannot chmod $1"
    # Not restorecon: where Nova's directories were labelled for containers, its rules would take the label away again. The
    # directory's own label is what a file that Nova makes there gets.
    if command -v selinuxenabled >/dev/null && selinuxenabled; then
        chcon --reference=.. "$1" 2>/dev/null
    fi
    touch -c "$1" || die io "cannot set the time of $1"
    sync "$1" 2>/dev/null || die io "cannot write $1 out to the disk"
}

# link(1) takes the name as it is; ln would go into a directory, should one or a link to one appear there.
link_file() {
    if command -v link >/dev/null; then
        link "$1" "../$p_name"
    else
        ln "$1" "../$p_name"
    fi
}

# Others of the site may still be copying the image's own bytes, which a converted base file does not have.
drop_part() {
    rm -f "$raw" "$sum"
    if [ -z "$p_convert_from" ] || [ "$p_keep_part" = 0 ]; then rm -f "$part"; fi
}

published_before() {
    report=$(touch -c -h "../$p_name" 2>&1) || die io "$report"
    drop_part
    published true null
}

published() {
    stop_progress
    printf '{"event":"done","existing":%s,"digest":%s,"mtime":%s,"seconds":%s,"bytes":%s}\n' \
        "$1" "$2" "$(stat -c %Y "../$p_name")" "$(($(date +%s) - began))" "$(stat -c %s "../$p_name")"
    exit 0
}
