# shellcheck shell=bash
# Compute nodes: each a network, mount, pid and uts namespace of its own on its site's bridge, with real sshds on 22 and 2022.

NODE_ADMIN=tripleo-admin

nodes_up() {
    local node running=()
    say "starting nodes $(node_names)"
    each_node node_keys
    each_site site_migration_key
    write_known_hosts
    start_one() {
        (node_up) &
        running+=("$!")
    }
    each_node start_one
    for node in "${running[@]}"; do wait "$node" || fail "a node did not start; logs: $STATE/nodes/*/log"; done
}

# each_node COMMAND…: calls it with SITE, NUMBER, COUNT, BRIDGE and NODE, ROOM, ADDRESS, API_ADDRESS, LINK set.
each_node() {
    nodes_of_site() {
        local i
        for ((i = 0; i < COUNT; i++)); do
            NODE=$SITE-compute-$i ROOM=$STATE/nodes/$SITE-compute-$i LINK=fc${SLOT}s${NUMBER}n$i
            ADDRESS=$NET.$NUMBER.$((10 + i)) API_ADDRESS=$NET.$((100 + NUMBER)).$((10 + i))
            "$@"
        done
    }
    each_site nodes_of_site "$@"
}

node_names() {
    local names=()
    collect_name() { names+=("$NODE"); }
    each_node collect_name
    echo "${names[*]}"
}

# Leaves the node's variables set for the caller.
find_node() {
    local wanted=$1 found=no values
    match_node() {
        [ "$NODE" != "$wanted" ] || { found=yes; values=("$SITE" "$NUMBER" "$NODE" "$ROOM" "$LINK" "$ADDRESS" "$API_ADDRESS"); }
    }
    each_node match_node
    [ $found = yes ] || fail "no node '$wanted' in lab $NAME (nodes: $(node_names))"
    SITE=${values[0]} NUMBER=${values[1]} NODE=${values[2]} ROOM=${values[3]} LINK=${values[4]} ADDRESS=${values[5]} API_ADDRESS=${values[6]}
}

node_keys() {
    mkdir -p "$ROOM/hostkeys" "$ROOM/log"
    chmod 0700 "$ROOM/hostkeys"
    make_ssh_key "$ROOM/hostkeys/ssh_host_ed25519_key" '' -t ed25519
    make_ssh_key "$ROOM/hostkeys/ssh_host_ecdsa_key" '' -t ecdsa
}

# Cold migration's key: nova of one node reaches nova_migration of the others of its site, and of no other site.
site_migration_key() { make_ssh_key "$STATE/keys/migration_$SITE" '' -t ed25519; }

node_up() {
    if alive "node-$NODE"; then
        node_start "$NODE"
        return
    fi
    local instances=$ROOM/instances
    node_remains_down
    mkdir -p "$ROOM"/{etc,home,root,var-lib/nova/.ssh,usr-local-bin} "$instances"
    # Mounted here and bound into the node, so that tests see what lies on a node's disk without going through it.
    mountpoint -q "$instances" || mount -t tmpfs -o "size=$NODE_DISK,mode=0755" "lab-$NODE" "$instances"
    mkdir -p "$instances/_base" "$instances/locks"
    chown 42436:42436 "$instances" "$instances/_base" "$instances/locks"
    node_etc
    node_programs
    node_nova
    node_network
    start_process "node-$NODE" "$ROOM/log/init.log" nsenter --net="/run/netns/$LINK" \
        unshare --mount --propagation slave --uts --pid --fork --kill-child --mount-proc \
        /bin/sh "$LAB_HOME/node/init.sh" "$STATE" "$NODE"
    until_true 60 "sshd of $NODE" "$ROOM/log/" node_answers
    say "node $NODE is up at $ADDRESS"
}

node_answers() {
    alive "node-$NODE" || fail "node $NODE ended while starting; see $ROOM/log/init.log"
    port_answers "$ADDRESS" 22 && port_answers "$ADDRESS" 2022
}

