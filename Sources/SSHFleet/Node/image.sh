#!/bin/sh
# One image and its temporary.

keys="$keys name size algo digest keep_free raw_size"
p_name='' p_size='' p_algo='' p_digest='' p_keep_free=0 p_raw_size=0

check_image() {
    need_hex name "$p_name" 40
    need_number size "$p_size"
    case $p_algo in
        md5) need_hex digest "$p_digest" 32 ;;
        sha1) need_hex digest "$p_digest" 40 ;;
        sha224) need_hex digest "$p_digest" 56 ;;
        sha256) need_hex digest "$p_digest" 64 ;;
        sha384) need_hex digest "$p_digest" 96 ;;
        sha512) need_hex digest "$p_digest" 128 ;;
        *) die bad_parameter "algo is none of md5 sha1 sha224 sha256 sha384 sha512" ;;
    esac
    case $p_owner in
        '') ;;
        *:*:* | :* | *: | -* | *[!A-Za-z0-9_.:-]*) die bad_parameter "owner is not uid:gid" ;;
        *:*) ;;
        *) die bad_parameter "owner is not uid:gid" ;;
    esac
    need_number keep_free "$p_keep_free"
    need_number raw_size "$p_raw_size"
    stem=$p_name.$(printf '%.16s' "$p_digest")
    part=$stem.part raw=$stem.raw sum=$stem.sum
}

# True where the base file is there; anything else at its name is refused.
base_exists() {
    [ ! -L "../$p_name" ] || die io "the base file $p_name is a symbolic link"
    [ ! -f "../$p_name" ] || return 0
    [ ! -e "../$p_name" ] || die io "the base file $p_name is not a regular file"
    return 1
}

# Sets `have`, the bytes that an earlier attempt left.
look_at_part() {
    have=0
    [ ! -L "$part" ] || die io "the temporary $part is a symbolic link"
    [ -e "$part" ] || return 0
    [ -f "$part" ] || die io "the temporary $part is not a regular file"
    # A second name means that somebody else's file would be written to.
    [ "$(stat -c %h "$part")" = 1 ] || rm -f "$part" || die io "cannot remove $part"
    [ ! -e "$part" ] || have=$(stat -c %s "$part")
}

# An empty file in place of the old one, which is unlinked and not truncated: others may be following it.
new_file() {
    report=$( (rm -f "$1" && set -C && : >"$1") 2>&1) || die "$(kind_of_text io "$report")" "$report"
    chown -h "$p_owner" "$1" 2>/dev/null || [ "$(id -u)" != 0 ] || die io "cannot give $1 to $p_owner"
    chmod 0644 "$1" || die io "cannot chmod $1"
}

# Room for $1 bytes more.
need_free() {
    free=$(free_bytes .)
    [ $((free - $1)) -ge "$p_keep_free" ] || no_room "$1"
}

# For $1 bytes, when `free` are free.
no_room() {
    die no_space "$1 bytes are needed and $p_keep_free must stay free, but only $free are free in $p_cache_dir"
}

# Its time of change cannot be set back, as that of modification can.
state_of_part() {
    stat -c '%i-%s-%y-%z' "$part" | tr -d ' '
}

# Sets `digest_tool`. openssl first: it is up to four times faster where the processor has instructions for it. Asked before,
# because one that must not do md5 says so only then.
# shellcheck disable=SC2034 # release has no use for it
find_digest_tool() {
    if openssl dgst "-$1" -r </dev/null >/dev/null 2>&1; then
        digest_tool="openssl dgst -$1 -r"
    elif command -v "$1sum" >/dev/null; then
        digest_tool=$1sum
    else
        die no_tool "neither openssl nor $1sum is installed"
    fi
}
