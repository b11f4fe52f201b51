# shellcheck shell=bash
# What every part uses: talk, settings, waiting, and processes that are ended only if they are really ours.

ALL_PARTS=rabbitmq,keystone,glance,barbican,nodes,nova
# Nova is heavy, and few need it or Barbican.
DEFAULT_PARTS=rabbitmq,keystone,glance,nodes

say() { printf 'lab: %s\n' "$*"; }

fail() {
    printf 'lab: %s\n' "$*" >&2
    exit 1
}

# Settings outlive `up`, so that `down`, `wan` and `node` speak of the same lab without repeating them.
load_settings() {
    mkdir -p "$STATE" "$STATE/log" "$STATE/pids" "$STATE/bin"
    chmod 0711 "$STATE"
    PARTS='' SITES='' TTL='' NODE_DISK='' WAN='' LAN=''
    # shellcheck source=/dev/null
    [ ! -e "$STATE/settings" ] || . "$STATE/settings"
    if [ -n "$ASKED_COUNT" ]; then
        [[ $ASKED_COUNT =~ ^[0-9]{1,2}$ ]] || fail "--hosts-per-site must be a number (got $ASKED_COUNT)"
        ASKED_SITES=$(with_count "$ASKED_COUNT" "${ASKED_SITES:-${SITES:-dcn1:2,dcn2:2}}")
    fi
    if [ -n "$ASKED_SITES" ] && [ -n "$SITES" ] && [ "$ASKED_SITES" != "$SITES" ] && any_node_alive; then
        fail "lab $NAME runs with sites $SITES: lab down first to have $ASKED_SITES"
    fi
    SITES=${ASKED_SITES:-${SITES:-dcn1:2,dcn2:2}}
    TTL=${ASKED_TTL:-${TTL:-86400}}
    NODE_DISK=${ASKED_DISK:-${NODE_DISK:-2G}}
    WAN=${ASKED_WAN:-${WAN:-off}}
    LAN=${ASKED_LAN:-${LAN:-off}}
    PARTS=$(merged_parts "$PARTS" "$ASKED_PARTS")
    check_settings
    printf "PARTS='%s'\nSITES='%s'\nTTL='%s'\nNODE_DISK='%s'\nWAN='%s'\nLAN='%s'\n" \
        "$PARTS" "$SITES" "$TTL" "$NODE_DISK" "$WAN" "$LAN" >"$STATE/settings"
}

# with_count N SITES: the same sites with N hosts each.
with_count() {
    local entry all=''
    for entry in ${2//,/ }; do all=$all,${entry%%:*}:$1; done
    echo "${all#,}"
}

# Parts asked for later are added to those the lab has; a lab's first `up` without --parts means the default ones.
merged_parts() {
    local part all=''
    for part in ${ALL_PARTS//,/ }; do
        case ",$1,$2," in *",$part,"*) all=$all,$part ;; esac
    done
    for part in ${2//,/ }; do
        case ",$ALL_PARTS," in *",$part,"*) ;; *) fail "unknown part $part (known: $ALL_PARTS)" ;; esac
    done
    all=${all#,}
    echo "${all:-$DEFAULT_PARTS}"
}

check_settings() {
    [[ $SITES =~ ^[a-z][a-z0-9]{0,11}:[0-9]{1,2}(,[a-z][a-z0-9]{0,11}:[0-9]{1,2})*$ ]] \
        || fail "--sites must look like dcn1:2,dcn2:2 (got $SITES)"
    [[ $TTL =~ ^[0-9]{1,9}$ ]] || fail "--ttl must be seconds (got $TTL)"
    [[ $WAN =~ ^(off|[0-9.]{1,9}[kmg]?bit)$ ]] || fail "--wan must be a rate such as 200mbit, or off (got $WAN)"
    [[ $LAN =~ ^(off|[0-9.]{1,9}[kmg]?bit)$ ]] || fail "--lan must be a rate such as 1gbit, or off (got $LAN)"
    [[ $NODE_DISK =~ ^[0-9]{1,6}[kKmMgG]?$ ]] || fail "--node-disk must be a size such as 512M or 2G (got $NODE_DISK)"
    if has_part glance && ! has_part keystone; then fail "glance needs keystone: --parts …,keystone,glance"; fi
    if has_part glance && ! has_part rabbitmq; then fail "glance needs rabbitmq: --parts …,rabbitmq,glance"; fi
    if has_part barbican && ! has_part keystone; then fail "barbican needs keystone: --parts …,keystone,barbican"; fi
    if has_part nova && ! { has_part glance && has_part nodes; }; then fail "nova needs glance and nodes: --parts …,glance,nodes,nova"; fi
}

has_part() { case ",$PARTS," in *",$1,"*) return 0 ;; *) return 1 ;; esac; }

open_lab() {
    if [ ! -e "$STATE/slot" ] || [ ! -e "$STATE/settings" ]; then fail "there is no lab at $STATE: lab up --name $NAME"; fi
    load_settings
    derive_addresses
    # shellcheck source=/dev/null
    . "$STATE/secrets"
}

