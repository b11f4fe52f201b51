# shellcheck shell=bash
# Nova's control plane and a nova-compute on every node: real nova-api, conductor and placement; the compute driver is Nova's fake one with
# libvirt's own `cache_image`. One aggregate a site, of the site's name. Its notifications are versioned, on the lab's broker.

NOVA_USER=42436

nova_up() {
    local dir=$STATE/nova name
    nova_prepare
    nova_configure "$dir"
    if [ ! -e "$dir/registered" ]; then
        keystone_register nova compute "$NOVA_PASSWORD" "$NOVA_URL/v2.1"
        keystone_register placement placement "$NOVA_PASSWORD" "$PLACEMENT_URL"
        touch "$dir/registered"
    fi
    nova_map_hosts "$dir"
    say "starting Nova on $NOVA_URL, with a nova-compute for $(node_names)"
    nova_processes "$dir"
    until_true 180 "Placement on $PLACEMENT_URL" "$STATE/log/placement.log" nova_serves placement "$PLACEMENT_PORT" "$PLACEMENT_URL/"
    until_true 180 "Nova on $NOVA_URL" "$STATE/log/nova.log" nova_serves nova "$NOVA_PORT" "$NOVA_URL/"
    keystone_sign_in
    until_true 240 "every nova-compute's report" "$STATE/log/nova-conductor.log and $STATE/nodes/*/log/nova-compute.log" nova_computes_up
    each_site nova_aggregate
}

nova_stop() {
    local record
    for record in "$STATE"/pids/nova-compute-*; do
        [ ! -e "$record" ] || stop_process "${record##*/}" 10
    done
    stop_process nova
    stop_process nova-conductor
    stop_process placement
}

# nova_serves PART PORT URL: answers, whatever it says; before it does, its process must live.
nova_serves() {
    alive "$1" || fail "$1 ended while starting; see $STATE/log/$1.log"
    port_answers "$SERVICE_IP" "$2" || return 1
    [ "$(curl --noproxy '*' -s -o /dev/null -m 60 -w '%{http_code}' "$3")" = 200 ]
}

# Each part's pid record is its own, so that one can be stopped alone.
nova_processes() {
    local dir=$1
    alive placement || start_uwsgi placement "$PLACEMENT_PORT" 1 /usr/bin/placement-api HOME="$dir" OS_PLACEMENT_CONFIG_DIR="$dir"
    alive nova-conductor || start_process nova-conductor "$STATE/log/nova-conductor.log" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
        HOME="$dir" nova-conductor --config-file "$dir/nova.conf"
    each_node nova_compute_start
    start_uwsgi nova "$NOVA_PORT" 1 /usr/bin/nova-api-wsgi HOME="$dir" OS_NOVA_CONFIG_DIR="$dir"
}

# In the node's own mount namespace, as its nova user: the base files land on the node's disk, and its nova.conf counts. Its network is this
# machine's, where the broker is.
nova_compute_start() {
    local outer child
    ! alive "nova-compute-$NODE" || return 0
    alive "node-$NODE" || fail "node $NODE is not running: lab up --name $NAME"
    nova_compute_configure
    outer=$(recorded_pid "node-$NODE")
    child=$(cat "/proc/$outer/task/$outer/children")
    start_process "nova-compute-$NODE" "$ROOM/log/nova-compute.log" nsenter -t "${child%% *}" --mount --uts -- \
        env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 HOME=/var/lib/nova LAB_STATE="$STATE" \
        setpriv --reuid=$NOVA_USER --regid=$NOVA_USER --clear-groups -- \
        /usr/bin/python3 /usr/local/bin/lab-nova-compute --config-file /etc/nova/nova.conf --config-file /etc/nova/nova-compute.conf
}

nova_compute_stop() { stop_process "nova-compute-$NODE" 10; }

# Every compute service of the inventory is `up` in Nova's own list.
nova_computes_up() {
    local names want up
    check_compute() { alive "nova-compute-$NODE" || fail "nova-compute of $NODE ended while starting; see $ROOM/log/nova-compute.log"; }
    each_node check_compute
    names=$(node_names)
    want=$(wc -w <<<"$names")
    up=$(nova_call GET os-services?binary=nova-compute | jq '[.services[] | select(.state == "up")] | length') || return 1
    [ "$up" -ge "$want" ] && [ "$(nova_call GET os-hypervisors | jq '.hypervisors | length')" -ge "$want" ]
}

# Idempotent: an aggregate that is there keeps its hosts, and those that are missing are added.
nova_aggregate() {
    local site=$SITE id hosts
    id=$(nova_call GET os-aggregates | jq -r --arg name "$site" '.aggregates[] | select(.name == $name) | .id')
    [ -n "$id" ] || id=$(nova_call POST os-aggregates "{\"aggregate\": {\"name\": \"$site\"}}" | jq -r .aggregate.id)
    hosts=$(nova_call GET "os-aggregates/$id" | jq -r '.aggregate.hosts[]')
    add_host() {
        [ "$SITE" = "$site" ] || return 0
        grep -qx "$NODE.localdomain" <<<"$hosts" || nova_call POST "os-aggregates/$id/action" "{\"add_host\": {\"host\": \"$NODE.localdomain\"}}" >/dev/null
    }
    (each_node add_host)
}

