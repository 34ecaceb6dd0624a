/* SPDX-License-Identifier: ISC */
/* Private to io/conn*.c: what the byte stream and its TLS half ask of each other. */
#pragma once

#include <sys/uio.h>

#include "io/conn.h"

/* conn.c */

/* ERR_x (positive) for the errno of a socket call. */
int conn_errno(int errnum);
/* Sends raw bytes, in order after what waits in c->out; keeps what the kernel does not take. Marks
 * the conn broken on errors. */
int conn_raw_write(struct conn *c, const struct iovec *iov, int n_iov);
/* Adds or removes the read event as the flags want it. */
void conn_update_read(struct conn *c);
/* Sends c->out; arms the write event for the rest. Runs no callback. */
int conn_flush(struct conn *c);
/* Tells the owner that the connection is broken (c->error is set). */
void conn_report(struct conn *c);
/* Queues the conn when there is more to be read that epoll cannot see, or that this visit must not
 * read; else takes it out of the queue. */
void conn_rearm(struct conn *c);
/* shutdown(SHUT_WR) as soon as everything was sent. */
void conn_finish_shutdown(struct conn *c);

/* conn_tls.c */

/* Ends TLS without a word to the peer; the socket stays. */
void conn_tls_free(struct conn *c);
/* Goes on with the handshake; runs `secured` at its end. */
void conn_tls_handshake(struct conn *c);
int conn_tls_read(struct conn *c, void *p, size_t cap, size_t *ret_n);
int conn_tls_send(struct conn *c, const void *p, size_t n);
/* Queues close_notify once. */
void conn_tls_bye(struct conn *c);
/* Decrypted or raw bytes, or an end, wait here, where epoll cannot see them. */
bool conn_tls_has_pending(const struct conn_tls *t);
/* A visit begins: the peer may send so many records more. */
void conn_tls_visit(struct conn_tls *t);
