# shellcheck shell=bash
# Glance: file store, tokens checked by the lab's Keystone, notifications to the lab's RabbitMQ (off by default in Glance). What
# claims to be signed it checks while it is uploaded, with the lab's Barbican, if there is one.

glance_up() {
    local dir=$STATE/glance
    glance_prepare
    if [ ! -e "$dir/registered" ]; then
        keystone_register glance image "$GLANCE_PASSWORD" "$GLANCE_URL"
        touch "$dir/registered"
    fi
    say "starting Glance on $GLANCE_URL"
    start_process glance "$STATE/log/glance.log" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 HOME="$dir" \
        glance-api --config-file "$dir/glance-api.conf" --config-dir "$dir/conf.d"
    until_true 180 "Glance on $GLANCE_URL" "$STATE/log/glance-api.log" glance_answers
}

glance_stop() { stop_process glance; }

# 401 without a token: the API and its authentication both serve.
glance_answers() {
    alive glance || fail "Glance ended while starting; see $STATE/log/glance-api.log and glance.log"
    port_answers "$SERVICE_IP" "$GLANCE_PORT" || return 1
    [ "$(curl --noproxy '*' -s -o /dev/null -m 60 -w '%{http_code}' "$GLANCE_URL/v2/images")" = 401 ]
}

# Its slow half, which needs neither Keystone nor the broker.
glance_prepare() {
    local dir=$STATE/glance log=$STATE/log/glance-setup.log
    glance_configure "$dir"
    make_database glance "$dir/glance.db" glance-api "$log" glance_sync "$log"
}

glance_sync() { run_logged "$1" clean_env glance-manage --config-file "$STATE/glance/glance-api.conf" --config-dir "$STATE/glance/conf.d" db_sync; }

glance_configure() {
    local dir=$1
    mkdir -p "$dir"/{images,staging,tasks,conf.d}
    chmod 0700 "$dir"
    cat >"$dir/glance-api.conf" <<CONF
[DEFAULT]
bind_host = $SERVICE_IP
bind_port = $GLANCE_PORT
public_endpoint = $GLANCE_URL
workers = 2
log_file = $STATE/log/glance-api.log
enabled_backends = local:file
transport_url = rabbit://lab:$RABBITMQ_PASSWORD@127.0.0.1:$AMQP_PORT/openstack
control_exchange = glance
[database]
connection = sqlite:///$dir/glance.db
[glance_store]
default_backend = local
[local]
filesystem_store_datadir = $dir/images
[os_glance_staging_store]
filesystem_store_datadir = $dir/staging
[os_glance_tasks_store]
filesystem_store_datadir = $dir/tasks
[paste_deploy]
flavor = keystone
config_file = $(glance_paste)
[keystone_authtoken]
memcached_servers = 127.0.0.1:$MEMCACHED_PORT
www_authenticate_uri = $KEYSTONE_URL
$(keystone_account glance "$GLANCE_PASSWORD")
[barbican]
auth_endpoint = $KEYSTONE_URL/v3
[oslo_messaging_notifications]
driver = messagingv2
topics = notifications
CONF
    chmod 0600 "$dir/glance-api.conf"
}

glance_paste() {
    local file
    for file in /etc/glance/glance-api-paste.ini /usr/share/glance-common/glance-api-paste.ini; do
        if [ -e "$file" ]; then
            echo "$file"
            return
        fi
    done
    fail "glance-api-paste.ini is neither in /etc/glance nor in /usr/share/glance-common: reinstall glance-common"
}
