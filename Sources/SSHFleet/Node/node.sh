#!/bin/sh
# What forecache does on a compute node. Sent whole as an argument, never stored there; the sender leaves out comment lines
# and the blanks that a line begins with:
#     sudo -n sh -c "<this text>" forecache-node VERB
#
# INPUT on standard input: `key=value` lines, then a line `.`; `touch` then reads one name a line up to another `.`.
# Values may hold any byte but control characters. An unknown key is an error. Standard input must then stay open: its
# end means that the controller is gone, and fetch, copy and publish stop whatever they are doing.
#
#   key                     verbs               value; default
#   cache_dir               all                 absolute path of Nova's `_base`; required
#   owner                   fetch copy publish  uid:gid (or names); the owner of cache_dir
#   mode                    fetch copy publish  three octal digits, or four with a leading 0; 0644
#   name                    fetch copy publish  40 hex digits: the base file's name; required
#   size                    fetch copy publish  bytes of the image; required
#   algo, digest            fetch copy publish  md5 sha1 sha224 sha256 sha384 sha512, and its lower-case hex; required
#   keep_free               fetch copy          bytes that must stay free on the file system; 0
#   rate_limit              fetch copy          bytes a second, 0 = none; 0
#   connect_timeout         fetch copy          seconds; 10
#   stall_timeout           fetch copy          seconds without a byte; 60. curl averages over 5 s and so needs that longer
#   url                     fetch               http:// or https://; required
#   token                   fetch               sent as X-Auth-Token where not empty
#   cacert                  fetch               absolute path of a CA bundle on the node
#   insecure                fetch               1 = do not verify the server's certificate; 0
#   peer_address            copy                host name or address; required
#   peer_path               copy                absolute path at the peer, none of * ? [ ] \ " '; required
#   peer_part               copy                the peer's own temporary, still growing: followed (with sftp alone) until `size`
#                                               bytes are here; peer_path is taken once it is gone
#   peer_port, peer_user    copy                what the copy user's own ssh configuration says
#   peer_identity           copy                absolute path of a private key, likewise
#   peer_known_hosts        copy                absolute path of a known_hosts file, likewise
#   peer_host_key_checking  copy                yes, accept-new or no; yes
#   method                  copy                sftp (resumes; scp where the peer has no sftp) or scp; sftp
#   copy_user               copy survey         the user that runs sftp or scp; nova
#   container               copy survey         run them in this container; empty = on the host
#   container_cli           copy survey         podman, docker or a path; podman
#   nova_conf               survey              candidate, may be repeated, the first readable one wins; three usual places
#   older_than              sweep               seconds; required
#
# OUTPUT on standard output: one JSON object a line, printable ASCII alone (any other byte of a foreign text becomes `?`).
# The last line is `done` (exit code 0) or `error` (exit code 1).
#
#   event      verbs                members
#   started    fetch copy           offset                      again with 0 when the transfer had to start over
#   progress   fetch copy publish   bytes                       length of the temporary, each second; a sign of life
#   node       survey               now ttl|null force_raw_images|null images_type|null nova_conf|null free_bytes
#                                   total_bytes container|null cache_dir tools{curl sha256sum sha512sum md5sum qemu-img
#                                   sftp scp flock}             qemu-img, sftp, scp as seen in the container, if one is given
#   base_file  survey               name bytes allocated mtime
#   temporary  survey               name bytes mtime            name = the file's: <40 hex>.<16 hex>.part
#   touched    touch                name bytes mtime
#   missing    touch                name
#   swept      sweep                name bytes
#   done       fetch copy           existing bytes offset seconds [method]   bytes = moved now
#   done       publish              existing digest|null mtime seconds       digest is null for a file that existed
#   done       survey               base_files temporaries      how many lines of each came before
#   done       touch, sweep         touched missing, swept
#   error      all                  kind detail [status] [digest]
#
#   kind             what happened
#   bad_parameter    input we do not accept                  no_tool          a program, user or container is missing
#   busy             another forecache holds the temporary   no_space         size - have would eat into keep_free
#   not_found        HTTP 404                                forbidden        HTTP 401, 403
#   http             any other answer; `status`              network          no connection, broken, or stalled
#   too_long         more than size; temporary dropped       truncated        less than size; temporary kept
#   peer             the peer refused or has no such file    digest_mismatch  `digest` found; temporary dropped
#   io               the file system, a symbolic link        interrupted      signal, or the end of standard input
#
# WHAT HOLDS. Temporaries are `<cache_dir>/.forecache/<name>.<first 16 of digest>.part`. That directory belongs to whoever
# runs us (root), not to Nova's user: so nobody can put a symbolic link where we are about to write, and every path below is
# relative to it once we have entered and checked it. Temporaries belong to `owner`, so that the copy user can write them.
# A base file appears by link(2) alone, which never overwrites; one that exists is touched and nothing else.

set -u
unset IFS CDPATH p_token
LC_ALL=C
PATH=${PATH:-/usr/bin:/bin}:/usr/sbin:/sbin
export LC_ALL PATH
umask 022

nl='
'
cr=$(printf '\r')
ticker='' worker=''
hex4='[0-9a-f][0-9a-f][0-9a-f][0-9a-f]'
hex16=$hex4$hex4$hex4$hex4
hex40=$hex16$hex16$hex4$hex4

