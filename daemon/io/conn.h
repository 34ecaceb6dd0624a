/* SPDX-License-Identifier: ISC */
/* One non-blocking stream socket, plain or TLS, on one loop. */
#pragma once

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/buf.h"
#include "io/loop.h"
#include "io/tls/tls.h"

struct conn;

/* Callbacks; each may close the conn (and connect it anew) or free its owner by loop_defer. Not
 * called after conn_close. Only the unused ones may be NULL. */
struct conn_ops {
    void (*connected)(
        struct conn *c,
        int err); /* end of conn_connect: 0 or -ERR_x; with an error the conn is closed already */
    void (*secured)(struct conn *c, int err); /* end of a TLS handshake: 0 or -ERR_TLS,
                                                 -ERR_TLS_VERIFY, -ERR_TLS_NAME, -ERR_CLOSED */
    void (*readable)(struct conn *c); /* call conn_read until -ERR_AGAIN or enough for this turn,
                                       * which it says itself after CONN_VISIT_BYTES; called again
                                       * while bytes wait. Also, even with reading off, when pending
                                       * output failed: conn_read then returns the error. */
    void (*drained)(struct conn *c);  /* all pending output was taken by the kernel */
};

/* Most that one call of `readable` can read. A conn that has more waits for its share of the next
 * turns (loop_again), so that a busy one does not hold up the others. */
#define CONN_VISIT_BYTES (256 * 1024)

/* Embed it. Zero memory, then conn_init. Fields are private to io/conn*.c but fd, owner and the
 * counters. */
struct conn {
    struct event event;        /* read side, persistent */
    struct event *write_event; /* only while output is blocked or connecting */
    const struct conn_ops *ops;
    void *owner;
    struct loop *loop;
    struct conn_tls *tls;       /* NULL = plain */
    struct loop_deferred again; /* queued: TLS handshakes, and whoever has more to read than one
                                   visit may; its read event is not listened to meanwhile */
    uint32_t visit_left;        /* bytes that may still be read in this visit */
    struct buf out;             /* what the kernel did not take yet; holds no memory when empty */
    int fd;                     /* -1 = closed */
    bool is_reading : 1, is_connecting : 1, is_securing : 1, is_eof : 1, is_shutdown_wanted : 1,
        is_shutdown_sent : 1;
    bool is_waiting : 1;          /* its handshake, for a certificate: nothing is read */
    bool is_corked : 1;           /* output is gathered in `out` */
    bool is_cut : 1;              /* this visit ended before the bytes did */
    bool is_again : 1;            /* the owner wants another visit */
    bool is_dry : 1;              /* the kernel had no more bytes at the last read of this event */
    bool is_read_armed : 1;       /* `event` is added */
    uint8_t error;                /* ERR_x that broke the connection, 0 = none */
    uint64_t in_bytes, out_bytes; /* application bytes */
};

/* Prepares a closed conn. l, ops and owner are borrowed. All functions: thread of the loop only. */
void conn_init(struct conn *c, struct loop *l, const struct conn_ops *ops, void *owner);
/* Hands the conn over to other callbacks (both borrowed), whatever its state. */
void conn_own(struct conn *c, const struct conn_ops *ops, void *owner);
/* Moves an open conn into another, closed one, callbacks and owner with it; `from` is closed then.
 * -ERR_BUSY: not between a connect, a handshake or pending output and their ends. */
int conn_move(struct conn *to, struct conn *from) NODISCARD;
/* Takes an accepted socket, which has TCP_NODELAY from the listening one (it need not be
 * non-blocking: no call here waits). Reading is off until conn_want_read. With an error the fd
 * stays the caller's. */
int conn_adopt(struct conn *c, int fd) NODISCARD;
/* Starts connecting to an address (AF_UNIX: path). source may be NULL. `connected` follows unless
 * an error returns at once. */
