#!/bin/sh
# Bytes from another node's file into the temporary.
# Parts: common directory image growing lock supervise transfer container follower

keys="$keys peer_address peer_port peer_user peer_identity peer_known_hosts peer_host_key_checking peer_path peer_part method"
p_peer_address='' p_peer_port='' p_peer_user='' p_peer_identity='' p_peer_known_hosts='' p_peer_path='' p_peer_part=''
p_peer_host_key_checking=yes p_method=sftp

perform() {
    check_transfer
    check_copy
    find_copy_user
    prepare
    supervise copy_worker
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

copy_worker() {
    start_progress
    if [ "$p_method" = scp ] && [ "$have" -gt 0 ] && [ "$have" -lt "$p_size" ]; then
        new_file "$part"
        have=0
    fi
    started "$have"
    [ "$have" -lt "$p_size" ] || done_transfer ",\"method\":\"$p_method\""
    start_digest
    run_copy
    case $p_method:$text$said in
        sftp:*'subsystem request failed'* | sftp:*=no_sftp*)
            [ -z "$p_peer_part" ] || [ "$have" = 0 ] ||
                die peer "$p_peer_address has scp alone, which cannot go on with the $have bytes that are here; use via: proxy"
            p_method=scp
            new_file "$part"
            started 0
            run_copy
            [ -z "$p_peer_part" ] || text="the peer has scp alone, which cannot follow a file that grows; use via: proxy: $text"
            ;;
    esac
    bytes=$(stat -c %s "$part" 2>/dev/null) || die io "the temporary $part is gone"
    [ "$bytes" -ne "$p_size" ] || done_transfer ",\"method\":\"$p_method\""
    [ "$bytes" -lt "$p_size" ] || { rm -f "$part" && said='=long'; }
    # A peer can write lines like ours on its standard error, but then ours come after it. Nothing that it says may end the host's own tries.
    case $said in
        ' =no_tool') die no_tool "$p_method is not installed where $p_copy_user would run it" ;;
        *=enter*) die io "$p_copy_user cannot enter $p_cache_dir/.forecache" ;;
        *=stalled*) die network "no byte from $p_peer_address in $p_stall_timeout s after $bytes of $p_size bytes" ;;
        *=long*) die peer "the peer's file is longer than the $p_size bytes of the image" ;;
        *=short*) die truncated "the peer's file has ${said##*=short } of $p_size bytes" ;;
        *'=exit 0'*) die truncated "the peer's file has $bytes of $p_size bytes" ;;
        *=exit*) ;;
        *) cannot_run "$text" ;;
    esac
    case $text in
        *'larger than remote'* | *'bigger than remote'*) die truncated "the peer's file has less than $bytes bytes: $text" ;;
        *'onnection refused'* | *'timed out'* | *'No route'* | *'not resolve'* | *'onnection reset'* | *'unreachable'*)
            die network "$p_peer_address: $text"
            ;;
    esac
    die "$(kind_of_text peer "$text")" "$p_peer_address: $text"
}

# Those that processors have instructions for: half the work of ssh's own choice. One name that an ssh does not have, as chacha20 in FIPS mode, and it
# refuses all.
cheap_ciphers=aes128-gcm@openssh.com,aes256-gcm@openssh.com,aes128-ctr,aes256-ctr

run_copy() {
    alive=$(((p_stall_timeout + 2) / 3))
    set -- -o BatchMode=yes -o "ConnectTimeout=$p_connect_timeout" -o "ServerAliveInterval=$alive" -o ServerAliveCountMax=3 \
        -o "Ciphers=$cheap_ciphers" -o LogLevel=ERROR -o ClearAllForwardings=yes -o "StrictHostKeyChecking=$p_peer_host_key_checking"
    [ -z "$p_peer_known_hosts" ] || set -- "$@" -o "UserKnownHostsFile=$p_peer_known_hosts"
    [ -z "$p_peer_identity" ] || set -- "$@" -o IdentitiesOnly=yes -i "$p_peer_identity"
    [ -z "$p_peer_port" ] || set -- "$@" -o "Port=$p_peer_port"
    report=$(as_copy_user sh -c "$copy_program" forecache-copy "$p_cache_dir/.forecache" "$part" "$p_size" "$p_peer_path" "$p_peer_part" \
        "$p_stall_timeout" "$p_rate_limit" "$p_method" "${p_peer_user:+$p_peer_user@}" "$p_peer_address" "$follower" "$@" \
        <&3 2>&1 3<&- 9>&- | shorten)
    read_report
}

# What the copy user runs. Where there is Python, as on every host that runs Nova, `follower` does all of it; else sftp or scp, for which the rest
# cares. Ending `podman exec` does not end what runs inside, but closes its standard input: so this watches its own, and acts a second
# after it: where both are on one host, the end of a tool must not be told as its failure. The limit on the file's
# size holds whatever the peer sends; the rest of it leaves room for ssh's own files. A growing file is asked for again and again (a dash before
# the command: failing is no error), and the whole one behind it; the empty line a round finds out whether sftp is still there to read.
# shellcheck disable=SC2016
copy_program='
cd "$1" 2>/dev/null || { echo =enter; exit 1; }
part=$2 size=$3 path=$4 growing=$5 stall=$6 rate=$7 method=$8 user=$9
shift 9
host=$1 follower=$2
shift 2
if [ "$method" = sftp ]; then
    for python in python3 /usr/libexec/platform-python; do
        ! command -v "$python" >/dev/null ||
            exec "$python" -I -S -c "$follower" "$part" "$size" "$path" "$growing" "$stall" "$rate" "$@" -s -- "$user$host" sftp
    done
fi
command -v "$method" >/dev/null || { echo =no_tool; exit 1; }
case $host in *:*) host="[$host]" ;; esac
# Both count in units of 1024 bits a second.
[ "$rate" = 0 ] || set -- "$@" -l $((rate / 128 + 1))
feed() {
    [ -n "$growing" ] || { printf "reget \"%s\" \"%s\"\n" "$path" "$part"; return; }
    while now=$(stat -c %s "$part") && [ "$now" -lt "$size" ] && echo; do
        printf -- "-reget \"%s\" \"$part\"\n" "$growing" "$path"
        sleep 0.5
    done
}
exec 3<&0 4>&1 2>/dev/null
ulimit -c 0
ulimit -f $((size / 512 + 128))
if [ "$method" = sftp ]; then
    feed 3<&- 4>&- | sftp -b - "$@" -- "$user$host" >/dev/null 2>&4 3<&- 4>&- &
else
    case $(scp -O 2>&1) in *"n option"* | *"l option"* | *"d option"*) ;; *) set -- -O "$@" ;; esac
    scp -B "$@" -- "$user$host:$path" "./$part" </dev/null >/dev/null 2>&4 3<&- 4>&- &
fi
copier=$!
(while IFS= read -r _; do :; done; sleep 1; kill "$copier") <&3 >/dev/null 4>&- &
input=$!
(
    nap= idle=0 last= step=$((stall / 20 + 1))
    trap "kill \$nap; exit" TERM
    while [ "$idle" -lt "$stall" ]; do
        sleep "$step" >/dev/null 3<&- 4>&- &
        nap=$!
        wait "$nap"
        now=$(stat -c %s "$part")
        idle=$((idle + step))
        [ "$now" = "$last" ] || idle=0
        last=$now
    done
    printf "\n=stalled\n"
    kill "$copier"
) 3<&- 4>&- &
stalled=$!
wait "$copier"
rc=$?
kill "$input" "$stalled"
wait
printf "\n=exit %s\n" "$rc"
'