main() {
    read_parameters
    case $1 in
        survey) need_path cache_dir "$p_cache_dir" && survey ;;
        fetch) check_image && check_fetch && fetch ;;
        copy) check_image && check_copy && copy ;;
        publish) check_image && publish ;;
        touch) need_path cache_dir "$p_cache_dir" && touch_files ;;
        sweep) need_path cache_dir "$p_cache_dir" && need_number older_than "$p_older_than" && sweep ;;
        *) die bad_parameter "unknown verb" ;;
    esac
}

# --- input ---------------------------------------------------------------------------------------------------------------

# Nothing here is ever evaluated: values are assigned through this list and only ever expanded inside double quotes.
read_parameters() {
    p_cache_dir='' p_owner='' p_mode=0644 p_container='' p_container_cli=podman p_copy_user=nova
    p_name='' p_size='' p_algo='' p_digest='' p_url='' p_token='' p_cacert='' p_insecure=0
    p_rate_limit=0 p_connect_timeout=10 p_stall_timeout=60 p_keep_free=0
    p_peer_address='' p_peer_port='' p_peer_user='' p_peer_identity='' p_peer_known_hosts='' p_peer_path='' p_peer_part=''
    p_peer_host_key_checking=yes p_method=sftp p_nova_conf='' p_older_than=''
    count=0
    while IFS= read -r line; do
        [ "$line" != . ] || return 0
        count=$((count + 1))
        if [ "$count" -gt 100 ] || [ "${#line}" -gt 16384 ]; then die bad_parameter "too much input"; fi
        case $line in
            *[[:cntrl:]]*) die bad_parameter "a control character in the value of ${line%%=*}" ;;
            *=*) assign "${line%%=*}" "${line#*=}" ;;
            *) die bad_parameter "a line that is not key=value" ;;
        esac
    done
    die bad_parameter "the input ended before the line that ends it"
}

assign() {
    case $1 in
        cache_dir) p_cache_dir=$2 ;;
        owner) p_owner=$2 ;;
        mode) p_mode=$2 ;;
        container) p_container=$2 ;;
        container_cli) p_container_cli=$2 ;;
        copy_user) p_copy_user=$2 ;;
        name) p_name=$2 ;;
        size) p_size=$2 ;;
        algo) p_algo=$2 ;;
        digest) p_digest=$2 ;;
        url) p_url=$2 ;;
        token) p_token=$2 ;;
        cacert) p_cacert=$2 ;;
        insecure) p_insecure=$2 ;;
        rate_limit) p_rate_limit=$2 ;;
        connect_timeout) p_connect_timeout=$2 ;;
        stall_timeout) p_stall_timeout=$2 ;;
        keep_free) p_keep_free=$2 ;;
        peer_address) p_peer_address=$2 ;;
        peer_port) p_peer_port=$2 ;;
        peer_user) p_peer_user=$2 ;;
        peer_identity) p_peer_identity=$2 ;;
        peer_known_hosts) p_peer_known_hosts=$2 ;;
        peer_path) p_peer_path=$2 ;;
        peer_part) p_peer_part=$2 ;;
        peer_host_key_checking) p_peer_host_key_checking=$2 ;;
        method) p_method=$2 ;;
        nova_conf) need_path nova_conf "$2" && p_nova_conf=$p_nova_conf$2$nl ;;
        older_than) p_older_than=$2 ;;
        *) die bad_parameter "unknown key $1" ;;
    esac
}

check_image() {
    need_path cache_dir "$p_cache_dir"
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
    case $p_mode in
        [0-7][0-7][0-7] | 0[0-7][0-7][0-7]) ;;
        *) die bad_parameter "mode is not octal, like 0644" ;;
    esac
    need_number keep_free "$p_keep_free"
    need_number rate_limit "$p_rate_limit"
    need_number connect_timeout "$p_connect_timeout"
    need_number stall_timeout "$p_stall_timeout"
    if [ "$p_connect_timeout" = 0 ] || [ "$p_stall_timeout" = 0 ]; then die bad_parameter "a timeout of 0"; fi
    stem=$p_name.$(printf '%.16s' "$p_digest")
    part=$stem.part
}

check_fetch() {
    case $p_url in
        *[[:space:]]*) die bad_parameter "url has a space in it" ;;
        http://?* | https://?*) ;;
        *) die bad_parameter "url is neither http:// nor https://" ;;
    esac
    [ -z "$p_cacert" ] || need_path cacert "$p_cacert"
    case $p_insecure in 0 | 1) ;; *) die bad_parameter "insecure is neither 0 nor 1" ;; esac
}

