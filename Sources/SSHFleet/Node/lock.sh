#!/bin/sh
# One at a time works on a temporary.

# One forecache per temporary. With flock(1) the kernel frees the lock of a dead one; the lock file is checked after
# locking, because its holder may have unlinked it meanwhile. Without, the directory names its maker and when he started.
hold() {
    lock=$1.lock
    [ ! -L "$lock" ] || die io "$lock is a symbolic link"
    if command -v flock >/dev/null; then
        for _ in 1 2 3; do
            command exec 9>>"$lock" || die io "cannot make $lock"
            flock -n 9 || return 1
            [ "$(stat -c %i "$lock" 2>/dev/null)" != "$(stat -L -c %i /proc/self/fd/9)" ] || return 0
        done
        return 1
    fi
    lock=$1.lockdir
    if ! mkdir "$lock" 2>/dev/null; then
        is_stale "$lock" || return 1
        # Another may have taken the stale one between that look and this move: then what was moved is his.
        if mv "$lock" "$lock.$$" 2>/dev/null && ! is_stale "$lock.$$"; then
            mv "$lock.$$" "$lock"
            return 1
        fi
        rm -rf "$lock.$$"
        mkdir "$lock" 2>/dev/null || return 1
    fi
    printf '%s %s\n' "$$" "$(start_of "$$")" >"$lock/holder" || die io "cannot write $lock"
}

# Whoever made it is dead. A lock that names nobody is one that is just being made, unless it is old.
is_stale() {
    { read -r holder <"$1/holder"; } 2>/dev/null || holder=
    if [ -n "$holder" ]; then
        [ "$holder" != "${holder%% *} $(start_of "${holder%% *}")" ]
    else
        changed=$(stat -c %Y "$1" 2>/dev/null) && [ $(($(date +%s) - changed)) -gt 60 ]
    fi
}

start_of() {
    awk '{ sub(/^.*\) /, ""); print $20 }' "/proc/$1/stat" 2>/dev/null
}

# Lets go of a lock directory; a lock file needs nothing, and goes away where the temporary does.
let_go() {
    case ${lock:-} in
        *.lockdir) rm -rf "$lock" ;;
        *.lock) [ -e "$part" ] || rm -f "$lock" ;;
    esac
}