node_network() {
    ip netns add "$LINK"
    ip link add "$LINK" type veth peer name eth0 netns "$LINK"
    ip link set "$LINK" master "$BRIDGE" up
    # As compute nodes have it. BBR takes the moments that a busy machine lets a packet wait for the line's own, and crawls.
    ip netns exec "$LINK" sysctl -qw net.ipv4.tcp_congestion_control=cubic 2>/dev/null \
        || ip netns exec "$LINK" sysctl -qw net.ipv4.tcp_congestion_control=reno
    ip -n "$LINK" link set lo up
    ip -n "$LINK" address add "$ADDRESS/24" dev eth0
    ip -n "$LINK" address add "$API_ADDRESS/24" dev eth0
    ip -n "$LINK" link set eth0 up
    ip -n "$LINK" route add default via "$NET.$NUMBER.1"
    [ "$LAN" = off ] || lan_set "$LAN"
}

# A copy, not single files bound over: those vanish whenever anyone on the machine adds a user.
node_etc() {
    local etc=$ROOM/etc
    rm -rf "$etc"
    cp -a /etc "$etc"
    rm -rf "$etc"/{rabbitmq,keystone,glance,nova,neutron,placement} "$etc"/ssh/ssh_host_* "$etc"/{passwd,group,shadow,gshadow}-
    awk -F: '$1 !~ /^(nova|nova_migration|tripleo-admin)$/ && $3 !~ /^4243[567]$/' /etc/passwd >"$etc/passwd"
    awk -F: '$1 !~ /^(nova|nova_migration|tripleo-admin)$/ && $3 !~ /^4243[567]$/' /etc/group >"$etc/group"
    cat >>"$etc/passwd" <<PASSWD
$NODE_ADMIN:x:42435:42435::/home/$NODE_ADMIN:/bin/sh
nova:x:42436:42436::/var/lib/nova:/bin/sh
nova_migration:x:42437:42437::/home/nova_migration:/bin/sh
PASSWD
    printf '%s:x:42435:\nnova:x:42436:\nnova_migration:x:42437:\n' "$NODE_ADMIN" >>"$etc/group"
    # '*' is "no password"; '!' would be "locked", which sshd without PAM refuses even with a key.
    awk -F: '{ print $1 ":*:19000:0:99999:7:::" }' "$etc/passwd" >"$etc/shadow"
    awk -F: '{ print $1 ":*::" }' "$etc/group" >"$etc/gshadow"
    echo "$NODE.localdomain" >"$etc/hostname"
    : >"$etc/resolv.conf"
    sed -i 's/^hosts:.*/hosts: files/' "$etc/nsswitch.conf"
    node_hosts >"$etc/hosts"
    node_sudoers "$etc/sudoers.d"
    node_sshd "$etc/ssh"
}

node_hosts() {
    local site=$SITE
    echo "127.0.0.1 localhost"
    # The node's own name must be among them: sudo looks it up at every call.
    host_lines() {
        [ "$SITE" = "$site" ] || return 0
        echo "$API_ADDRESS $NODE.localdomain $NODE.internalapi.localdomain $NODE"
        echo "$ADDRESS $NODE.ctlplane.localdomain"
    }
    (each_node host_lines)
}

node_sudoers() {
    echo "$NODE_ADMIN ALL=(ALL) NOPASSWD:ALL" >"$1/$NODE_ADMIN"
    cat >"$1/nova_migration" <<'SUDO'
Defaults!/usr/local/bin/nova-migration-wrapper env_keep += "SSH_ORIGINAL_COMMAND"
nova_migration ALL=(nova) NOPASSWD: /usr/local/bin/nova-migration-wrapper
SUDO
    chmod 0440 "$1/$NODE_ADMIN" "$1/nova_migration"
}