check_copy() {
    need_word peer_address "$p_peer_address" '*[!A-Za-z0-9_.:%-]*'
    [ -z "$p_peer_user" ] || need_word peer_user "$p_peer_user" '*[!A-Za-z0-9_.-]*'
    [ -z "$p_peer_port" ] || need_number peer_port "$p_peer_port"
    [ -z "$p_peer_identity" ] || need_path peer_identity "$p_peer_identity"
    [ -z "$p_peer_known_hosts" ] || need_path peer_known_hosts "$p_peer_known_hosts"
    need_path peer_path "$p_peer_path"
    [ -z "$p_peer_part" ] || need_path peer_part "$p_peer_part"
    case $p_peer_path$p_peer_part in
        *[\\\"\'*?[]* | *]*) die bad_parameter "peer_path or peer_part has a character of * ? [ ] \\ \" '" ;;
    esac
    # ssh splits the values of these two options at spaces, and expands % and $ in them.
    case $p_peer_identity$p_peer_known_hosts in
        *[\ %\$\"\'\\]*) die bad_parameter "a space or one of % \$ \" ' \\ in peer_identity or peer_known_hosts" ;;
    esac
    case $p_peer_host_key_checking in
        yes | accept-new | no) ;;
        *) die bad_parameter "peer_host_key_checking is none of yes, accept-new, no" ;;
    esac
    case $p_method in sftp | scp) ;; *) die bad_parameter "method is neither sftp nor scp" ;; esac
    check_container
}

check_container() {
    need_word copy_user "$p_copy_user" '*[!A-Za-z0-9_.-]*'
    [ -z "$p_container" ] || need_word container "$p_container" '*[!A-Za-z0-9_.-]*'
    need_word container_cli "$p_container_cli" '*[!A-Za-z0-9_./-]*'
}

need_number() {
    case $2 in
        '' | *[!0-9]* | 0?*) die bad_parameter "$1 is not a whole number" ;;
    esac
    [ "${#2}" -le 18 ] || die bad_parameter "$1 is too large"
}

need_hex() {
    case $2 in *[!0-9a-f]*) die bad_parameter "$1 is not lower-case hexadecimal" ;; esac
    [ "${#2}" -eq "$3" ] || die bad_parameter "$1 is not $3 digits long"
}

need_path() {
    case $2 in /?*) ;; *) die bad_parameter "$1 is not an absolute path" ;; esac
    [ "${#2}" -le 4000 ] || die bad_parameter "$1 is too long"
}

# $3 is a pattern of what it must not be; a leading dash would be taken for an option.
need_word() {
    # shellcheck disable=SC2254
    case $2 in '' | -* | $3) die bad_parameter "$1 is empty or has a character that does not belong there" ;; esac
}

# --- output --------------------------------------------------------------------------------------------------------------

# Sets `quoted`: at most 300 bytes of $1, fit to stand between the quotes of a JSON string.
quote() {
    quoted=$(printf '%s' "$1" | tr '\011\012\015' '   ' | tr -c '\040-\176' '?' | head -c 300 | sed 's/[\\"]/\\&/g')
}

# die KIND DETAIL [MORE MEMBERS]. Progress ends first, so that the error is the last line.
die() {
    quote "$2"
    stop_progress
    printf '{"event":"error","kind":"%s"%s,"detail":"%s"}\n' "$1" "${3:-}" "$quoted"
    exit 1
}

# --- the directory of temporaries ----------------------------------------------------------------------------------------

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

# A new temporary in place of the old one, which is unlinked and not truncated: others may be following it.
new_part() {
    report=$( (rm -f "$part" && set -C && : >"$part") 2>&1) || die "$(kind_of_text io "$report")" "$report"
    chown -h "$p_owner" "$part" 2>/dev/null || [ "$(id -u)" != 0 ] || die io "cannot give $part to $p_owner"
    chmod "$p_mode" "$part" || die io "cannot chmod $part"
}

need_space() {
    free=$(free_bytes .)
    needed=$((p_size - have))
    [ $((free - needed)) -ge "$p_keep_free" ] ||
        die no_space "$needed bytes are needed and $p_keep_free must stay free, but only $free are free in $p_cache_dir"
}

free_bytes() {
    counts=$(stat -f -c '%a %S' "$1" 2>/dev/null) || counts='0 0'
    printf '%s' "$((${counts% *} * ${counts#* }))"
}

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
        read -r holder <"$lock/holder" || holder=
        [ -z "$holder" ] || [ "$holder" != "${holder%% *} $(start_of "${holder%% *}")" ] || return 1
        # A lock that names nobody is one that is just being made, unless it is old.
        [ -n "$holder" ] || [ $(($(date +%s) - $(stat -c %Y "$lock"))) -gt 60 ] || return 1
        mv "$lock" "$lock.$$" 2>/dev/null && rm -rf "$lock.$$"
        mkdir "$lock" 2>/dev/null || return 1
    fi
    printf '%s %s\n' "$$" "$(start_of "$$")" >"$lock/holder" || die io "cannot write $lock"
}

start_of() {
    awk '{ sub(/^.*\) /, ""); print $20 }' "/proc/$1/stat" 2>/dev/null
}

# Lets go of a lock directory; a lock file needs nothing, and goes away where the temporary does.
release() {
    case ${lock:-} in
        *.lockdir) rm -rf "$lock" ;;
        *.lock) [ -e "$part" ] || rm -f "$lock" ;;
    esac
}

# --- one transfer, watched -----------------------------------------------------------------------------------------------

