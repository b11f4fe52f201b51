# shellcheck shell=bash
# RabbitMQ with a database, a cookie and an epmd of its own. Debian's /usr/sbin/rabbitmq-server would change user and use /var/lib/rabbitmq.

rabbitmq_up() {
    local dir=$STATE/rabbitmq
    rabbitmq_configure "$dir"
    # An epmd of its own, in the foreground: otherwise Erlang leaves a daemon behind on 4369 for the whole machine.
    if not_alive epmd; then
        start_process epmd "$STATE/log/epmd.log" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME="$dir" \
            epmd -port "$EPMD_PORT" -address 127.0.0.1
        until_true 20 "epmd on port $EPMD_PORT" "$STATE/log/epmd.log" port_answers 127.0.0.1 "$EPMD_PORT"
    fi
    say "starting RabbitMQ on 127.0.0.1:$AMQP_PORT, TLS on $AMQPS_PORT"
    start_process rabbitmq "$STATE/log/rabbitmq.log" "$dir/run" rabbitmq-server
    until_true 120 "RabbitMQ on port $AMQP_PORT" "$STATE/log/rabbitmq.log" rabbitmq_answers
}

rabbitmq_stop() {
    stop_process rabbitmq 30
    stop_process epmd 5
}

# AMQP's own greeting: an open port alone comes before the broker serves.
rabbitmq_answers() {
    alive rabbitmq || fail "RabbitMQ ended while starting; see $STATE/log/rabbitmq.log"
    local answer
    answer=$({
        exec 3<>"/dev/tcp/127.0.0.1/$AMQP_PORT"
        printf 'AMQP\0\0\11\1' >&3
        timeout 5 head -c 1 <&3 | od -An -tx1
    } 2>/dev/null) || return 1
    [ "${answer// /}" = 01 ]
}

rabbitmq_configure() {
    local dir=$1 sbin
    sbin=$(compgen -G '/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin' | tail -n 1)
    mkdir -p "$dir/mnesia" "$STATE/log/rabbitmq"
    chmod 0700 "$dir"
    [ -e "$dir/.erlang.cookie" ] || printf %s "$RABBITMQ_COOKIE" >"$dir/.erlang.cookie"
    chmod 0400 "$dir/.erlang.cookie"
    : >"$dir/env.conf"
    echo '[].' >"$dir/enabled_plugins"
    # default_vhost, default_user and default_pass count on an empty database only.
    cat >"$dir/rabbitmq.conf" <<CONF
listeners.tcp.default = 127.0.0.1:$AMQP_PORT
listeners.ssl.default = 127.0.0.1:$AMQPS_PORT
ssl_options.cacertfile = $STATE/tls/ca.pem
ssl_options.certfile = $STATE/tls/server.pem
ssl_options.keyfile = $STATE/tls/server.key
ssl_options.verify = verify_none
ssl_options.fail_if_no_peer_cert = false
default_vhost = openstack
default_user = lab
default_pass = $RABBITMQ_PASSWORD
log.console = true
log.console.level = info
log.file = false
CONF
    chmod 0600 "$dir/rabbitmq.conf"
    # Server and rabbitmqctl must agree on all of this, so one wrapper sets it for both.
    cat >"$dir/run" <<RUN
#!/bin/sh
command=\$1
shift
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 HOME=$dir \\
    RUNNING_UNDER_SYSTEMD=1 ERL_EPMD_PORT=$EPMD_PORT ERL_EPMD_ADDRESS=127.0.0.1 ERL_CRASH_DUMP=/dev/null \\
    RABBITMQ_NODENAME=fc$SLOT@localhost RABBITMQ_DIST_PORT=$DIST_PORT \\
    RABBITMQ_MNESIA_BASE=$dir/mnesia RABBITMQ_LOG_BASE=$STATE/log/rabbitmq RABBITMQ_PID_FILE=$dir/mnesia/pid \\
    RABBITMQ_CONF_ENV_FILE=$dir/env.conf RABBITMQ_CONFIG_FILE=$dir/rabbitmq.conf RABBITMQ_ENABLED_PLUGINS_FILE=$dir/enabled_plugins \\
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}" RABBITMQ_CTL_ERL_ARGS="+sbwt none" \\
    $sbin/\$command "\$@"
RUN
    printf '#!/bin/sh\nexec %s/run rabbitmqctl "$@"\n' "$dir" >"$STATE/bin/rabbitmqctl"
    chmod 0700 "$dir/run" "$STATE/bin/rabbitmqctl"
}
