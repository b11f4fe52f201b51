# shellcheck shell=bash
# Everything random of a lab, made once: passwords, the lab's CA, the operator's SSH keys.

make_secrets() {
    local log=$STATE/log/secrets.log
    mkdir -p "$STATE/keys" "$STATE/tls"
    chmod 0700 "$STATE/keys"
    chmod 0755 "$STATE/tls"
    local name
    (umask 077 && touch "$STATE/secrets" && cp "$STATE/secrets" "$STATE/secrets.new")
    for name in RABBITMQ_PASSWORD RABBITMQ_COOKIE ADMIN_PASSWORD GLANCE_PASSWORD NOVA_PASSWORD BARBICAN_PASSWORD BARBICAN_KEY SSH_PASSPHRASE; do
        grep -q "^$name=" "$STATE/secrets.new" || printf "%s='%s'\n" "$name" "$(openssl rand -hex 16)" >>"$STATE/secrets.new"
    done
    mv "$STATE/secrets.new" "$STATE/secrets"
    # shellcheck source=/dev/null
    . "$STATE/secrets"
    make_ssh_key "$STATE/keys/id_ed25519" '' -t ed25519
    make_ssh_key "$STATE/keys/id_ecdsa" '' -t ecdsa -b 256
    make_ssh_key "$STATE/keys/id_rsa" '' -t rsa -b 2048
    make_ssh_key "$STATE/keys/id_encrypted" "$SSH_PASSPHRASE" -t ed25519
    if has_part rabbitmq; then make_tls "$log"; fi
}

make_ssh_key() {
    local file=$1 passphrase=$2
    shift 2
    [ -e "$file.pub" ] || run_logged "$STATE/log/secrets.log" ssh-keygen -q "$@" -N "$passphrase" -C "lab-$NAME" -f "$file"
}

make_tls() {
    local log=$1 tls=$STATE/tls
    [ ! -e "$tls/server.pem" ] || return 0
    run_logged "$log" openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 \
        -subj "/CN=forecache lab $NAME CA" -keyout "$tls/ca.key" -out "$tls/ca.pem"
    run_logged "$log" openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
        -subj /CN=localhost -keyout "$tls/server.key" -out "$tls/server.csr"
    printf 'subjectAltName=DNS:localhost,IP:127.0.0.1,IP:%s\nextendedKeyUsage=serverAuth\n' "$SERVICE_IP" >"$tls/server.ext"
    run_logged "$log" openssl x509 -req -days 3650 -in "$tls/server.csr" -CA "$tls/ca.pem" -CAkey "$tls/ca.key" -CAcreateserial \
        -extfile "$tls/server.ext" -out "$tls/server.pem.new"
    chmod 0600 "$tls"/*.key
    mv "$tls/server.pem.new" "$tls/server.pem"
}