# Runs "$@" in a child that ends with the last line of output, and ends it with all of its own children when a signal
# comes or standard input ends. We wait for it and do nothing else, because a shell acts on signals only in `wait`.
supervise() {
    # Some shells would tell here of each child that a signal ended; what matters of errors goes into `report`.
    exec 3<&0 2>/dev/null
    trap : PIPE
    trap interrupted TERM HUP INT
    "$@" &
    worker=$!
    watch_input >/dev/null 9>&- &
    watcher=$!
    wait "$worker"
    rc=$?
    trap '' TERM HUP INT
    kill "$watcher"
    wait "$watcher"
    release
    [ "$rc" -gt 1 ] || exit "$rc"
    end_children "$$"
    die interrupted "the transfer was killed (exit code $rc)"
}

watch_input() {
    while IFS= read -r _; do :; done <&3
    kill -TERM "$$" 2>/dev/null || end_children "$worker"
}

interrupted() {
    trap '' TERM HUP INT
    end_children "$$"
    release
    die interrupted "a signal, or the end of standard input"
}

# PPid is read from `status`, where the kernel escapes the process's own choice of name; in `stat` it could forge lines.
# The worker stands still meanwhile: it must not take the end of its tool for a failure and tell of that as well.
end_children() {
    kill -s STOP "$worker" 2>/dev/null
    for signal in TERM KILL; do
        family=$(grep -s '^PPid:' /proc/[0-9]*/status | awk -F '[/:\t ]+' -v root="$1" '
            { parent[$3] = $NF }
            END { for (pid in parent) { up = pid
                  for (i = 0; i < 50 && up in parent; i++) { up = parent[up]; if (up == root) { print pid; break } } } }')
        [ "$1" = "$$" ] || family="$family $1"
        # shellcheck disable=SC2086
        [ -z "$family" ] || { kill -s "$signal" $family; kill -s CONT $family; } 2>/dev/null
        wait "$worker"
    done
}

# The length of the temporary each second; ends with TERM, and never leaves its `sleep` behind.
report_progress() {
    nap=
    trap 'kill $nap 2>/dev/null; exit 0' TERM
    while :; do
        sleep 1 >/dev/null 2>&1 3<&- 9>&- &
        nap=$!
        wait "$nap" 2>/dev/null
        bytes=$(stat -c %s "$part" 2>/dev/null) || continue
        printf '{"event":"progress","bytes":%s}\n' "$bytes"
    done
}

start_progress() {
    began=$(date +%s)
    report_progress 2>/dev/null &
    ticker=$!
}

stop_progress() {
    [ -n "$ticker" ] || return 0
    kill "$ticker" 2>/dev/null
    wait "$ticker" 2>/dev/null
}

started() {
    offset=$1
    printf '{"event":"started","offset":%s}\n' "$offset"
}

done_transfer() {
    stop_progress
    printf '{"event":"done","existing":false,"bytes":%s,"offset":%s,"seconds":%s%s}\n' \
        "$((p_size - offset))" "$offset" "$(($(date +%s) - began))" "${1:-}"
    exit 0
}

# Common to fetch and copy: everything up to the first byte.
prepare() {
    enter make
    hold "$stem" || die busy "another forecache is at work on $part"
    if base_exists; then
        rm -f "$part"
        release
        printf '{"event":"done","existing":true,"bytes":0,"offset":0,"seconds":0}\n'
        exit 0
    fi
    look_at_part
    if [ "$have" -gt "$p_size" ]; then
        rm -f "$part"
        have=0
    fi
    # A node that is short of space is left as it was: no lock and no empty temporary for the sweep to find.
    (need_space) || { release; exit 1; }
    [ -e "$part" ] || new_part
}

kind_of_text() {
    case $2 in
        *'No space left'* | *'quota exceeded'*) printf no_space ;;
        *) printf '%s' "$1" ;;
    esac
}

# --- fetch ---------------------------------------------------------------------------------------------------------------

fetch() {
    command -v curl >/dev/null || die no_tool "curl is not installed"
    prepare
    supervise fetch_worker
}

# curl's answer, headers first, goes down a pipe to `receive`, which looks at them before a byte is written. What both have
# to say comes back as `report`: our own lines begin with `=`, all others are curl's or head's complaints.
fetch_worker() {
    exec 8>&1
    start_progress
    started "$have"
    [ "$have" -lt "$p_size" ] || done_transfer
    report=$(request 7>&1 1>&8)
    read_report
    if [ "$status" = 416 ] && [ "$offset" -gt 0 ]; then
        new_part
        started 0
        report=$(request 7>&1 1>&8)
        read_report
    fi
    case $status in
        '') case $curl in
            0) die http "no HTTP answer: $text" ',"status":0' ;;
            *) die network "curl $curl: $text" ;;
        esac ;;
        401 | 403) die forbidden "HTTP $status" ",\"status\":$status" ;;
        404) die not_found "HTTP $status" ",\"status\":$status" ;;
        200 | 206) ;;
        3??) die http "HTTP $status: a redirect, which is not followed" ",\"status\":$status" ;;
        *) die http "HTTP $status" ",\"status\":$status" ;;
    esac
    case $said in
        *=range*) die http "not the range that was asked for: $range" ",\"status\":$status" ;;
        *=long*)
            rm -f "$part"
            die too_long "the server sends more than the $p_size bytes of the image"
            ;;
        *=write*) die "$(kind_of_text io "$text")" "$text" ;;
    esac
    bytes=$(stat -c %s "$part" 2>/dev/null) || die io "the temporary $part is gone"
    [ "$bytes" -ne "$p_size" ] || done_transfer
    case $curl in
        0 | 18) die truncated "$bytes of $p_size bytes came: $text" ;;
        *) die network "curl $curl after $bytes of $p_size bytes: $text" ;;
    esac
}

