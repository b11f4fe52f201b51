#!/bin/sh
# The cache directory and our own one in it.

keys="$keys owner" p_owner=''

# Enters `.forecache`, and makes it where $1 is `make`; false where there is none. Only what is found after `cd` counts: a
# name that was checked before it could have been swapped by whoever owns the directory above.
enter() {
    [ -d "$p_cache_dir" ] || [ "$1" != make ] || make_cache_dir
    [ -d "$p_cache_dir" ] || return 1
    cd -P "$p_cache_dir" 2>/dev/null || die io "cannot enter $p_cache_dir"
    above=$(stat -c '%d:%i' .)
    [ -n "$p_owner" ] || p_owner=$(stat -c '%u:%g' .)
    # A symbolic link on the way is the operator's if it leads to a directory of Nova's, else it is an attack.
    if [ "$(pwd -P)" != "${p_cache_dir%/}" ] && [ "$(stat -c %u .)" != "$(owner_uid)" ]; then
        die io "$p_cache_dir goes through a symbolic link to a directory that is not $p_owner's"
    fi
    [ ! -L .forecache ] || die io "$p_cache_dir/.forecache is a symbolic link"
    if [ ! -d .forecache ]; then
        [ "$1" = make ] || return 1
        report=$(mkdir .forecache 2>&1) || [ -d .forecache ] || die "$(kind_of_text io "$report")" "$report"
    fi
    cd -P .forecache 2>/dev/null || die io "cannot enter $p_cache_dir/.forecache"
    [ "$(stat -c '%d:%i' ..)" = "$above" ] || die io "$p_cache_dir/.forecache was replaced while we entered it"
    me=$(id -u)
    [ "$(stat -c %u .)" = "$me" ] || chown "$me" . 2>/dev/null || die io "$p_cache_dir/.forecache is not ours"
    [ "$(stat -c %a .)" = 755 ] || chmod 0755 . || die io "cannot chmod $p_cache_dir/.forecache"
}

# A node that never booted an instance has no `_base` yet; Nova makes it the same way.
make_cache_dir() {
    parent=${p_cache_dir%/}
    parent=${parent%/*}
    [ -d "$parent/" ] || die io "neither $p_cache_dir nor the directory above it exists"
    [ -n "$p_owner" ] || p_owner=$(stat -c '%u:%g' "$parent/")
    report=$(mkdir -m 0755 -- "$p_cache_dir" 2>&1) || [ -d "$p_cache_dir" ] || die "$(kind_of_text io "$report")" "$report"
    chown -h -- "$p_owner" "$p_cache_dir" 2>/dev/null || [ "$(id -u)" != 0 ] || die io "cannot give $p_cache_dir to $p_owner"
}

owner_uid() {
    case ${p_owner%%:*} in
        *[!0-9]*) id -u -- "${p_owner%%:*}" 2>/dev/null ;;
        *) printf '%s' "${p_owner%%:*}" ;;
    esac
}

free_bytes() {
    counts=$(stat -f -c '%a %S' "$1" 2>/dev/null) || counts='0 0'
    printf '%s' "$((${counts% *} * ${counts#* }))"
}
