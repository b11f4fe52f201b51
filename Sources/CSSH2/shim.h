// libssh2 for Swift: only what Swift cannot see (macros, packed unions, callbacks cast to void *), and the sockets and epoll that its one loop needs.
// Everything else is called by its own name.
#pragma once
#include <errno.h>
#include <libssh2.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

// Blocks of 128 KiB and more get pages of their own for ever, which go back when they are freed. Left to itself, malloc moves this line up to the largest
// block that was ever freed, and a fleet's surveys (large, all at once, soon gone) leave holes as large as all that is kept of them.
static inline void cssh2_keep_large_blocks_apart(void) { (void)mallopt(M_MMAP_THRESHOLD, 128 * 1024); }

static inline int cssh2_epoll_create(void) { return epoll_create1(EPOLL_CLOEXEC); }

static inline int cssh2_eventfd(void) { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }

static inline int cssh2_epoll_add_doorbell(int epoll, int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data = {.u64 = 0}};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

// Arms fd once. `directions` as libssh2_session_block_directions has them: 1 in, 2 out.
static inline int cssh2_epoll_arm(int epoll, int fd, int directions, uint64_t token) {
    struct epoll_event event = {
        .events = EPOLLONESHOT | ((directions & 1) ? EPOLLIN : 0u) | ((directions & 2) ? EPOLLOUT : 0u), .data = {.u64 = token}};
    int rc = epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event);
    return rc != 0 && errno == ENOENT ? epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) : rc;
}

// Number of tokens written, at most 64; 0 on time-out and on a signal.
static inline int cssh2_epoll_wait(int epoll, uint64_t *tokens, int timeout_ms) {
    struct epoll_event events[64];
    int count = epoll_wait(epoll, events, 64, timeout_ms);
    for (int i = 0; i < count; i++) tokens[i] = events[i].data.u64;
    return count < 0 ? 0 : count;
}

// A non-blocking TCP socket that notices a dead peer by itself; -1 and errno on error.
static inline int cssh2_tcp_socket(int family, unsigned int dead_after_ms) {
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    if (fd < 0) return fd;
    int on = 1, seconds = 15;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof seconds);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &seconds, sizeof seconds);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &dead_after_ms, sizeof dead_after_ms);
    return fd;
}

// Starts a connection: 0, or errno (EINPROGRESS is the usual one).
static inline int cssh2_connect(int fd, const void *address, unsigned int length) {
    return connect(fd, (const struct sockaddr *)address, length) == 0 ? 0 : errno;
}

// How a connection that was started ended: 0 or errno.
static inline int cssh2_connect_result(int fd) {
    int error = 0;
    socklen_t length = sizeof error;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : errno;
}

// A non-blocking connection to a unix socket; -1 and errno on error.
static inline int cssh2_unix_connect(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static inline ssize_t cssh2_send(int fd, const void *bytes, size_t count) { return send(fd, bytes, count, MSG_NOSIGNAL); }

// 1 while nothing has happened on an idle connection: a server that closed it, or that says anything, makes it 0.
static inline int cssh2_is_quiet(int fd) {
    char byte;
    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

// The inner session of a jump host: its socket is a channel of the outer session, kept in the inner session's abstract pointer; NULL once it is over.
static inline ssize_t cssh2_receive_through(libssh2_socket_t socket, void *bytes, size_t count, int flags, void **abstract) {
    (void)socket, (void)flags;
    LIBSSH2_CHANNEL *channel = (LIBSSH2_CHANNEL *)*abstract;
    if (!channel) return -ECONNRESET;
    ssize_t got = libssh2_channel_read_ex(channel, 0, (char *)bytes, count);
    if (got > 0) return got;
    if (got == LIBSSH2_ERROR_EAGAIN || (got == 0 && !libssh2_channel_eof(channel))) return -EAGAIN;
    return got == 0 ? 0 : -ECONNRESET;
}

static inline ssize_t cssh2_send_through(libssh2_socket_t socket, const void *bytes, size_t count, int flags, void **abstract) {
    (void)socket, (void)flags;
    if (!*abstract) return -ECONNRESET;
    ssize_t sent = libssh2_channel_write_ex((LIBSSH2_CHANNEL *)*abstract, 0, (const char *)bytes, count);
    if (sent > 0) return sent;
    return sent == 0 || sent == LIBSSH2_ERROR_EAGAIN ? -EAGAIN : -ECONNRESET;
}

static inline LIBSSH2_SESSION *cssh2_session_through(LIBSSH2_CHANNEL *channel) {
    LIBSSH2_SESSION *session = libssh2_session_init_ex(NULL, NULL, NULL, channel);
    if (session) {
        libssh2_session_callback_set(session, LIBSSH2_CALLBACK_RECV, (void *)cssh2_receive_through);
        libssh2_session_callback_set(session, LIBSSH2_CALLBACK_SEND, (void *)cssh2_send_through);
    }
    return session;
}

// What libssh2 wants signed, and the signature once somebody made it. The callback answers "would block" until then, so that a signature may come
// from an agent or another thread while the loop goes on.
struct cssh2_signature {
    unsigned char *data;
    size_t data_length;
    unsigned char *signature;
    size_t signature_length;
};

static inline int cssh2_sign(LIBSSH2_SESSION *session, unsigned char **sig, size_t *sig_len, const unsigned char *data, size_t data_len,
                             void **abstract) {
    (void)session;
    struct cssh2_signature *state = (struct cssh2_signature *)*abstract;
    if (state->signature) {
        *sig = state->signature;
        *sig_len = state->signature_length;
        state->signature = NULL;
        return 0;
    }
    if (!state->data && (state->data = (unsigned char *)malloc(data_len))) {
        memcpy(state->data, data, data_len);
        state->data_length = data_len;
    }
    return state->data ? LIBSSH2_ERROR_EAGAIN : -1;
}

static inline int cssh2_userauth_publickey(LIBSSH2_SESSION *session, const char *user, const unsigned char *key, size_t key_length,
                                           struct cssh2_signature *state) {
    void *abstract = state;
    return libssh2_userauth_publickey(session, user, key, key_length, cssh2_sign, &abstract);
}