# Standard output is for events, 7 for the report. No proxy: it would see the token, and its own headers would come first.
request() {
    {
        curl_config | curl -q -sS -i --globoff --proto '=http,https' --noproxy '*' --config - 2>&7 3<&- 7>&- 8>&- 9>&-
        printf '=curl %s\n' "$?" >&7
    } | receive
}

# The token goes through this pipe alone: never into an argument or the environment.
curl_config() {
    curl_line url "$p_url"
    [ -z "$p_token" ] || curl_line header "X-Auth-Token: $p_token"
    [ -z "$p_cacert" ] || curl_line cacert "$p_cacert"
    [ "$p_insecure" = 0 ] || printf 'insecure\n'
    [ "$p_rate_limit" = 0 ] || printf 'limit-rate = %s\n' "$p_rate_limit"
    [ "$offset" = 0 ] || printf 'range = "%s-"\n' "$offset"
    printf 'connect-timeout = %s\nspeed-limit = 1\nspeed-time = %s\n' "$p_connect_timeout" "$p_stall_timeout"
}

curl_line() {
    printf '%s = "%s"\n' "$1" "$(printf '%s' "$2" | sed 's/[\\"]/\\&/g')"
}

# `read` takes single bytes from a pipe, so what follows the headers is still in it for head.
receive() {
    read_headers || return 0
    printf '=status %s\n' "$status" >&7
    case $status in
        206)
            # bytes 100-199/200
            case $range in
                "bytes $offset-"[0-9]*/"$p_size" | "bytes $offset-"[0-9]*/'*') [ "$offset" -gt 0 ] || status= ;;
                *) status= ;;
            esac
            if [ -z "$status" ]; then
                printf '=range %s\n' "$range" >&7
                return 0
            fi
            ;;
        200)
            # The server knows no ranges: these are the bytes from the start.
            if [ "$offset" -gt 0 ]; then
                new_part >&7
                started 0
                printf '=restarted\n' >&7
            fi
            ;;
        *) return 0 ;;
    esac
    case $length in '' | *[!0-9]* | ???????????????????*) length=0 ;; esac
    if [ "$length" -gt $((p_size - offset)) ]; then
        printf '=long\n' >&7
    elif ! head -c $((p_size - offset)) >>"$part" 2>&7; then
        printf '=write\n' >&7
    elif [ "$(head -c 1 | wc -c)" -gt 0 ]; then
        printf '=long\n' >&7
    fi
}

