#!/bin/sh
# What forecache does on a compute node. A program is made for each verb (fetch, receive, copy, publish, release, survey, touch, sweep, read):
# the parts that the line `# Parts:` of VERB.sh names, that file itself, then a line `main`. It is sent whole as an argument, never
# stored there; the sender leaves out comment lines and the blanks that a line begins with:
#     sudo -n sh -c "<this text>" forecache-node VERB
#
# INPUT on standard input: `key=value` lines, then a line `.`; `touch` then reads one name a line up to another `.`.
# Values may hold any byte but control characters. An unknown key is an error. Standard input must then stay open: its
# end means that the controller is gone, and fetch, copy and publish stop whatever they are doing. `receive` reads the image's
# bytes there, from the offset on that its `started` names.
#
# `receive` takes and tells what fetch does, but for the keys of curl alone (streams to near, url to insecure).
#
#   key                     verbs               value; default
#   cache_dir               all                 absolute path of Nova's `_base`; required
#   owner                   all but touch       uid:gid (or names); the owner of cache_dir
#   name                    fetch … release     40 hex digits: the base file's name; required
#   size                    fetch … release     bytes of the image; required
#   algo, digest            fetch … release     md5 sha1 sha224 sha256 sha384 sha512, and its lower-case hex; required
#   keep_free               fetch copy publish  bytes that must stay free on the file system; 0
#   raw_size                fetch copy publish  bytes that the raw file will have, 0 = none is made; 0
#   rate_limit              fetch copy          bytes a second, 0 = none; 0
#   streams                 fetch               1 to 16 ranged downloads side by side where the first, after some seconds alone, leaves
#                                               much to do; 1
#   trial                   fetch               1 = only as many of them as bring more together; 0
#   near                    fetch               microseconds: where an answer takes less, one stream is enough without a trial; 20000
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
#   method                  copy                sftp (resumes; scp where the peer has no sftp, or forbids it) or scp; sftp
#   copy_user               copy publish survey the user that runs sftp, scp and qemu-img; nova
#   container               copy publish survey run them in this container; empty = on the host
#   container_cli           copy publish survey podman, docker or a path; podman
#   convert_from            publish             qcow2 vmdk vpc vhdx vdi: the base file is a raw file made with `qemu-img -f`; empty = it
#                                               is the image's bytes
#   proof_ranges            publish             OFFSET+LENGTH,…: what the controller has looked at; required for a conversion
#   proof_digest            publish             sha256 of those bytes, one after the other
#   keep_part               publish             1 = a conversion leaves the temporary there, for others to copy, up to `release`; 0
#   nova_conf               survey              absolute path; the first readable one of the usual places
#   older_than              sweep               seconds; required
#   ranges                  read                OFFSET+LENGTH,… inside the base file `name`, at most 4 MiB in all; required
#
# OUTPUT on standard output: one JSON object a line, printable ASCII alone (any other byte of a foreign text becomes `?`).
# The last line is `done` (exit code 0) or `error` (exit code 1).
#
#   event      verbs                members
#   started    fetch copy           offset                      again with 0 when the transfer had to start over
#   progress   fetch copy publish   bytes [converted]           length of the temporary, each second; a sign of life
#   node       survey               now ttl|null force_raw_images|null images_type|null nova_conf|null free_bytes
#                                   total_bytes container|null cache_dir tools{curl sha256sum sha512sum md5sum qemu-img
#                                   sftp scp flock}             qemu-img, sftp, scp as seen in the container, if one is given
#   base_file  survey               name bytes allocated mtime
#   temporary  survey               name bytes mtime            name = the file's: <40 hex>.<16 hex>.part
#   touched    touch                name bytes mtime
#   missing    touch                name
#   swept      sweep                name bytes
#   range      read                 offset bytes                of the data that follow
#   data       read                 data                        base64, each line by itself
#   done       fetch copy           existing bytes offset seconds [method]   bytes = moved now
#   done       publish              existing digest|null mtime seconds bytes digest is null for a file that existed
#   done       release              bytes                       of the temporary that went
#   done       survey               base_files temporaries      how many lines of each came before
#   done       touch, sweep         touched missing, swept
#   done       read                 bytes                       of the whole file
#   error      all                  kind detail [status] [digest]
#
#   kind             what happened
#   bad_parameter    input we do not accept                  no_tool          a program, user or container is missing
#   busy             another forecache holds the temporary   no_space         what is needed would eat into keep_free
#   not_found        HTTP 404                                forbidden        HTTP 401, 403
#   http             any other answer; `status`              network          no connection, broken, or stalled
#   untrusted        the server's certificate, or its CA bundle here
#   too_long         more than size; temporary dropped       truncated        less than size; temporary kept
#   peer             the peer refused, has no such file, or  digest_mismatch  `digest` found; temporary dropped
#                    a longer one
#   io               the file system, a symbolic link        interrupted      signal, or the end of standard input
#   convert          qemu-img cannot, or made nonsense       killed           qemu-img ended by a signal or for lack of memory
#   container        nothing runs in Nova's container
#
# WHAT HOLDS. Temporaries are `<cache_dir>/.forecache/<name>.<first 16 of digest>.part`. That directory belongs to whoever
# runs us (root), not to Nova's user: so nobody can put a symbolic link where we are about to write, and every path below is
# relative to it once we have entered and checked it. Temporaries belong to `owner`, so that the copy user can write them.
# A raw file in the making is `….raw` beside it, the digest that a transfer found `….sum`. A base file appears by link(2) alone, which never overwrites; one that exists is touched and nothing else.

