#!/bin/sh
# Parts of a base file, for a look at what it is.
# Parts: common

keys="$keys name ranges" p_name='' p_ranges=''

perform() {
    need_hex name "$p_name" 40
    command -v base64 >/dev/null || die no_tool "base64 is not installed"
    cd -P "$p_cache_dir" 2>/dev/null || die io "cannot enter $p_cache_dir"
    [ ! -L "$p_name" ] || die io "the base file $p_name is a symbolic link"
    [ -f "$p_name" ] || die io "there is no base file $p_name"
    { command exec 5<"$p_name"; } 2>/dev/null || die io "cannot read the base file $p_name"
    # What was opened counts: whoever owns the directory could have put another file at the name meanwhile.
    if [ ! -f /proc/self/fd/5 ] || [ "$(stat -c '%d:%i' "$p_name")" != "$(stat -L -c '%d:%i' /proc/self/fd/5)" ]; then
        die io "the base file $p_name was replaced while it was opened"
    fi
    size=$(stat -L -c %s /proc/self/fd/5)
    all=0 count=0
    each_range "$p_ranges" check_range
    each_range "$p_ranges" send_range
    printf '{"event":"done","bytes":%s}\n' "$size"
}

# At most 4 MiB in all, each range inside the file.
check_range() {
    need_number "an offset in ranges" "$1"
    need_number "a length in ranges" "$2"
    count=$((count + 1)) all=$((all + $2))
    if [ "$2" -eq 0 ] || [ "$count" -gt 64 ] || [ "$all" -gt 4194304 ]; then
        die bad_parameter "ranges are too many, empty or too long"
    fi
    [ $(($1 + $2)) -le "$size" ] || die truncated "the base file $p_name has only $size bytes"
}

send_range() {
    printf '{"event":"range","offset":%s,"bytes":%s}\n' "$1" "$2"
    # 64 columns or 76: a line of the report is some thousand either way.
    bytes_of "$1" "$2" /proc/self/fd/5 | base64 | awk '
        { text = text $0 }
        NR % 150 == 0 { printf "{\"event\":\"data\",\"data\":\"%s\"}\n", text; text = "" }
        END { if (text != "") printf "{\"event\":\"data\",\"data\":\"%s\"}\n", text }'
}
