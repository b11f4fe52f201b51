# shellcheck shell=bash
# What others read: lab.env, overcloudrc, clouds.yaml and one inventory per site.

write_outputs() {
    write_file "$STATE/lab.env" lab_env_text
    if has_part keystone; then
        write_file "$STATE/overcloudrc" overcloudrc_text
        write_file "$STATE/clouds.yaml" clouds_text
    fi
    if has_part nodes; then
        mkdir -p "$STATE/inventories"
        local file
        for file in "$STATE"/inventories/*; do
            case ",$SITES" in *",$(basename "$file" .yaml):"*) ;; *) rm -f "$file" ;; esac
        done
        each_site write_inventory
    fi
}

# All of them hold secrets or paths to them, and readers must never see half a file.
write_file() {
    local file=$1
    shift
    (umask 077 && "$@" >"$file.new")
    mv "$file.new" "$file"
}

entry() { printf "%s='%s'\n" "$1" "$2"; }

lab_env_text() {
    entry LAB_NAME "$NAME"
    entry LAB_STATE "$STATE"
    entry LAB_PARTS "$PARTS"
    entry LAB "$LAB_HOME/lab --name $NAME --state $STATE"
    if has_part rabbitmq; then
        entry RABBITMQ_URL "rabbit://lab:$RABBITMQ_PASSWORD@127.0.0.1:$AMQP_PORT/openstack"
        entry RABBITMQ_TLS_URL "rabbit://lab:$RABBITMQ_PASSWORD@127.0.0.1:$AMQPS_PORT/openstack?ssl=1&ssl_ca_file=$STATE/tls/ca.pem"
        entry RABBITMQ_CA_FILE "$STATE/tls/ca.pem"
        entry RABBITMQ_HOST 127.0.0.1
        entry RABBITMQ_PORT "$AMQP_PORT"
        entry RABBITMQ_TLS_PORT "$AMQPS_PORT"
        entry RABBITMQ_USER lab
        entry RABBITMQ_PASSWORD "$RABBITMQ_PASSWORD"
        entry RABBITMQ_VHOST openstack
        entry RABBITMQCTL "$STATE/bin/rabbitmqctl"
    fi
    if has_part keystone; then
        credentials entry
        entry OVERCLOUDRC "$STATE/overcloudrc"
        entry CLOUDS_YAML "$STATE/clouds.yaml"
    fi
    if has_part glance; then entry GLANCE_URL "$GLANCE_URL"; fi
    if has_part barbican; then entry BARBICAN_URL "$BARBICAN_URL"; fi
    if has_part nova; then entry NOVA_URL "$NOVA_URL"; fi
    if has_part nodes; then nodes_env; fi
}

# credentials WRITER: the same values for lab.env and overcloudrc.
credentials() {
    "$1" OS_AUTH_URL "$KEYSTONE_URL/v3"
    "$1" OS_USERNAME admin
    "$1" OS_PASSWORD "$ADMIN_PASSWORD"
    "$1" OS_PROJECT_NAME admin
    "$1" OS_USER_DOMAIN_NAME Default
    "$1" OS_PROJECT_DOMAIN_NAME Default
    "$1" OS_REGION_NAME RegionOne
    "$1" OS_IDENTITY_API_VERSION 3
    "$1" OS_INTERFACE public
}

nodes_env() {
    entry INVENTORY "$STATE/inventories"
    entry NODES "$(node_names)"
    site_env() {
        local site=$SITE names=()
        name_of_site() { if [ "$SITE" = "$site" ]; then names+=("$NODE"); fi; }
        each_node name_of_site
        SITE=$site
        entry "NODES_$SITE" "${names[*]}"
    }
    local sites='' one
    for one in ${SITES//,/ }; do
        sites="$sites ${one%%:*}"
    done
    entry SITE_NAMES "${sites# }"
    for one in $sites; do
        SITE=$one
        site_env
    done
    node_env() {
        local key=${NODE//-/_}
        entry "ADDRESS_$key" "$ADDRESS"
        entry "INTERNAL_API_$key" "$API_ADDRESS"
        entry "INSTANCES_$key" "$ROOM/instances"
        entry "NOVA_CONF_$key" "$ROOM/etc/nova/nova.conf"
    }
    each_node node_env
    entry NODES_DIR "$STATE/nodes"
    entry NOVA_CONF /var/lib/config-data/puppet-generated/nova_libvirt/etc/nova/nova.conf
    entry SSH_USER "$NODE_ADMIN"
    entry SSH_IDENTITY "$STATE/keys/id_ed25519"
    entry SSH_IDENTITY_ECDSA "$STATE/keys/id_ecdsa"
    entry SSH_IDENTITY_RSA "$STATE/keys/id_rsa"
    entry SSH_IDENTITY_ENCRYPTED "$STATE/keys/id_encrypted"
    entry SSH_PASSPHRASE "$SSH_PASSPHRASE"
    entry SSH_KNOWN_HOSTS "$STATE/known_hosts"
    entry PEER_USER nova_migration
    entry PEER_PORT 2022
    entry PEER_IDENTITY /etc/nova/migration/identity
    entry PEER_KNOWN_HOSTS /etc/nova/migration/known_hosts
}

# Shaped as TripleO writes it into the undercloud user's home.
overcloudrc_text() {
    cat <<'RC'
# Clear any old environment that may conflict.
for key in $( set | awk '{FS="="}  /^OS_/ {print $1}' ); do unset $key ; done
RC
    exported() { printf "export %s=%s\n" "$1" "$2"; }
    credentials exported
    exported OS_AUTH_TYPE password
    exported OS_IMAGE_API_VERSION 2
    exported OS_CLOUDNAME overcloud
    exported no_proxy "\${no_proxy:+\$no_proxy,}$SERVICE_IP"
}

clouds_text() {
    cat <<YAML
clouds:
  lab:
    auth:
      auth_url: $KEYSTONE_URL/v3
      username: admin
      password: $ADMIN_PASSWORD
      project_name: admin
      user_domain_name: Default
      project_domain_name: Default
    region_name: RegionOne
    interface: public
    identity_api_version: 3
YAML
}

write_inventory() { write_file "$STATE/inventories/$SITE.yaml" inventory_text; }

inventory_text() {
    local i
    echo "Compute:"
    echo "  hosts:"
    for ((i = 0; i < COUNT; i++)); do inventory_host "$SITE-compute-$i" "$NET.$NUMBER.$((10 + i))" "$NET.$((100 + NUMBER)).$((10 + i))"; done
    cat <<YAML
  vars:
    ansible_ssh_user: $NODE_ADMIN
    serial: '1'
    tripleo_role_name: Compute
    tripleo_role_networks:
    - ctlplane
    - internal_api
$SITE:
  children:
    Compute: {}
  vars:
    container_cli: podman
    ctlplane_vip: $NET.$NUMBER.1
allovercloud:
  children:
    $SITE: {}
nova_compute:
  children:
    Compute: {}
  vars:
    ansible_ssh_user: $NODE_ADMIN
nova_libvirt:
  children:
    Compute: {}
  vars:
    ansible_ssh_user: $NODE_ADMIN
nova_migration_target:
  children:
    Compute: {}
  vars:
    ansible_ssh_user: $NODE_ADMIN
YAML
}

inventory_host() {
    cat <<YAML
    $1:
      ansible_host: $2
      canonical_hostname: $1.localdomain
      ctlplane_hostname: $1.ctlplane.localdomain
      ctlplane_ip: $2
      internal_api_hostname: $1.internalapi.localdomain
      internal_api_ip: $3
YAML
}
