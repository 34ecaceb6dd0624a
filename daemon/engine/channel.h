/* SPDX-License-Identifier: ISC */
/* The engine's end of the channel to the supervisor: orders come in, the file is asked for. */
#pragma once

#include "engine/delivery.h"
#include "io/loop.h"

struct channel;

/* Borrowed for the life of the channel; functions: control thread. */
struct channel_spec {
    struct loop *loop;
    int wire;
    void *arg;
    /* Any order that is no part of a delivery; descriptors are the callee's. */
    void (*order)(void *arg, const struct wire_packet *p, const int *fds, size_t n);
    /* The supervisor is gone. */
    void (*gone)(void *arg);
};

/* Also tells the supervisor every few seconds that the control thread turns. -ERR_NOMEM. */
int channel_new(const struct channel_spec *spec, struct channel **ret) NODISCARD;
void channel_free(struct channel *c); /* NULL is fine; nobody may ask any more */
/* Nobody is answered any more: those who wait get -ERR_SHUTDOWN. */
void channel_close(struct channel *c);

/* Asks for the file and waits for it, up to a minute; one at a time. *ret is owned; what comes with
 * a number has to be accepted or refused. -ERR_TIMEOUT, -ERR_SHUTDOWN. Thread: any but the control
 * thread. */
int channel_ask(struct channel *c, enum wire_read how, struct delivery **ret) NODISCARD;
