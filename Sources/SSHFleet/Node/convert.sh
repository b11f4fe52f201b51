#!/bin/sh
# The raw file that Nova would make of the image, by the qemu-img that Nova would use.

keys="$keys convert_from" p_convert_from=''

check_conversion() {
    case $p_convert_from in
        '') return ;;
        qcow2 | vmdk | vpc | vhdx | vdi) ;;
        *) die bad_parameter "convert_from is none of qcow2 vmdk vpc vhdx vdi" ;;
    esac
    [ "$p_raw_size" -gt 0 ] || die bad_parameter "no raw_size for the conversion"
    [ -n "$p_proof_ranges" ] || die bad_parameter "no proof_ranges: qemu-img gets nothing that nobody has looked at"
    check_container
    find_copy_user
}

# Sets `made`. The temporary stays where this fails: its bytes are good, and the next try need not fetch them again.
convert() {
    rm -f "$raw"
    new_file "$raw"
    free=$(free_bytes .)
    report=$(as_copy_user sh -c "$qemu_program" forecache-convert "$p_cache_dir/.forecache" "$part" "$raw" "$p_convert_from" \
        "$p_raw_size" "$((free - p_keep_free))" <&3 2>&1 3<&- 9>&- | shorten)
    read_report
    case $said in
        *'=exit 0'*) ;;
        *)
            rm -f "$raw"
            explain_failure
            ;;
    esac
    look_at_raw
    made=$raw
}

explain_failure() {
    case $said in
        *=no_tool*) die no_tool "qemu-img is not installed where $p_copy_user would run it" ;;
        *=needs*) no_room "${said##*=needs }" ;;
        *=enter*) die io "$p_copy_user cannot enter $p_cache_dir/.forecache" ;;
        *'=exit 1'[2-9][0-9]*) die killed "qemu-img was ended by signal $((${said##*=exit } - 128)): $text" ;;
        *=exit*) ;;
        *) cannot_run "$text" ;;
    esac
    case $text in
        *'ermission denied'*) die io "qemu-img: $text" ;;
        *'annot allocate memory'* | *'ailed to create thread'*) die killed "qemu-img had too little memory: $text" ;;
    esac
    die "$(kind_of_text convert "$text")" "qemu-img: $text"
}

look_at_raw() {
    if [ -L "$raw" ] || [ ! -f "$raw" ] || [ "$(stat -c %h "$raw")" != 1 ]; then
        rm -f "$raw"
        die io "$raw was replaced during the conversion"
    fi
    bytes=$(stat -c %s "$raw")
    form=$(form_of "$raw")
    # QEMU counts in sectors.
    if [ $((bytes - p_raw_size)) -gt 511 ] || [ $((p_raw_size - bytes)) -gt 511 ]; then
        rm -f "$raw"
        die convert "the raw file has $bytes bytes and should have $p_raw_size"
    elif [ -n "$form" ]; then
        rm -f "$raw"
        die convert "the disk in the image begins like $form, so that its raw file would not be taken for raw"
    fi
}

# What QEMU would take the file for, were it to guess; nothing for a raw one.
form_of() {
    begin=$(head -c 68 "$1" | od -v -A n -t x1 | tr -d ' \n')
    case $begin in
        514649fb*) echo qcow2 ;;
        51454400*) echo qed ;;
        4b444d56* | 434f5744* | 23204469736b2044*) echo vmdk ;;
        636f6e6563746978*) echo vhd ;;
        7668647866696c65*) echo vhdx ;;
        4c554b53babe*) echo luks ;;
        576974686f7574467265655370616365* | 576974686f75467265537061*) echo parallels ;;
        426f636873205669727475616c204844*) echo bochs ;;
        23212f62696e2f73680a2356322e3020466f726d61740a6d6f6470726f626520636c6f6f70*) echo cloop ;;
        *7f10dabe) [ "${#begin}" != 136 ] || echo vdi ;;
        23* | 20* | 76657273696f6e3d*) form_of_text "$1" ;;
    esac
}

# A VMDK can be text. QEMU's rule for it: comments and blank lines, then the version. No tool is given a NUL or a byte beyond ASCII.
form_of_text() {
    head -c 2048 "$1" | tr -d '\r' | tr -c '\n -~' '?' | sed -n -e '/^#/d' -e '/^  *$/d' -e 's/^version=[123]$/vmdk/p' -e q
}

# What the copy user runs. Ending `podman exec` does not end what runs inside, but closes its standard input: so this watches its
# own, and acts a second after it: where both are on one host, the end of a tool must not be told as its failure. Limits: the raw file and no more; processor time for 10 MiB a second; address space for the threads and caches of qemu.
# Where the whole disk has no room, what the image holds of it is counted. `measure -O raw` would name the whole disk (the length of
# the file); for a qcow2 it counts what is data, and the tables of a qcow2 are what is left of `fully-allocated` beyond the disk, which
# is rounded to clusters there. A qemu-img before 2.10 cannot tell, nor can any of a vhdx: then it is the whole disk.
# shellcheck disable=SC2016
qemu_program='
cd "$1" 2>/dev/null || { echo =enter; exit 1; }
part=$2 raw=$3 format=$4 size=$5 room=$6
command -v qemu-img >/dev/null || { echo =no_tool; exit 1; }
exec 3<&0 4>&1 2>/dev/null
ulimit -c 0
ulimit -f $((size / 512 + 128))
ulimit -t $((300 + size / 10485760))
ulimit -v 2097152
run_qemu() {
    MALLOC_ARENA_MAX=2 qemu-img "$@" </dev/null 3<&- 4>&- &
    running=$!
    (while IFS= read -r _; do :; done; sleep 1; kill "$running") <&3 >/dev/null 4>&- &
    input=$!
    wait "$running"
    rc=$?
    kill "$input"
    wait
}
needed=$size
if [ "$size" -gt "$room" ]; then
    measured=$(run_qemu measure --output=json -f "$format" -O qcow2 "./$part" | head -c 1000)
    required=${measured#*\"required\": }
    required=${required%%[!0-9]*}
    whole=${measured#*\"fully-allocated\": }
    whole=${whole%%[!0-9]*}
    if [ "$required" -gt 0 ] && [ "$whole" -ge "$required" ]; then
        held=$((required - whole + size + 65536))
        if [ "$held" -ge 0 ] && [ "$held" -lt "$size" ]; then needed=$held; fi
    fi
fi
[ "$needed" -le "$room" ] || { echo "=needs $needed"; exit 1; }
run_qemu convert -f "$format" -O raw -S 4k "./$part" "./$raw" >/dev/null 2>&4
printf "\n=exit %s\n" "$rc"
'