node_sshd() {
    local ssh=$1 port
    cp -a "$ROOM"/hostkeys/* "$ssh/"
    rm -f "$ssh"/sshd_config.d/*.conf
    mkdir -p "$ssh/authorized_keys"
    cat "$STATE"/keys/id_*.pub >"$ssh/authorized_keys/$NODE_ADMIN"
    cat "$STATE/keys/migration_$SITE.pub" >"$ssh/authorized_keys/nova_migration"
    chmod -R u=rwX,go=rX "$ssh/authorized_keys"
    for port in 22 2022; do
        cat >"$ssh/sshd_config_$port" <<SSHD
Port $port
HostKey /etc/ssh/ssh_host_ed25519_key
HostKey /etc/ssh/ssh_host_ecdsa_key
PidFile /run/sshd-$port.pid
AuthorizedKeysFile /etc/ssh/authorized_keys/%u
UsePAM no
UseDNS no
PermitRootLogin no
PasswordAuthentication no
KbdInteractiveAuthentication no
PrintMotd no
PrintLastLog no
MaxStartups 100:30:200
MaxSessions 100
Subsystem sftp /usr/lib/openssh/sftp-server
SSHD
    done
    echo "AllowUsers $NODE_ADMIN" >>"$ssh/sshd_config_22"
    cat >>"$ssh/sshd_config_2022" <<'SSHD'
AllowUsers nova_migration
DisableForwarding yes
PermitTTY no
ForceCommand sudo -n -u nova /usr/local/bin/nova-migration-wrapper
SSHD
}

node_programs() {
    install -m 0755 "$LAB_HOME/node/podman" "$LAB_HOME/node/nova-migration-wrapper" "$LAB_HOME/node/lab-sshd" "$ROOM/usr-local-bin/"
    mkdir -p "$ROOM/home/$NODE_ADMIN" "$ROOM/home/nova_migration"
    chown 42435:42435 "$ROOM/home/$NODE_ADMIN"
    chown 42437:42437 "$ROOM/home/nova_migration"
    chmod 0700 "$ROOM/root" "$ROOM/home/$NODE_ADMIN" "$ROOM/home/nova_migration"
}

node_nova() {
    local nova=$ROOM/etc/nova puppet=$ROOM/var-lib/config-data/puppet-generated/nova_libvirt/etc/nova
    mkdir -p "$nova/migration" "$puppet" "$ROOM/var-lib/nova/instances"
    cat >"$nova/nova.conf" <<CONF
[DEFAULT]
host = $NODE.localdomain
instances_path = /var/lib/nova/instances
force_raw_images = false

[image_cache]
remove_unused_original_minimum_age_seconds = $TTL
manager_interval = 2400

[libvirt]
images_type = default
CONF
    # TripleO keeps it here on the host; the container sees it as /etc/nova/nova.conf.
    ln -sfn /etc/nova/nova.conf "$puppet/nova.conf"
    chmod 0640 "$nova/nova.conf"
    chown root:42436 "$nova/nova.conf"
    cp "$STATE/keys/migration_$SITE" "$nova/migration/identity"
    site_known_hosts >"$nova/migration/known_hosts"
    cat >"$ROOM/var-lib/nova/.ssh/config" <<'SSH'
Host *
    User nova_migration
    Port 2022
    IdentityFile /etc/nova/migration/identity
    UserKnownHostsFile /etc/nova/migration/known_hosts
    StrictHostKeyChecking yes
    BatchMode yes
SSH
    chmod 0700 "$nova/migration" "$ROOM/var-lib/nova/.ssh"
    chmod 0600 "$nova/migration/identity" "$ROOM/var-lib/nova/.ssh/config"
    chown -R 42436:42436 "$nova/migration" "$ROOM/var-lib/nova"
}

site_known_hosts() {
    local site=$SITE
    line_of_site() { if [ "$SITE" = "$site" ]; then known_lines 2022; fi; }
    (each_node line_of_site)
}

# known_lines PORT: this node's host keys under each of its addresses and names, as ssh writes them for that port.
known_lines() {
    local key patterns=$ADDRESS,$API_ADDRESS,$NODE,$NODE.localdomain,$NODE.internalapi.localdomain,$NODE.ctlplane.localdomain
    [ "$1" = 22 ] || patterns="[${patterns//,/]:$1,[}]:$1"
    for key in "$ROOM"/hostkeys/*.pub; do echo "$patterns $(cut -d' ' -f1,2 "$key")"; done
}

write_known_hosts() {
    both_ports() { known_lines 22; known_lines 2022; }
    each_node both_ports >"$STATE/known_hosts"
}

# inside_node COMMAND…: in the node's namespaces, through its first process.
inside_node() {
    local outer child
    outer=$(recorded_pid "node-$NODE")
    child=$(cat "/proc/$outer/task/$outer/children")
    nsenter -t "${child%% *}" --mount --uts --net --pid -- env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@" \
        </dev/null >>"$ROOM/log/init.log" 2>&1
}

# Away as a crashed node is: its listeners and every session and transfer on it end at once.
node_stop() {
    alive "node-$NODE" || fail "node $NODE is not running: lab up --name $NAME"
    inside_node sh -c 'kill -9 -1' || true
    node_refuses() { ! port_answers "$ADDRESS" 22 && ! port_answers "$ADDRESS" 2022; }
    until_true 20 "the end of sshd on $NODE" "$ROOM/log/" node_refuses
    say "node $NODE is away"
}

node_start() {
    alive "node-$NODE" || fail "node $NODE is not running: lab up --name $NAME"
    if port_answers "$ADDRESS" 22 && port_answers "$ADDRESS" 2022; then return; fi
    inside_node lab-sshd
    until_true 30 "sshd of $NODE" "$ROOM/log/" node_answers
    say "node $NODE is back"
}

# A cut cable: packets vanish, connections hang until somebody's deadline.
node_unplug() { ip link set "$LINK" down && say "node $NODE is unplugged"; }
node_plug() { ip link set "$LINK" up && say "node $NODE is plugged in"; }

nodes_status() {
    one_status() {
        local state=stopped
        if alive "node-$NODE"; then
            state=away
            if port_answers "$ADDRESS" 22; then state=running; fi
        fi
        echo "node $NODE $state ($ADDRESS, internal_api $API_ADDRESS)"
    }
    each_node one_status
}

any_node_alive() {
    local record
    for record in "$STATE"/pids/node-*; do
        if [ -e "$record" ] && alive "${record##*/}"; then return 0; fi
    done
    return 1
}