# Sets status, range and length; false where the answer ended before its headers did. 1xx answers are stepped over.
read_headers() {
    status='' range='' length='' count=0
    while IFS= read -r line && [ "$count" -lt 500 ]; do
        count=$((count + 1))
        line=${line%"$cr"}
        case $line in
            HTTP/*' '[1-5][0-9][0-9] | HTTP/*' '[1-5][0-9][0-9]' '*)
                [ -n "$status" ] || { status=${line#* } && status=${status%% *}; }
                ;;
            [Cc][Oo][Nn][Tt][Ee][Nn][Tt]-[Rr][Aa][Nn][Gg][Ee]:*) range=${line#*:} && range=${range# } ;;
            [Cc][Oo][Nn][Tt][Ee][Nn][Tt]-[Ll][Ee][Nn][Gg][Tt][Hh]:*) length=${line#*:} && length=${length# } ;;
            '')
                case $status in
                    1??) status='' range='' length='' ;;
                    '') return 1 ;;
                    *) return 0 ;;
                esac
                ;;
        esac
        [ -n "$status" ] || [ -z "$line" ] || return 1
    done
    return 1
}

# Takes `report` apart into status, curl (exit code), range, said (our other lines) and text (foreign lines).
read_report() {
    status='' curl=0 range='' said='' text=''
    rest=$report$nl
    while [ -n "$rest" ]; do
        line=${rest%%"$nl"*}
        rest=${rest#*"$nl"}
        case $line in
            '=status '*) status=${line#=status } ;;
            '=curl '*) curl=${line#=curl } ;;
            '=range '*) said="$said =range" range=${line#=range } ;;
            =restarted) offset=0 ;;
            =*) said="$said $line" ;;
            ?*) text="$text$line " ;;
        esac
    done
}

# --- copy ----------------------------------------------------------------------------------------------------------------

copy() {
    find_copy_user
    prepare
    supervise copy_worker
}

copy_worker() {
    start_progress
    if [ "$p_method" = scp ] && [ "$have" -gt 0 ] && [ "$have" -lt "$p_size" ]; then
        new_part
        have=0
    fi
    started "$have"
    [ "$have" -lt "$p_size" ] || done_transfer ",\"method\":\"$p_method\""
    run_copy
    case $p_method:$text in
        sftp:*'subsystem request failed'*)
            p_method=scp
            new_part
            started 0
            run_copy
            ;;
    esac
    bytes=$(stat -c %s "$part" 2>/dev/null) || die io "the temporary $part is gone"
    if [ "$bytes" -gt "$p_size" ]; then
        rm -f "$part"
        die too_long "the peer's file is longer than the $p_size bytes of the image"
    fi
    [ "$bytes" -ne "$p_size" ] || done_transfer ",\"method\":\"$p_method\""
    case $said in
        *=no_tool*) die no_tool "$p_method is not installed where $p_copy_user would run it" ;;
        *=enter*) die io "$p_copy_user cannot enter $p_cache_dir/.forecache" ;;
        *=stalled*) die network "no byte from $p_peer_address in $p_stall_timeout s after $bytes of $p_size bytes" ;;
        *'=exit 0'*) die truncated "the peer's file has $bytes of $p_size bytes" ;;
        *=exit*) ;;
        *) die no_tool "cannot run commands as $p_copy_user${p_container:+ in the container $p_container}: $text" ;;
    esac
    case $text in
        *'larger than remote'* | *'bigger than remote'*) die truncated "the peer's file has less than $bytes bytes: $text" ;;
        *'onnection refused'* | *'timed out'* | *'No route'* | *'not resolve'* | *'onnection reset'* | *'unreachable'*)
            die network "$p_peer_address: $text"
            ;;
    esac
    die "$(kind_of_text peer "$text")" "$p_peer_address: $text"
}

run_copy() {
    target=$p_peer_address
    case $target in *:*) target="[$target]" ;; esac
    alive=$(((p_stall_timeout + 2) / 3))
    set -- -o BatchMode=yes -o "ConnectTimeout=$p_connect_timeout" -o "ServerAliveInterval=$alive" -o ServerAliveCountMax=3 \
        -o LogLevel=ERROR -o ClearAllForwardings=yes -o "StrictHostKeyChecking=$p_peer_host_key_checking"
    [ -z "$p_peer_known_hosts" ] || set -- "$@" -o "UserKnownHostsFile=$p_peer_known_hosts"
    [ -z "$p_peer_identity" ] || set -- "$@" -o IdentitiesOnly=yes -i "$p_peer_identity"
    [ -z "$p_peer_port" ] || set -- "$@" -P "$p_peer_port"
    # Both count in units of 1024 bits a second.
    [ "$p_rate_limit" = 0 ] || set -- "$@" -l $((p_rate_limit / 128 + 1))
    report=$(as_copy_user sh -c "$copy_program" forecache-copy "$p_cache_dir/.forecache" "$part" "$p_size" "$p_method" \
        "$p_peer_path" "${p_peer_user:+$p_peer_user@}$target" "$p_stall_timeout" "$p_peer_part" "$@" <&3 2>&1 3<&- 9>&- |
        { head -c 4000 && cat >/dev/null; })
    read_report
}

# What the copy user runs. Ending `podman exec` does not end what runs inside, but closes its standard input: so this watches
# its own. The limit on the file's size holds whatever the peer sends; the rest of it leaves room for ssh's own files. A growing
# file is asked for again whenever nothing came since the last look (a dash before the command: failing is no error); the empty
# line a round finds out whether sftp is still there to read it.
# shellcheck disable=SC2016
copy_program='
cd "$1" 2>/dev/null || { echo =enter; exit 1; }
part=$2 size=$3 method=$4 path=$5 target=$6 stall=$7 growing=$8
shift 8
length() { stat -c %s "$part"; }
get() { printf "%sreget \"%s\" \"%s\"\n" "$1" "$2" "$part"; }
feed() {
    [ -n "$growing" ] || { get "" "$path"; return; }
    last=
    while now=$(length) && [ "$now" -lt "$size" ] && echo; do
        [ "$now" != "$last" ] || { get - "$growing" && get - "$path"; }
        last=$now
        sleep 0.3
    done
}
command -v "$method" >/dev/null || { echo =no_tool; exit 1; }
exec 3<&0 4>&1 2>/dev/null
ulimit -c 0
ulimit -f $((size / 512 + 128))
if [ "$method" = sftp ]; then
    feed 2>/dev/null 3<&- 4>&- | sftp -b - "$@" -- "$target" >/dev/null 2>&4 3<&- 4>&- &
else
    case $(scp -O 2>&1) in *"n option"* | *"l option"* | *"d option"*) ;; *) set -- -O "$@" ;; esac
    scp -B "$@" -- "$target:$path" "./$part" </dev/null >/dev/null 2>&4 3<&- 4>&- &
fi
copier=$!
(while IFS= read -r _; do :; done; kill "$copier") <&3 >/dev/null 4>&- &
input=$!
(
    nap= idle=0 last=
    trap "kill \$nap; exit" TERM
    while [ "$idle" -lt "$stall" ]; do
        sleep 1 >/dev/null 3<&- 4>&- &
        nap=$!
        wait "$nap"
        now=$(length)
        idle=$((idle + 1))
        [ "$now" = "$last" ] || idle=0
        last=$now
    done
    echo =stalled >&4
    kill "$copier"
) >/dev/null 3<&- &
stalled=$!
wait "$copier"
rc=$?
kill "$input" "$stalled"
wait
echo "=exit $rc"
'

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

# --- publish -------------------------------------------------------------------------------------------------------------

publish() {
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
    find_digest
    if [ "$found" != "$p_digest" ]; then
        rm -f "$part"
        die digest_mismatch "$p_algo is $found and should be $p_digest" ",\"digest\":\"$found\""
    fi
    chown -h "$p_owner" "$part" 2>/dev/null || [ "$(stat -c '%u:%g' "$part")" = "$p_owner" ] || die io "cannot give $part to $p_owner"
    chmod "$p_mode" "$part" || die io "cannot chmod $part"
    # Not restorecon: where Nova's directories were labelled for containers, its rules would take the label away again. The
    # directory's own label is what a file that Nova makes there gets.
    if command -v selinuxenabled >/dev/null && selinuxenabled; then
        chcon --reference=.. "$part" 2>/dev/null
    fi
    touch -c "$part" || die io "cannot set the time of $part"
    sync "$part" 2>/dev/null || die io "cannot write $part out to the disk"
    if ! report=$(link_part 2>&1); then
        ! base_exists || published_before
        die "$(kind_of_text io "$report")" "$report"
    fi
    rm -f "$part"
    sync .. . 2>/dev/null
    published false "\"$found\""
}

# link(1) takes the name as it is; ln would go into a directory, should one or a link to one appear there.
link_part() {
    if command -v link >/dev/null; then
        link "$part" "../$p_name"
    else
        ln "$part" "../$p_name"
    fi
}

published_before() {
    report=$(touch -c -h "../$p_name" 2>&1) || die io "$report"
    rm -f "$part"
    published true null
}

published() {
    stop_progress
    printf '{"event":"done","existing":%s,"digest":%s,"mtime":%s,"seconds":%s}\n' \
        "$1" "$2" "$(stat -c %Y "../$p_name")" "$(($(date +%s) - began))"
    exit 0
}

find_digest() {
    if command -v "${p_algo}sum" >/dev/null; then
        found=$("${p_algo}sum" <"$part") || die io "cannot read $part"
    elif command -v openssl >/dev/null; then
        found=$(openssl dgst "-$p_algo" -r <"$part") || die io "cannot read $part"
    else
        die no_tool "neither ${p_algo}sum nor openssl is installed"
    fi
    found=${found%% *}
    case $found in '' | *[!0-9a-f]*) die io "no digest came from the tool for $p_algo" ;; esac
}

# --- touch ---------------------------------------------------------------------------------------------------------------

# A thousand names a round: one touch, one stat and one awk for all of them.
touch_files() {
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

# --- sweep ---------------------------------------------------------------------------------------------------------------

sweep() {
    swept=0
    if ! enter look; then
        printf '{"event":"done","swept":0}\n'
        return
    fi
    list=$(list_files "$hex40.$hex16.part" && list_files "$hex40.$hex16.lock" && list_directories "$hex40.$hex16.lockdir")
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
        [ $((now - ${line##* })) -ge "$p_older_than" ] || continue
        file=${line%% *}
        bytes=${line#* }
        bytes=${bytes%% *}
        part=${file%.*}.part
        case $file in
            *.part) (sweep_part "$file") || continue ;;
            *) (sweep_lock "$file") || continue ;;
        esac
        swept=$((swept + 1))
        printf '{"event":"swept","name":"%s","bytes":%s}\n' "$file" "$bytes"
    done
    printf '{"event":"done","swept":%s}\n' "$swept"
}

# In a subshell, whose end frees the lock.
sweep_part() {
    hold "${1%.*}" >/dev/null || return 1
    rm -f "$1"
    release
    [ ! -e "$1" ]
}

# A lock whose temporary is still there stays with it.
sweep_lock() {
    [ ! -e "$part" ] && [ -e "$1" ] && hold "${1%.*}" >/dev/null || return 1
    release
    rm -rf "$1"
}

# --- survey --------------------------------------------------------------------------------------------------------------

survey() {
    check_container
    ttl=null raw=null images_type=null conf=null
    read_nova_conf
    container=null
    case $p_container in
        '') has_image=$(has qemu-img) has_sftp=$(has sftp) has_scp=$(has scp) ;;
        *) look_into_container ;;
    esac
    place=$p_cache_dir
    there=false
    [ ! -d "$place" ] || there=true
    while [ ! -d "$place" ] && [ -n "$place" ]; do place=${place%/*}; done
    counts=$(stat -f -c '%b %S' -- "${place:-/}" 2>/dev/null) || counts='0 0'
    printf '{"event":"node","now":%s,"ttl":%s,"force_raw_images":%s,"images_type":%s,"nova_conf":%s' \
        "$(date +%s)" "$ttl" "$raw" "$images_type" "$conf"
    printf ',"free_bytes":%s,"total_bytes":%s,"container":%s,"cache_dir":%s' \
        "$(free_bytes "${place:-/}")" "$((${counts% *} * ${counts#* }))" "$container" "$there"
    printf ',"tools":{"curl":%s,"sha256sum":%s,"sha512sum":%s,"md5sum":%s,"qemu-img":%s,"sftp":%s,"scp":%s,"flock":%s}}\n' \
        "$(has curl)" "$(has sha256sum)" "$(has sha512sum)" "$(has md5sum)" "$has_image" "$has_sftp" "$has_scp" "$(has flock)"
    files='' temporaries=''
    if [ "$there" = true ]; then
        cd -P "$p_cache_dir" 2>/dev/null || die io "cannot enter $p_cache_dir"
        files=$(list_files "$hex40")
        if [ ! -L .forecache ] && cd -P .forecache 2>/dev/null; then
            temporaries=$(list_files "$hex40.$hex16.part")
        fi
    fi
    # mawk prints at most 2^31 with %d, and floats keep whole numbers up to 2^53.
    printf '%s\n' "$files" | awk 'NF == 4 {
        printf "{\"event\":\"base_file\",\"name\":\"%s\",\"bytes\":%s,\"allocated\":%.0f,\"mtime\":%s}\n", $1, $2, $3 * 512, $4 }'
    printf '%s\n' "$temporaries" | awk 'NF == 4 {
        printf "{\"event\":\"temporary\",\"name\":\"%s\",\"bytes\":%s,\"mtime\":%s}\n", $1, $2, $4 }'
    printf '{"event":"done","base_files":%s,"temporaries":%s}\n' "$(count_lines "$files")" "$(count_lines "$temporaries")"
}

count_lines() {
    printf '%s' "$1" | awk 'END { print NR }'
}

has() {
    if command -v "$1" >/dev/null; then printf true; else printf false; fi
}

# `name bytes blocks mtime` of the regular files in this directory whose whole name is $1; the pattern lets no odd name out.
list_files() {
    if find . -maxdepth 0 -printf '' 2>/dev/null; then
        find . -maxdepth 1 -type f -name "$1" -printf '%f %s %b %T@\n' 2>/dev/null | awk '{ sub(/\..*/, "", $4); print }'
    else
        find . -maxdepth 1 -type f -name "$1" -exec stat -c '%n %s %b %Y' {} + 2>/dev/null | sed 's|^\./||'
    fi
}

