# shellcheck shell=bash
# Keystone: SQLite, fernet tokens, one uwsgi. Also the small REST client with which the parts register themselves.

keystone_up() {
    local dir=$STATE/keystone log=$STATE/log/keystone-setup.log
    keystone_configure "$dir"
    if [ ! -e "$dir/bootstrapped" ]; then
        say "preparing Keystone's database"
        keystone_manage "$log" fernet_setup --keystone-user root --keystone-group root
        make_database keystone "$dir/keystone.db" keystone "$log" keystone_sync "$log"
        keystone_manage "$log" bootstrap --bootstrap-password "$ADMIN_PASSWORD" --bootstrap-username admin \
            --bootstrap-project-name admin --bootstrap-role-name admin --bootstrap-service-name keystone --bootstrap-region-id RegionOne \
            --bootstrap-public-url "$KEYSTONE_URL/v3" --bootstrap-internal-url "$KEYSTONE_URL/v3" --bootstrap-admin-url "$KEYSTONE_URL/v3"
        touch "$dir/bootstrapped"
    fi
    memcached_up
    say "starting Keystone on $KEYSTONE_URL"
    # SQLite has one writer: two processes are as fast as many.
    start_uwsgi keystone "$KEYSTONE_PORT" 2 /usr/bin/keystone-wsgi-public HOME="$dir" OS_KEYSTONE_CONFIG_FILES="$dir/keystone.conf"
    until_true 180 "Keystone on $KEYSTONE_URL" "$STATE/log/keystone.log" keystone_answers
}

keystone_stop() { stop_process keystone; }

keystone_answers() {
    alive keystone || fail "Keystone ended while starting; see $STATE/log/keystone.log"
    port_answers "$SERVICE_IP" "$KEYSTONE_PORT" || return 1
    [ "$(curl --noproxy '*' -s -o /dev/null -m 60 -w '%{http_code}' "$KEYSTONE_URL/v3")" = 200 ]
}

keystone_configure() {
    local dir=$1
    mkdir -p "$dir"
    chmod 0700 "$dir"
    # Fewer password hash rounds than a real cloud has: a lab signs in all the time and holds no secrets.
    cat >"$dir/keystone.conf" <<CONF
[DEFAULT]
log_file = $STATE/log/keystone-api.log
max_token_size = 255
[database]
connection = sqlite:///$dir/keystone.db
[token]
provider = fernet
expiration = 14400
[fernet_tokens]
key_repository = $dir/fernet-keys
[credential]
key_repository = $dir/credential-keys
[identity]
password_hash_rounds = 4
[cache]
enabled = true
backend = dogpile.cache.memcached
memcache_servers = 127.0.0.1:$MEMCACHED_PORT
[oslo_messaging_notifications]
driver = noop
CONF
}

# keystone_manage LOG COMMAND…
keystone_manage() {
    local log=$1
    shift
    run_logged "$log" clean_env keystone-manage --config-file "$STATE/keystone/keystone.conf" "$@"
}

keystone_sync() { keystone_manage "$1" db_sync; }

