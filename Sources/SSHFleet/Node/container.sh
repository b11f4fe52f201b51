#!/bin/sh
# Commands as the copy user, in the container where there is one.

keys="$keys container container_cli copy_user"
p_container='' p_container_cli=podman p_copy_user=nova

check_container() {
    need_word copy_user "$p_copy_user" '*[!A-Za-z0-9_.-]*'
    [ -z "$p_container" ] || need_word container "$p_container" '*[!A-Za-z0-9_.-]*'
    need_word container_cli "$p_container_cli" '*[!A-Za-z0-9_./-]*'
}

find_copy_user() {
    become=''
    if [ -n "$p_container" ]; then
        command -v "$p_container_cli" >/dev/null || die no_tool "$p_container_cli is not installed"
    elif [ "$(id -u)" = 0 ]; then
        copy_uid=$(id -u -- "$p_copy_user" 2>/dev/null) || die no_tool "there is no user $p_copy_user, and no container is given"
        copy_gid=$(id -g -- "$p_copy_user")
        for become in setpriv runuser sudo ''; do
            [ -n "$become" ] || die no_tool "none of setpriv, runuser and sudo is installed"
            ! command -v "$become" >/dev/null || break
        done
    fi
}

# A container that restarts is back in a moment; what is not installed stays so.
cannot_run() {
    [ -z "$p_container" ] || die container "no command runs as $p_copy_user in the container $p_container: $1"
    die no_tool "cannot run commands as $p_copy_user: $1"
}

as_copy_user() {
    if [ -n "$p_container" ]; then
        "$p_container_cli" exec -i -u "$p_copy_user" "$p_container" "$@"
        return
    fi
    case $become in
        '') "$@" ;;
        setpriv) setpriv --reuid "$copy_uid" --regid "$copy_gid" --init-groups "$@" ;;
        runuser) runuser -u "$p_copy_user" -- "$@" ;;
        sudo) sudo -n -u "$p_copy_user" -- "$@" ;;
    esac
}