list_directories() {
    find . -maxdepth 1 -type d -name "$1" -exec stat -c '%n 0 0 %Y' {} + 2>/dev/null | sed 's|^\./||'
}

# One command for all of it: each `exec` costs some tenths of a second. A container that hangs must not hang the survey.
look_into_container() {
    container=false has_image=false has_sftp=false has_scp=false
    command -v "$p_container_cli" >/dev/null || return 0
    limit=''
    ! command -v timeout >/dev/null || limit='timeout 20'
    # shellcheck disable=SC2016,SC2086
    found=$($limit "$p_container_cli" exec -u "$p_copy_user" "$p_container" sh -c \
        'echo forecache; for t in qemu-img sftp scp; do command -v "$t" >/dev/null && echo "$t"; done' </dev/null 2>/dev/null)
    case $nl$found$nl in *"${nl}forecache$nl"*) container=true ;; esac
    case $nl$found$nl in *"${nl}qemu-img$nl"*) has_image=true ;; esac
    case $nl$found$nl in *"${nl}sftp$nl"*) has_sftp=true ;; esac
    case $nl$found$nl in *"${nl}scp$nl"*) has_scp=true ;; esac
}

# As oslo.config reads it: the last value wins, a line that begins with a blank goes on with the one before.
read_nova_conf() {
    [ -n "$p_nova_conf" ] || p_nova_conf="/var/lib/config-data/puppet-generated/nova_libvirt/etc/nova/nova.conf
/var/lib/openstack/config/nova/nova.conf
/etc/nova/nova.conf
"
    rest=$p_nova_conf
    while [ -n "$rest" ]; do
        file=${rest%%"$nl"*}
        rest=${rest#*"$nl"}
        [ ! -f "$file" ] || [ ! -r "$file" ] || break
        file=
    done
    [ -n "$file" ] || return 0
    quote "$file"
    conf="\"$quoted\""
    found=$(awk '
        { sub(/\r$/, "") }
        /^\[.*\][ \t]*$/ { section = $0; sub(/^\[/, "", section); sub(/\][ \t]*$/, "", section); next }
        /^[ \t#;]/ { next }
        { at = match($0, /[=:]/)
          if (!at) next
          key = substr($0, 1, at - 1); value = substr($0, at + 1)
          gsub(/^[ \t]+|[ \t]+$/, "", key); gsub(/^[ \t]+|[ \t]+$/, "", value)
          if (value ~ /^".*"$/ || value ~ /^\047.*\047$/) value = substr(value, 2, length(value) - 2)
          values[section "." key] = value }
        END { age = "remove_unused_original_minimum_age_seconds"
              print (("image_cache." age) in values) ? values["image_cache." age] : values["DEFAULT." age]
              print values["DEFAULT.force_raw_images"]; print values["libvirt.images_type"]; print "." }' <"$file")
    value=${found%%"$nl"*}
    found=${found#*"$nl"}
    case $value in '' | *[!0-9]* | 0?* | ???????????????????*) ;; *) ttl=$value ;; esac
    case ${found%%"$nl"*} in
        [Tt][Rr][Uu][Ee] | 1 | [Oo][Nn] | [Yy][Ee][Ss]) raw=true ;;
        [Ff][Aa][Ll][Ss][Ee] | 0 | [Oo][Ff][Ff] | [Nn][Oo]) raw=false ;;
    esac
    found=${found#*"$nl"}
    quote "${found%%"$nl"*}"
    [ -z "$quoted" ] || images_type="\"$quoted\""
}

main "${1:-}"
