# shellcheck shell=bash
# memcached, as clouds have it: what one process of Keystone or Glance found out about a token, which takes most of a second here, the others know.

memcached_up() {
    ! alive memcached || return 0
    start_process memcached "$STATE/log/memcached.log" memcached -u nobody -l 127.0.0.1 -p "$MEMCACHED_PORT" -m 16
    until_true 20 "memcached on 127.0.0.1:$MEMCACHED_PORT" "$STATE/log/memcached.log" port_answers 127.0.0.1 "$MEMCACHED_PORT"
}

memcached_stop() { stop_process memcached; }
