# shellcheck shell=bash
# Barbican: SQLite, its own simple crypto plugin, tokens checked by the lab's Keystone. One uwsgi; no worker, since nothing is ordered of it.

barbican_up() {
    local dir=$STATE/barbican
    barbican_prepare
    if [ ! -e "$dir/registered" ]; then
        keystone_register barbican key-manager "$BARBICAN_PASSWORD" "$BARBICAN_URL"
        touch "$dir/registered"
    fi
    say "starting Barbican on $BARBICAN_URL"
    start_uwsgi barbican "$BARBICAN_PORT" 1 /usr/bin/barbican-wsgi-api HOME="$dir"
    until_true 180 "Barbican on $BARBICAN_URL" "$STATE/log/barbican.log" barbican_answers
}

barbican_stop() { stop_process barbican; }

# 401 without a token: the API and its authentication both serve.
barbican_answers() {
    alive barbican || fail "Barbican ended while starting; see $STATE/log/barbican.log"
    port_answers "$SERVICE_IP" "$BARBICAN_PORT" || return 1
    [ "$(curl --noproxy '*' -s -o /dev/null -m 60 -w '%{http_code}' "$BARBICAN_URL/v1/secrets")" = 401 ]
}

# Its slow half, which does not need Keystone.
barbican_prepare() {
    local dir=$STATE/barbican log=$STATE/log/barbican-setup.log
    barbican_configure "$dir"
    make_database barbican "$dir/barbican.db" barbican-common "$log" barbican_sync "$log"
}

barbican_sync() { run_logged "$1" clean_env HOME="$STATE/barbican" barbican-db-manage upgrade; }

# Barbican takes no path to its configuration: it looks for it below HOME first, and then in /etc/barbican, where the package's own lies.
barbican_configure() {
    local dir=$1
    mkdir -p "$dir/.barbican"
    chmod 0700 "$dir"
    write_file "$dir/.barbican/barbican.conf" barbican_conf
}

barbican_conf() {
    cat <<CONF
[DEFAULT]
host_href = $BARBICAN_URL
sql_connection = sqlite:///$STATE/barbican/barbican.db
db_auto_create = false
log_file = $STATE/log/barbican-api.log
[keystone_authtoken]
$(keystone_account barbican "$BARBICAN_PASSWORD")
www_authenticate_uri = $KEYSTONE_URL
[simple_crypto_plugin]
kek = $(printf %s "$BARBICAN_KEY" | base64)
CONF
}