# nova_call METHOD PATH [JSON]: one request as admin; prints the answer's body.
nova_call() {
    local method=$1 path=$2 body=${3:-} answer=$STATE/nova/answer code
    code=$(curl --noproxy '*' -s -m 120 -X "$method" -H "@$STATE/keystone/token-header" -H 'Content-Type: application/json' \
        -H 'OpenStack-API-Version: compute 2.81' ${body:+--data-binary "$body"} -o "$answer" -w '%{http_code}' "$NOVA_URL/v2.1/$path")
    case $code in
        2??) cat "$answer" ;;
        *) fail "Nova answered $method $path with $code: $(head -c 300 "$answer")" ;;
    esac
}

# Its slow half, which needs neither Keystone nor the broker.
nova_prepare() {
    local dir=$STATE/nova log=$STATE/log/nova-setup.log
    mkdir -p "$dir"
    chmod 0700 "$dir"
    nova_configure "$dir"
    make_database nova-api "$dir/nova_api.db" nova-common "$log" nova_manage "$log" api_db sync
    make_database nova-cell "$dir/nova.db" nova-common "$log" nova_manage "$log" db sync --local_cell
    [ -e "$dir/nova_cell0.db" ] || sqlite3 "$dir/nova.db" "VACUUM INTO '$dir/nova_cell0.db'"
    make_database placement "$dir/placement.db" placement-api "$log" placement_manage "$log"
}

nova_manage() {
    local log=$1
    shift
    run_logged "$log" clean_env nova-manage --config-file "$STATE/nova/nova.conf" "$@"
}

placement_manage() { run_logged "$1" clean_env OS_PLACEMENT_CONFIG_DIR="$STATE/nova" placement-manage --config-file "$STATE/nova/placement.conf" db sync; }

# What `nova-manage cell_v2` would write, in a second instead of half a minute.
nova_map_hosts() {
    local dir=$1
    map_host() { echo "INSERT OR IGNORE INTO host_mappings(created_at, cell_id, host) SELECT datetime('now'), id, '$NODE.localdomain' FROM cell_mappings WHERE name = 'cell1';"; }
    {
        echo "BEGIN IMMEDIATE;"
        echo "INSERT OR IGNORE INTO cell_mappings(created_at, uuid, name, transport_url, database_connection, disabled)
            VALUES(datetime('now'), '00000000-0000-0000-0000-000000000000', 'cell0', 'none:///', 'sqlite:///$dir/nova_cell0.db', 0),
                (datetime('now'), '11111111-1111-4111-8111-111111111111', 'cell1', '$(nova_transport)', 'sqlite:///$dir/nova.db', 0);"
        each_node map_host
        echo "COMMIT;"
    } | sqlite3 -cmd '.timeout 10000' "$dir/nova_api.db"
}

nova_transport() { echo "rabbit://lab:$RABBITMQ_PASSWORD@127.0.0.1:$AMQP_PORT/openstack"; }

nova_configure() {
    local dir=$1
    write_file "$dir/nova.conf" nova_conf
    write_file "$dir/placement.conf" placement_conf
    cp /etc/nova/api-paste.ini "$dir/api-paste.ini" 2>/dev/null || cp /usr/share/nova-common/api-paste.ini "$dir/api-paste.ini" \
        || fail "Nova's api-paste.ini is neither in /etc/nova nor in /usr/share/nova-common: reinstall nova-common"
}

nova_conf() {
    cat <<CONF
[DEFAULT]
host = controller
my_ip = $SERVICE_IP
state_path = $STATE/nova
log_file = $STATE/log/nova-services.log
transport_url = $(nova_transport)
control_exchange = nova
service_down_time = 60
[database]
connection = sqlite:///$STATE/nova/nova.db
[api_database]
connection = sqlite:///$STATE/nova/nova_api.db
[conductor]
workers = 1
[image_cache]
precache_concurrency = 4
[upgrade_levels]
compute = auto
$(nova_common_conf)
CONF
}

# What control plane and computes share: who they are, where Glance is, and that Nova tells what it does in versioned notifications.
nova_common_conf() {
    cat <<CONF
[notifications]
notification_format = versioned
[oslo_messaging_notifications]
driver = messagingv2
transport_url = $(nova_transport)
[oslo_concurrency]
lock_path = ${1:-$STATE/nova}/locks
[glance]
endpoint_override = $GLANCE_URL
[keystone_authtoken]
$(keystone_account nova "$NOVA_PASSWORD")
www_authenticate_uri = $KEYSTONE_URL
[placement]
$(keystone_account nova "$NOVA_PASSWORD")
region_name = RegionOne
endpoint_override = $PLACEMENT_URL
CONF
}

placement_conf() {
    cat <<CONF
[DEFAULT]
log_file = $STATE/log/placement-services.log
[placement_database]
connection = sqlite:///$STATE/nova/placement.db
[keystone_authtoken]
$(keystone_account nova "$NOVA_PASSWORD")
www_authenticate_uri = $KEYSTONE_URL
CONF
}

nova_compute_configure() {
    local file=$ROOM/etc/nova/nova-compute.conf
    write_file "$file" nova_compute_conf
    chown root:$NOVA_USER "$file"
    chmod 0640 "$file"
    install -m 0755 "$LAB_HOME/node/lab-nova-compute" "$ROOM/usr-local-bin/"
    install -o $NOVA_USER -g $NOVA_USER -m 0644 /dev/null "$ROOM/log/nova-compute.log"
}

nova_compute_conf() {
    cat <<CONF
[DEFAULT]
my_ip = $SERVICE_IP
state_path = /var/lib/nova
transport_url = $(nova_transport)
control_exchange = nova
compute_driver = precaching.PreCachingDriver
$(nova_common_conf /var/lib/nova)
CONF
}
