#!/bin/sh
# Base files are young again.
# Parts: common

# A thousand names a round: one touch, one stat and one awk for all of them.
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
    names='' waiting=0
    report=$(touch -c -h -- "$@" 2>&1) || trouble=$report
    lines=$({
        printf '%s\n' "$@"
        stat -c '%n %s %Y' -- "$@" 2>/dev/null
    } | awk '
        NF == 1 { asked[++n] = $1 }
        NF == 3 { bytes[$1] = $2; mtime[$1] = $3 }
        END { for (i = 1; i <= n; i++) { name = asked[i]
                  if (name in bytes) { seen++
                      printf "{\"event\":\"touched\",\"name\":\"%s\",\"bytes\":%s,\"mtime\":%s}\n", name, bytes[name], mtime[name]
                  } else printf "{\"event\":\"missing\",\"name\":\"%s\"}\n", name }
              print seen + 0 }')
    printf '%s\n' "${lines%"$nl"*}"
    seen=${lines##*"$nl"}
    touched=$((touched + seen))
    missing=$((missing + $# - seen))
}