# make_database KIND FILE PACKAGE LOG COMMAND…: an empty schema is the same for every lab with the same package version, and
# migrating to it takes most of a start, so it is made once and copied from then on. It holds no data of any lab.
make_database() {
    local kind=$1 file=$2 package=$3 log=$4 version cache
    shift 4
    [ ! -e "$file.ready" ] || return 0
    rm -f "$file" "$file"-*
    version=$(dpkg-query -W -f='${Version}' "$package")
    cache=/var/tmp/forecache-lab/.schemas/$kind-${version//[^A-Za-z0-9.+-]/_}.db
    mkdir -p "${cache%/*}"
    chmod 0700 "${cache%/*}"
    if [ ! -e "$cache" ]; then
        # WAL beforehand: with SQLite's default journal, readers and the writer lock each other out.
        run_logged "$log" sqlite3 "$file" 'PRAGMA journal_mode=WAL'
        "$@"
        run_logged "$log" sqlite3 "$file" 'PRAGMA wal_checkpoint(TRUNCATE)'
        cp "$file" "$cache.$$"
        mv "$cache.$$" "$cache"
    else
        cp "$cache" "$file"
    fi
    touch "$file.ready"
}

# keystone_call METHOD PATH [JSON]: one request as admin; prints the answer's body. The token goes through a file, not through argv.
keystone_call() {
    local method=$1 path=$2 body=${3:-} answer=$STATE/keystone/answer code
    code=$(curl --noproxy '*' -s -m 120 -X "$method" -H "@$STATE/keystone/token-header" -H 'Content-Type: application/json' \
        ${body:+--data-binary "$body"} -o "$answer" -w '%{http_code}' "$KEYSTONE_URL/v3/$path")
    case $code in
        2??) cat "$answer" ;;
        *) fail "Keystone answered $method $path with $code: $(head -c 300 "$answer")" ;;
    esac
}

keystone_sign_in() {
    local request headers=$STATE/keystone/headers
    request=$(PASSWORD=$ADMIN_PASSWORD jq -n '{auth: {identity: {methods: ["password"], password: {user: {name: "admin",
        domain: {id: "default"}, password: env.PASSWORD}}}, scope: {project: {name: "admin", domain: {id: "default"}}}}}')
    (umask 077 && curl --noproxy '*' -s -m 120 -o /dev/null -D "$headers" -H 'Content-Type: application/json' --data-binary @- \
        "$KEYSTONE_URL/v3/auth/tokens" <<<"$request")
    (umask 077 && tr -d '\r' <"$headers" | sed -n 's/^[Xx]-[Ss]ubject-[Tt]oken: /X-Auth-Token: /p' >"$STATE/keystone/token-header")
    rm -f "$headers"
    [ -s "$STATE/keystone/token-header" ] || fail "Keystone did not accept the lab's admin; see $STATE/log/keystone-api.log"
}

# keystone_register SERVICE TYPE PASSWORD URL: the service's user in project service with role admin, and its endpoints. Idempotent.
keystone_register() {
    local service=$1 type=$2 password=$3 url=$4 project user role id interface
    keystone_sign_in
    project=$(keystone_ensure projects project service '{"name": "service", "domain_id": "default"}')
    user=$(keystone_ensure users user "$service" "$(PASSWORD=$password jq -nc --arg name "$service" '{name: $name, domain_id: "default", password: env.PASSWORD}')")
    role=$(keystone_call GET 'roles?name=admin' | jq -r '.roles[0].id')
    keystone_call PUT "projects/$project/users/$user/roles/$role" >/dev/null
    id=$(keystone_ensure services service "$service" "$(jq -nc --arg name "$service" --arg type "$type" '{name: $name, type: $type}')")
    for interface in public internal admin; do
        [ "$(keystone_call GET "endpoints?service_id=$id&interface=$interface" | jq '.endpoints | length')" = 0 ] || continue
        keystone_call POST endpoints "$(jq -nc --arg id "$id" --arg interface "$interface" --arg url "$url" \
            '{endpoint: {service_id: $id, interface: $interface, url: $url, region_id: "RegionOne"}}')" >/dev/null
    done
}

# keystone_account USER PASSWORD: the lines with which that service signs in, for its configuration.
keystone_account() {
    cat <<CONF
auth_url = $KEYSTONE_URL
auth_type = password
project_domain_name = Default
user_domain_name = Default
project_name = service
username = $1
password = $2
CONF
}

# keystone_ensure COLLECTION KIND NAME JSON: prints the id of what has that name, made now if it is not there.
keystone_ensure() {
    local id
    id=$(keystone_call GET "$1?name=$3" | jq -r --arg collection "$1" '.[$collection][0].id // empty')
    [ -n "$id" ] || id=$(keystone_call POST "$1" "{\"$2\": $4}" | jq -r --arg kind "$2" '.[$kind].id')
    echo "$id"
}