set -u
unset IFS CDPATH p_token
LC_ALL=C
PATH=${PATH:-/usr/bin:/bin}:/usr/sbin:/sbin
export LC_ALL PATH
umask 022

# shellcheck disable=SC2034 # some verbs read no lines
nl='
'
ticker='' digester='' unfinished=''
# Each part adds the parameters that it knows, with their defaults.
keys='cache_dir' p_cache_dir=''

# `perform` is the verb's own, and stands first in its part.
main() {
    read_parameters
    need_path cache_dir "$p_cache_dir"
    perform
}

# --- input ---

read_parameters() {
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

# The name is one of ours before it becomes a variable's, and the value is never part of what is evaluated.
assign() {
    case " $keys " in
        *" $1 "*) ;;
        *) die bad_parameter "unknown key $1" ;;
    esac
    case $1 in
        '' | *' '*) die bad_parameter "unknown key $1" ;;
        *) eval "p_$1=\$2" ;;
    esac
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

# Of a list OFFSET+LENGTH,…: calls $2 with the two numbers of each.
each_range() {
    rest=$1,
    while [ -n "$rest" ]; do
        range=${rest%%,*} rest=${rest#*,}
        "$2" "${range%%+*}" "${range#*+}"
    done
}

# --- output ---

# Sets `quoted`: at most 300 bytes of $1, fit to stand between the quotes of a JSON string.
quote() {
    case $1 in
        *[!\ -~]* | *[\\\"]*) quoted=$(printf '%s' "$1" | tr '\011\012\015' '   ' | tr -c '\040-\176' '?' | head -c 300 | sed 's/[\\"]/\\&/g') ;;
        *) quoted=$(printf '%.300s' "$1") ;;
    esac
}

# die KIND DETAIL [MORE MEMBERS]. Progress ends first, so that the error is the last line.
die() {
    quote "$2"
    stop_progress
    printf '{"event":"error","kind":"%s"%s,"detail":"%s"}\n' "$1" "${3:-}" "$quoted"
    exit 1
}

stop_progress() {
    # The sum of a transfer that fails: who makes it ends when it goes.
    [ -z "$unfinished" ] || { rm -f "$unfinished" && wait "$digester" 2>/dev/null; }
    [ -n "$ticker" ] || return 0
    kill "$ticker" 2>/dev/null
    wait "$ticker" 2>/dev/null
}

# $2 bytes of the file $3, from byte $1 on. tail would stop at 4 GiB where it is BusyBox's.
bytes_of() {
    dd if="$3" bs=64k skip="$1" count="$2" iflag=skip_bytes,count_bytes status=none 2>/dev/null
}

kind_of_text() {
    case $2 in
        *'No space left'* | *'quota exceeded'*) printf no_space ;;
        *) printf '%s' "$1" ;;
    esac
}