# One `up`, `down` or part command at a time per lab; children close the descriptor or they would hold the lock for good.
lock_state() {
    mkdir -p "$STATE"
    exec {LOCK}>"$STATE.lock"
    flock "$LOCK"
}

part_up() {
    local part=$1 began=$SECONDS
    if [ "$part" != nodes ] && alive "$part"; then
        say "$part runs already"
        return
    fi
    end_orphans "$part"
    "${part}_up"
    say "$part is up ($((SECONDS - began)) s)"
}

# until_true SECONDS WHAT LOG COMMAND…: waits for a condition under a deadline and names the log when it does not come.
until_true() {
    local deadline=$((SECONDS + $1)) what=$2 log=$3
    shift 3
    until "$@"; do
        [ $SECONDS -lt "$deadline" ] || fail "$what did not come in time; see $log"
        sleep 0.1
    done
}

# run_logged LOG COMMAND…: a step whose output matters only when it fails.
run_logged() {
    local log=$1
    shift
    "$@" >>"$log" 2>&1 </dev/null || fail "failed: ${*##*/} … ; see $log: $(tail -n 1 "$log")"
}

# The services' environment: Debian's own Python first in PATH (another one breaks them), no proxies, nothing of the caller's.
clean_env() {
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 HOME="$STATE" "$@"
}

# start_process NAME LOG COMMAND…: a session of its own, nothing inherited, and its pid recorded with its start time.
start_process() {
    local name=$1 log=$2
    shift 2
    setsid "$@" </dev/null >>"$log" 2>&1 {LOCK}>&- &
    local pid=$!
    printf '%s %s\n' "$pid" "$(start_time "$pid")" >"$STATE/pids/$name"
}

# start_uwsgi PART PORT PROCESSES SCRIPT VARIABLE=VALUE…: a WSGI service on the service address. This socket of uwsgi's never keeps a connection and does not
# say so by itself; unsaid, or with a body left unread, clients now and then meet a reset.
start_uwsgi() {
    local part=$1 port=$2 processes=$3 script=$4
    shift 4
    start_process "$part" "$STATE/log/$part.log" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 "$@" \
        uwsgi --plugin python3 --http-socket "$SERVICE_IP:$port" --wsgi-file "$script" --master --processes "$processes" --die-on-term --no-orphans \
        --need-app --enable-threads --listen 100 --buffer-size 65535 --disable-logging --add-header "Connection: close" --post-buffering 65535
}

# Field 22 of /proc/PID/stat, counted after the command name, which may hold blanks.
start_time() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
    stat=${stat##*) }
    # shellcheck disable=SC2086
    set -- $stat
    [ "$1" = Z ] || echo "${20}"
}

recorded_pid() {
    local pid
    read -r pid _ <"$STATE/pids/$1" && echo "$pid"
}

alive() {
    local pid started
    [ -e "$STATE/pids/$1" ] || return 1
    read -r pid started <"$STATE/pids/$1" || return 1
    [ -n "$started" ] && [ "$(start_time "$pid")" = "$started" ]
}

not_alive() { ! alive "$1"; }

# stop_process NAME [SECONDS]: asks the whole session to end, and ends it by force when the grace is over.
stop_process() {
    local name=$1 grace=${2:-20} pid
    if alive "$name"; then
        pid=$(recorded_pid "$name")
        kill -TERM "$pid" 2>/dev/null || true
        local deadline=$((SECONDS + grace))
        while alive "$name" && [ $SECONDS -lt "$deadline" ]; do sleep 0.1; done
        if alive "$name"; then kill -KILL "$pid" 2>/dev/null || true; fi
        until_true 10 "the end of $name (process $pid)" "$STATE/log" not_alive "$name"
        say "$name stopped"
    fi
    end_orphans "$name"
    rm -f "$STATE/pids/$name"
}

# Workers whose parent died without them. Of the session that the recorded process led, only those with our own folder as their HOME:
# the number may have been given to somebody else's session since.
end_orphans() {
    local leader process
    [ -e "$STATE/pids/$1" ] || return 0
    read -r leader _ <"$STATE/pids/$1" || return 0
    for process in $(pgrep -s "$leader" || true); do
        if { tr '\0' '\n' <"/proc/$process/environ"; } 2>/dev/null | grep -q "^HOME=$STATE/"; then
            kill -KILL "$process" 2>/dev/null || true
        fi
    done
}

port_answers() { (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; }

# What a caller left open in us must not live on in the servers: a test that reads our output would wait for them to end.
# 255 is bash's own hold on this script.
close_inherited() {
    local fd
    for fd in /proc/"$BASHPID"/fd/*; do
        fd=${fd##*/}
        [ "$fd" -le 2 ] || [ "$fd" = 255 ] || eval "exec $fd>&-"
    done
}
