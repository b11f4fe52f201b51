// librabbitmq for Swift: what is variadic, a macro or a table, and the two OpenSSL settings that librabbitmq 0.11 leaves out.
#pragma once
#include <amqp.h>
#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/eventfd.h>

// amqp_framing.h has these as casts, which Swift does not import.
enum {
    CRABBITMQ_CONNECTION_CLOSE = 0x000A0032,
    CRABBITMQ_CHANNEL_CLOSE = 0x00140028,
    CRABBITMQ_CHANNEL_CLOSE_OK = 0x00140029,
    CRABBITMQ_BASIC_CANCEL = 0x003C001E,
    CRABBITMQ_BASIC_DELIVER = 0x003C003C,
    CRABBITMQ_BASIC_ACK = 0x003C0050,
    CRABBITMQ_BASIC_NACK = 0x003C0078,
};

static inline amqp_table_t crabbitmq_empty_table(void) { return amqp_empty_table; }

static inline amqp_table_entry_t crabbitmq_flag(const char *key, int value) {
    amqp_table_entry_t entry;
    entry.key = amqp_cstring_bytes(key);
    entry.value.kind = AMQP_FIELD_KIND_BOOLEAN;
    entry.value.value.boolean = value;
    return entry;
}

static inline amqp_table_entry_t crabbitmq_text(const char *key, const char *value) {
    amqp_table_entry_t entry;
    entry.key = amqp_cstring_bytes(key);
    entry.value.kind = AMQP_FIELD_KIND_UTF8;
    entry.value.value.bytes = amqp_cstring_bytes(value);
    return entry;
}

// Without consumer_cancel_notify a consumer whose queue was deleted waits for ever; librabbitmq adds its own capabilities to ours.
// The name is what an operator sees in the broker's list of connections.
static inline amqp_rpc_reply_t crabbitmq_login(amqp_connection_state_t state, const char *vhost, int channel_max, int frame_max, int heartbeat,
                                               const char *name, const char *user, const char *password) {
    amqp_table_entry_t capabilities[1] = {crabbitmq_flag("consumer_cancel_notify", 1)};
    amqp_table_entry_t entries[2] = {crabbitmq_text("connection_name", name), crabbitmq_text("capabilities", "")};
    entries[1].value.kind = AMQP_FIELD_KIND_TABLE;
    entries[1].value.value.table.num_entries = 1;
    entries[1].value.value.table.entries = capabilities;
    amqp_table_t properties = {2, entries};
    return amqp_login_with_properties(state, vhost, channel_max, frame_max, heartbeat, &properties, AMQP_SASL_METHOD_PLAIN, user, password);
}

// What notifications are published with: JSON that survives a broker restart. Static text.
static inline amqp_basic_properties_t crabbitmq_persistent_json(void) {
    amqp_basic_properties_t properties = {0};
    properties._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG;
    properties.content_type = amqp_cstring_bytes("application/json");
    properties.delivery_mode = AMQP_DELIVERY_PERSISTENT;
    return properties;
}

// The system's own authorities, for a TLS connection without a CA file. 1 is success.
static inline int crabbitmq_use_system_authorities(amqp_socket_t *socket) {
    return SSL_CTX_set_default_verify_paths((SSL_CTX *)amqp_ssl_socket_get_context(socket));
}

// librabbitmq compares DNS names only: an address is compared with the certificate by OpenSSL itself. 1 is success, 0 where `host` is not an address.
static inline int crabbitmq_expect_address(amqp_socket_t *socket, const char *host) {
    return X509_VERIFY_PARAM_set1_ip_asc(SSL_CTX_get0_param((SSL_CTX *)amqp_ssl_socket_get_context(socket)), host);
}

static inline void crabbitmq_clear_tls_errors(void) { ERR_clear_error(); }

// OpenSSL's reason for the last failure on this thread; NULL where it has none. Static text.
static inline const char *crabbitmq_tls_error(void) { return ERR_reason_error_string(ERR_peek_last_error()); }

// Wakes the connection's thread out of poll(). Non-blocking; negative where no descriptor is left.
static inline int crabbitmq_eventfd(void) { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }

// Sleeps until one of the two descriptors (negative: none) is readable or the time is over (negative: never). Being interrupted counts as woken.
static inline void crabbitmq_wait(int socket, int wakeup, int milliseconds) {
    struct pollfd watched[2] = {{socket, POLLIN, 0}, {wakeup, POLLIN, 0}};
    (void)poll(watched, 2, milliseconds);
}

// timeval belongs to whichever Swift module was loaded first, so it stays in here. librabbitmq copies what these are given.
static inline void crabbitmq_set_deadlines(amqp_connection_state_t state, int milliseconds) {
    struct timeval deadline = {milliseconds / 1000, milliseconds % 1000 * 1000};
    (void)amqp_set_handshake_timeout(state, &deadline);
    (void)amqp_set_rpc_timeout(state, &deadline);
}

static inline int crabbitmq_connect(amqp_socket_t *socket, const char *host, int port, int milliseconds) {
    struct timeval deadline = {milliseconds / 1000, milliseconds % 1000 * 1000};
    return amqp_socket_open_noblock(socket, host, port, &deadline);
}

// One frame, if one is here; AMQP_STATUS_TIMEOUT if none is.
static inline int crabbitmq_next_frame(amqp_connection_state_t state, amqp_frame_t *frame) {
    struct timeval now = {0, 0};
    return amqp_simple_wait_frame_noblock(state, frame, &now);
}
