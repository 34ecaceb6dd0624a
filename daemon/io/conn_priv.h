/* SPDX-License-Identifier: ISC */
/* Private to io/conn*.c: from the bottom up the socket, its TLS, and the conn made of both. */
#pragma once

#include <sys/uio.h>

#include "io/conn.h"

/* conn_raw.c, which conn.c and conn_tls.c stand on */

/* ERR_x (positive) for the errno of a socket call. */
int conn_errno(int errnum);
/* Drops what waits in c->out. */
void conn_drop_out(struct conn *c);
/* Marks the conn broken by this ERR_x (positive), unless it is already; what was to be sent is
 * dropped. Returns what broke it, -ERR_x. */
int conn_break(struct conn *c, int err);
/* Adds or removes the read event as the flags want it. */
void conn_update_read(struct conn *c);
/* Sends raw bytes, in order after what waits in c->out; keeps what the kernel does not take. Marks
 * the conn broken on errors. */
int conn_raw_send(struct conn *c, const void *p, size_t n);
/* The same of several pieces. */
int conn_raw_write(struct conn *c, const struct iovec *iov, int n_iov);
/* Sends c->out; arms the write event for the rest. Runs no callback. */
int conn_flush(struct conn *c);

/* conn_tls.c: runs no callback of the conn */

/* Ends TLS without a word to the peer; the socket stays. */
void conn_tls_free(struct conn *c);
/* c->tls came from another conn. */
void conn_tls_moved(struct conn *c);
/* Goes on with the handshake. -ERR_AGAIN: it is not over yet; 0: it is; -ERR_x: it failed, and an
 * alert was sent. Marks its end in the conn. */
int conn_tls_handshake(struct conn *c) NODISCARD;
int conn_tls_read(struct conn *c, void *p, size_t cap, size_t *ret_n);
int conn_tls_send(struct conn *c, const void *p, size_t n);
/* Queues close_notify once. */
void conn_tls_bye(struct conn *c);
/* Decrypted or raw bytes, or an end, wait here, where epoll cannot see them. */
bool conn_tls_has_pending(const struct conn_tls *t);
/* A visit begins: the peer may send so many records more. */
void conn_tls_visit(struct conn_tls *t);