int conn_connect(struct conn *c, const struct addr *to, const struct addr *source) NODISCARD;
int conn_connect_unix(struct conn *c, const char *path) NODISCARD;
/* Starts connecting to a peer that speaks first (TCP): no `connected` follows but, at once with
 * reading on, `readable` with the peer's first bytes, or with the failure of the connect, which
 * conn_read returns then (-ERR_REFUSED, -ERR_UNREACHABLE, -ERR_TIMEOUT). Two system calls and a
 * turn less than conn_connect. */
int conn_connect_unconfirmed(struct conn *c, const struct addr *to,
                             const struct addr *source) NODISCARD;
/* For a conn of conn_connect_unconfirmed that has said nothing yet: has the connect come about? */
bool conn_is_connected(const struct conn *c);
/* After so much silence the kernel asks the peer's host whether it is there; without an answer to
 * that, or to data, for as long again the conn breaks. 1 s to 9 h; UNIX sockets need no such thing.
 */
void conn_keep_alive(struct conn *c, uint64_t idle_ms);
/* Starts the server side of TLS; takes a reference. alpn: the protocol's name; a client that offers
 * ALPN without it fails fatally. `secured` follows. */
int conn_secure_server(struct conn *c, struct tls_server *t, const char *alpn) NODISCARD;
/* Starts the client side of TLS; host for SNI and verification (an IP address is matched against IP
 * SANs). */
int conn_secure_client(struct conn *c, struct tls_client *t, const char *host) NODISCARD;
/* Reads up to cap bytes into p. 0 with *ret_n >= 1; -ERR_AGAIN; -ERR_EOF (orderly end; TLS:
 * close_notify or FIN); -ERR_x. */
int conn_read(struct conn *c, void *p, size_t cap, size_t *ret_n) NODISCARD;
/* Sends all of p: what the kernel does not take now is kept in c->out. -ERR_CLOSED etc. when the
 * connection is broken. */
int conn_send(struct conn *c, const void *p, size_t n) NODISCARD;
/* Gathers what is sent until conn_uncork, so that several small conn_send become one system call
 * (and one packet). Nothing else uncorks: pair them. */
void conn_cork(struct conn *c);
/* Sends what was gathered. 0 or the error that broke the connection. */
int conn_uncork(struct conn *c) NODISCARD;
/* Bytes kept in c->out. */
size_t conn_pending(const struct conn *c);
/* Turns `readable` on or off (back-pressure). */
void conn_want_read(struct conn *c, bool on);
/* Calls `readable` later, whether bytes come or not, for an owner that has not understood all of
 * what it read: behind the others, as with loop_again. */
void conn_read_again(struct conn *c);
/* Half close after pending output: close_notify and shutdown(SHUT_WR). */
void conn_shutdown(struct conn *c);
/* Closes at once, best-effort close_notify; frees TLS and buffers, cancels events; the byte
 * counters stay. Safe in callbacks and twice. */
void conn_close(struct conn *c);
/* False with plain conns; fills *ret otherwise. */
bool conn_tls_info(const struct conn *c, struct tls_info *ret);
/* What listings say of the connection's TLS: OpenSSL's name of the cipher suite, and the group of
 * the key exchange ("X25519"; NULL: none, or unknown). Static. False: clear. */
bool conn_tls_names(const struct conn *c, const char **ret_cipher, const char **ret_group);
/* Peer certificate details; -ERR_NOT_FOUND without one. */
int conn_peer_cert(const struct conn *c, struct tls_peer_cert *ret) NODISCARD;
/* Channel binding data ("tls-exporter" in TLS 1.3, else "tls-unique") into out; name is static.
 * -ERR_UNSUPPORTED on plain. */
int conn_channel_binding(const struct conn *c, struct buf *out, const char **ret_name) NODISCARD;
/* Short text of the last TLS failure for logs ("no shared cipher"), static or owned by c; NULL when
 * none. */
const char *conn_tls_error(const struct conn *c);
int conn_local_addr(const struct conn *c, struct addr *ret) NODISCARD;
