#!/bin/sh
# Base files are young again.
# Parts: common

# A thousand names a round: one touch and one stat for all of them.
perform() {
    here=no touched=0 missing=0 trouble='' count=0 ended=no
    [ ! -d "$p_cache_dir" ] || cd -P "$p_cache_dir" 2>/dev/null || die io "cannot enter $p_cache_dir"
    [ ! -d "$p_cache_dir" ] || here=yes
    names='' waiting=0
    while IFS= read -r line; do
        if [ "$line" = . ]; then
            ended=yes
            break
        fi
        need_hex "a name" "$line" 40
        count=$((count + 1))
        [ "$count" -le 100000 ] || die bad_parameter "more than 100000 names"
        if [ "$here" = yes ] && [ -f "$line" ] && [ ! -L "$line" ]; then
            names="$names $line" waiting=$((waiting + 1))
            [ "$waiting" -lt 1000 ] || touch_round
        else
            printf '{"event":"missing","name":"%s"}\n' "$line"
            missing=$((missing + 1))
        fi
    done
    [ "$waiting" -eq 0 ] || touch_round
    [ "$ended" = yes ] || die bad_parameter "the list ended before the line that ends it"
    [ -z "$trouble" ] || die io "$trouble"
    printf '{"event":"done","touched":%s,"missing":%s}\n' "$touched" "$missing"
}

touch_round() {
    # shellcheck disable=SC2086
    set -- $names
    asked=$names wanted=$# names='' waiting=0
    report=$(touch -c -h -- "$@" 2>&1) || trouble=$report
    found=$(stat -c '{"event":"touched","name":"%n","bytes":%s,"mtime":%Y}' -- "$@" 2>/dev/null)
    # shellcheck disable=SC2086
    set -- $found
    touched=$((touched + $#)) missing=$((missing + wanted - $#))
    [ -z "$found" ] || printf '%s\n' "$found"
    [ "$#" -lt "$wanted" ] || return 0
    for line in $asked; do
        case $found in *"\"$line\""*) ;; *) printf '{"event":"missing","name":"%s"}\n' "$line" ;; esac
    done
}
