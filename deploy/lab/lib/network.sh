# shellcheck shell=bash
# Slots, addresses, bridges and the WAN limit.
#
# A lab owns a slot (0..19) and with it: ports 21000+50*slot.., interfaces fc<slot>…, the service address 10.<20+slot>.0.1,
# per site number s the control plane 10.<20+slot>.<s>.0/24 and the nodes' own network internal_api 10.<20+slot>.<100+s>.0/24.

SLOTS=/var/tmp/forecache-lab/.slots

take_slot() {
    mkdir -p "$SLOTS"
    local lock n owner
    exec {lock}>"$SLOTS/.lock"
    flock "$lock"
    if [ -e "$STATE/slot" ]; then
        n=$(cat "$STATE/slot")
        [ "$(cat "$SLOTS/$n" 2>/dev/null)" != "$STATE" ] || { exec {lock}>&-; return 0; }
    fi
    for n in {0..19}; do
        owner=$(cat "$SLOTS/$n" 2>/dev/null || true)
        if [ -n "$owner" ] && [ "$(cat "$owner/slot" 2>/dev/null)" = "$n" ]; then continue; fi
        [ ! -e "/sys/class/net/fc${n}svc" ] || continue
        echo "$STATE" >"$SLOTS/$n"
        echo "$n" >"$STATE/slot"
        exec {lock}>&-
        return
    done
    fail "all 20 slots are taken (see $SLOTS): lab down --purge the labs that are not needed"
}

release_slot() {
    local n
    n=$(cat "$STATE/slot" 2>/dev/null) || return 0
    [ "$(cat "$SLOTS/$n" 2>/dev/null)" != "$STATE" ] || rm -f "$SLOTS/$n"
}

derive_addresses() {
    SLOT=$(cat "$STATE/slot")
    local base=$((21000 + 50 * SLOT))
    AMQP_PORT=$base AMQPS_PORT=$((base + 1)) DIST_PORT=$((base + 2)) EPMD_PORT=$((base + 3))
    KEYSTONE_PORT=$((base + 4)) GLANCE_PORT=$((base + 5)) NOVA_PORT=$((base + 6)) PLACEMENT_PORT=$((base + 7)) BARBICAN_PORT=$((base + 8)) MEMCACHED_PORT=$((base + 9))
    NET=10.$((20 + SLOT))
    SERVICE_IP=$NET.0.1
    KEYSTONE_URL=http://$SERVICE_IP:$KEYSTONE_PORT
    GLANCE_URL=http://$SERVICE_IP:$GLANCE_PORT
    NOVA_URL=http://$SERVICE_IP:$NOVA_PORT
    PLACEMENT_URL=http://$SERVICE_IP:$PLACEMENT_PORT
    BARBICAN_URL=http://$SERVICE_IP:$BARBICAN_PORT
}

# each_site COMMAND…: calls it with SITE, NUMBER and COUNT set, in the order of --sites.
each_site() {
    local entry
    NUMBER=0
    for entry in ${SITES//,/ }; do
        NUMBER=$((NUMBER + 1)) SITE=${entry%%:*} COUNT=${entry##*:} BRIDGE=fc${SLOT}br$NUMBER
        "$@"
    done
}

network_up() {
    [ -e "/sys/class/net/fc${SLOT}svc" ] || ip link add "fc${SLOT}svc" type bridge
    ip address replace "$SERVICE_IP/24" dev "fc${SLOT}svc"
    ip link set "fc${SLOT}svc" up
    if has_part nodes; then each_site site_bridge_up; fi
}

site_bridge_up() {
    [ -e "/sys/class/net/$BRIDGE" ] || ip link add "$BRIDGE" type bridge
    ip address replace "$NET.$NUMBER.1/24" dev "$BRIDGE"
    ip link set "$BRIDGE" up
    [ "$WAN" = off ] || limit_to "$WAN" dev "$BRIDGE"
}

# limit_to RATE|off DEVICE…: what leaves by that device. A burst of two milliseconds, but no less than a few large packets.
limit_to() {
    local rate=$1
    shift
    if [ "$rate" = off ]; then
        tc "${TC_NETNS[@]}" qdisc delete "$@" root 2>/dev/null || true
    else
        tc "${TC_NETNS[@]}" qdisc replace "$@" root tbf rate "$rate" burst 256kb latency 50ms \
            || fail "tc does not understand the rate $rate (example: 200mbit)"
    fi
}
TC_NETNS=()

# Both ways of the node whose LINK is set: what it receives leaves by our end of its cable, what it sends by its own.
lan_set() {
    limit_to "$1" dev "$LINK"
    TC_NETNS=(-n "$LINK")
    limit_to "$1" dev eth0
    TC_NETNS=()
}

network_down() {
    local link
    for link in /sys/class/net/fc"$SLOT"svc /sys/class/net/fc"$SLOT"br*; do
        [ ! -e "$link" ] || ip link delete "${link##*/}"
    done
}

# What this machine sends into the site's bridge is the site's WAN; node to node inside the site never passes there.
wan_set() {
    local wanted=$1 rate=$2 found=''
    find_bridge() { if [ "$SITE" = "$wanted" ]; then found=$BRIDGE; fi; }
    each_site find_bridge
    if [ -z "$found" ] || [ ! -e "/sys/class/net/$found" ]; then fail "no site $wanted in lab $NAME (sites: $SITES)"; fi
    limit_to "$rate" dev "$found"
    say "WAN of $wanted: $rate"
}
