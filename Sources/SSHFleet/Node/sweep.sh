#!/bin/sh
# Our own stale temporaries go.
# Parts: common directory listing lock

keys="$keys older_than" p_older_than=''

perform() {
    need_number older_than "$p_older_than"
    swept=0
    if ! enter look; then
        printf '{"event":"done","swept":0}\n'
        return
    fi
    list=$(
        for kind in part raw sum lock "$hex16.slice"; do list_files "$hex40.$hex16.$kind"; done
        list_directories "$hex40.$hex16.lockdir"
    )
    now=$(date +%s)
    rest=$list$nl
    while [ -n "$rest" ]; do
        line=${rest%%"$nl"*}
        rest=${rest#*"$nl"}
        # name bytes blocks mtime
        case $line in
            *' '*' '*' '*) ;;
            *) continue ;;
        esac
        # A time to come is from before the clock was set back.
        age=$((now - ${line##* }))
        file=${line%% *}
        part=${file%.*}.part
        [ "${age#-}" -ge "$p_older_than" ] || is_useless "$file" || continue
        bytes=${line#* }
        bytes=${bytes%% *}
        case $file in
            *.slice) (sweep_part "$file" "${file%.*.*}") || continue ;;
            *.part | *.raw | *.sum) (sweep_part "$file") || continue ;;
            *) (sweep_lock "$file") || continue ;;
        esac
        swept=$((swept + 1))
        printf '{"event":"swept","name":"%s","bytes":%s}\n' "$file" "$bytes"
    done
    printf '{"event":"done","swept":%s}\n' "$swept"
}

# Of use to nobody, however young: the base file by another name, whose maker had no time to tidy up, and the digest of what is gone.
is_useless() {
    case $1 in
        *.sum) [ ! -e "$part" ] ;;
        *.part | *.raw) links=$(stat -c %h "$1" 2>/dev/null) && [ "$links" -gt 1 ] ;;
        *) false ;;
    esac
}

# In a subshell, whose end frees the lock.
sweep_part() {
    hold "${2:-${1%.*}}" >/dev/null || return 1
    rm -f "$1"
    let_go
    [ ! -e "$1" ]
}

# A lock whose temporary is still there stays with it.
sweep_lock() {
    [ ! -e "$part" ] && [ -e "$1" ] && hold "${1%.*}" >/dev/null || return 1
    let_go
    rm -rf "$1"
}
