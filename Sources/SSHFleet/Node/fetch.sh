#!/bin/sh
# Bytes from Glance into the temporary.
# Parts: common directory image growing lock supervise transfer streams

keys="$keys url token cacert insecure"
p_url='' p_token='' p_cacert='' p_insecure=0
cr=$(printf '\r')

perform() {
    check_transfer
    check_fetch
    check_streams
    command -v curl >/dev/null || die no_tool "curl is not installed"
    prepare
    supervise fetch_worker
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

# curl's answer, headers first, goes down a pipe to `receive`, which looks at them before a byte is written. What both have
# to say comes back as `report`: our own lines begin with `=`, all others are curl's or head's complaints.
fetch_worker() {
    exec 8>&1
    join_left_slices
    start_progress
    offset=$have
    [ "$have" -lt "$p_size" ] || done_transfer ''
    start_digest
    at=$have alone=''
    if [ "$p_trial" = 1 ] && is_near; then p_streams=1; fi
    [ "$p_streams" = 1 ] || alone=$(alone_seconds)
    ask
    if [ "$status" = 416 ] && [ "$at" -gt 0 ]; then
        new_file "$part"
        offset=0 at=0
        ask
    fi
    # A store that cannot give ranges at all may still give the whole.
    if [ -n "$alone" ] && [ "$at" = 0 ]; then
        case $status in 400 | 416 | 501) alone='' && ask ;; esac
    fi
    # The first stream's time alone is over; without a range in its answer there is no way to go on in others.
    if [ -n "$alone" ] && [ "$curl" = 28 ] && [ -z "$said" ]; then
        alone=''
        at=$(stat -c %s "$part") || die io "the temporary $part is gone"
        [ "$status" != 206 ] || [ "$rate" = 0 ] || fetch_in_streams
        [ "$at" -eq "$p_size" ] || ask
    fi
    case $status in
        '') case $curl in
            0) die http "no HTTP answer: $text" ',"status":0' ;;
            60 | 77) die untrusted "curl $curl: $text" ;;
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
    [ "$bytes" -ne "$p_size" ] || done_transfer ''
    case $curl in
        0 | 18) die truncated "$bytes of $p_size bytes came: $text" ;;
        *) die network "curl $curl after $bytes of $p_size bytes: $text" ;;
    esac
}

# From `at` to the end.
ask() {
    report=$(request 7>&1 1>&8)
    read_report
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
    curl_options
    [ "$at" = 0 ] && [ -z "$alone" ] || printf 'range = "%s-"\n' "$at"
    [ -z "$alone" ] || printf 'max-time = %s\n' "$alone"
}

curl_options() {
    curl_line url "$p_url"
    [ -z "$p_token" ] || curl_line header "X-Auth-Token: $p_token"
    curl_trust
    printf 'connect-timeout = %s\nspeed-limit = 1\nspeed-time = %s\n' "$p_connect_timeout" "$p_stall_timeout"
}

curl_trust() {
    [ -z "$p_cacert" ] || curl_line cacert "$p_cacert"
    [ "$p_insecure" = 0 ] || printf 'insecure\n'
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
                "bytes $at-"[0-9]*/"$p_size" | "bytes $at-"[0-9]*/'*') [ "$at" -gt 0 ] || [ -n "$alone" ] || status= ;;
                *) status= ;;
            esac
            if [ -z "$status" ]; then
                printf '=range %s\n' "$range" >&7
                return 0
            fi
            ;;
        200)
            # The server knows no ranges: these are the bytes from the start.
            if [ "$at" -gt 0 ]; then
                new_file "$part" >&7
                at=0
                printf '=restarted\n' >&7
            fi
            ;;
        *) return 0 ;;
    esac
    # Told only now that bytes come: those who will follow this host do not get in the way of its own beginning.
    [ "$at" -gt "$have" ] || started "$at"
    case $length in '' | *[!0-9]* | ???????????????????*) length=0 ;; esac
    began_bytes=$(centiseconds)
    if [ "$length" -gt $((p_size - at)) ]; then
        printf '=long\n' >&7
    elif ! take $((p_size - at)) 2>&7; then
        printf '=write\n' >&7
    elif [ "$(head -c 1 | wc -c)" -gt 0 ]; then
        printf '=long\n' >&7
    fi
    [ -z "$alone" ] ||
        printf '=rate %s\n' $((($(stat -c %s "$part") - at) * 100 / ($(centiseconds) - began_bytes + 1))) >&7
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
