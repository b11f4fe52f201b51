# shellcheck shell=bash
# Debian packages by part. When all are there nothing is asked of the network.

EVERY_LAB="openssl openssh-client iproute2 procps util-linux"

packages_of() {
    case $1 in
        rabbitmq) echo rabbitmq-server ;;
        keystone) echo keystone memcached uwsgi-core uwsgi-plugin-python3 python3-pymysql python3-memcache python3-openstackclient sqlite3 jq curl ;;
        glance) echo glance-api python3-pymysql python3-memcache sqlite3 jq curl ;;
        barbican) echo barbican-common uwsgi-core uwsgi-plugin-python3 sqlite3 curl ;;
        nova) echo nova-api nova-conductor nova-compute placement-api uwsgi-core uwsgi-plugin-python3 python3-pymysql python3-memcache sqlite3 jq curl ;;
        nodes) echo openssh-server sudo python3 qemu-utils curl ;;
        *) fail "unknown part $1 (known: $ALL_PARTS)" ;;
    esac
}

missing_packages() {
    local part package
    for part in ${1//,/ }; do
        for package in $EVERY_LAB $(packages_of "$part"); do
            [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
        done
    done | sort -u
}

check_packages() {
    local missing
    missing=$(missing_packages "$1")
    [ -z "$missing" ] || fail "packages missing: ${missing//$'\n'/ } (remedy: $LAB_HOME/lab install $1)"
}

install_packages() {
    local parts=$1 missing log=/var/log/forecache-lab-install.log
    merged_parts "" "$parts" >/dev/null
    missing=$(missing_packages "$parts")
    if [ -z "$missing" ]; then
        say "all packages for $parts are installed"
        return
    fi
    say "installing ${missing//$'\n'/ } (log: $log)"
    forbid_service_starts
    : >"$log"
    run_logged "$log" apt-get update
    # shellcheck disable=SC2086
    run_logged "$log" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing
    say "packages for $parts are installed"
}

# Debian starts what it installs; policy-rc.d says no. One that is there already is left as it is.
forbid_service_starts() {
    local policy=/usr/sbin/policy-rc.d
    [ ! -e "$policy" ] || return 0
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 0755 "$policy"
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
}
