/* SPDX-License-Identifier: ISC */
/* Sockets and the epoll set of the benchmark's two ends. */
#pragma once

#include <stdint.h>

#include "base/addr.h"

/* Waits in a poller: embed it. Edge-triggered, so ready() reads and writes until the kernel has no
 * more. */
struct net_source {
    int fd; /* -1 = closed */
    void (*ready)(struct net_source *s, uint32_t events);
};

struct net {
    int epoll;
};

/* 0 or -ERR_x. */
int net_init(struct net *n) NODISCARD;
void net_fini(struct net *n);
/* Watches fd from now on, which becomes the source's. */
int net_add(struct net *n, struct net_source *s, int fd) NODISCARD;
void net_close(struct net_source *s);
/* Waits for events, timeout_ms at most (-1 = for ever), and runs their sources. */
int net_turn(struct net *n, int timeout_ms) NODISCARD;

/* A non-blocking listening socket, or -ERR_x. */
int net_listen(const struct addr *a) NODISCARD;
/* A non-blocking socket that connects to `to`, or -ERR_x. source: local address, NULL = any. */
int net_connect(const struct addr *to, const struct addr *source) NODISCARD;
/* As many descriptors as the system allows. */
void net_raise_files(void);