# By what is recorded and mounted, not by the settings: those may have changed since.
nodes_down() {
    local record pid
    for record in "$STATE"/pids/node-*; do
        [ -e "$record" ] || continue
        # unshare blocks SIGTERM while its child lives; its death takes the whole pid namespace with it.
        if alive "${record##*/}"; then
            pid=$(recorded_pid "${record##*/}")
            kill -KILL "$pid"
            until_true 10 "the end of ${record##*/}" "$STATE/log" not_alive "${record##*/}"
        fi
        rm -f "$record"
    done
    local netns mounted
    for netns in /run/netns/fc"$SLOT"s*; do
        if [ -e "$netns" ]; then netns_down "${netns##*/}"; fi
    done
    for mounted in "$STATE"/nodes/*/instances; do
        if mountpoint -q "$mounted"; then umount "$mounted" 2>/dev/null || umount -l "$mounted"; fi
    done
    say "nodes stopped"
}

netns_down() {
    netns_empty() { [ -z "$(ip netns pids "$1")" ]; }
    until_true 10 "the end of the processes in $1" "$STATE/log" netns_empty "$1"
    ip netns delete "$1"
    # The kernel takes the pair away with the namespace, but in its own time.
    ip link delete "$1" 2>/dev/null || true
}

node_remains_down() {
    [ ! -e "/run/netns/$LINK" ] || netns_down "$LINK"
    ip link delete "$LINK" 2>/dev/null || true
}
