/* SPDX-License-Identifier: ISC */
/* What the nodes of a fleet send each other: two streams of the store that this node reads, the
 * commands that all share and an inbox of its own, and what it appends to those of others. Thread
 * of everything: control. */
#pragma once

#include "fleet/fleet.h"
#include "fleet/fleet_message.h"
#include "io/redis/redis.h"

#define FLEET_MESSAGE_MAX (1024 * 1024) /* bytes of a text */

struct fleet_stream;

struct fleet_stream_spec {
    struct loop *loop;
    struct fleet *fleet;   /* for a connection of its own: its calls wait for messages; borrowed */
    const uint8_t *secret; /* FLEET_SECRET_BYTES, copied */
    const char *commands, *inbox; /* keys of the streams */
    const char *position;         /* in the commands: begins behind it; "0" = at the start */
    /* A message whose signature is right; borrowed. position: of a command, else NULL. */
    void (*heard)(void *arg, const char *position, const json_t *m);
    void *arg;
};
/* 0, -ERR_NOMEM, or as fleet_connect. */
int fleet_stream_new(const struct fleet_stream_spec *spec, struct fleet_stream **ret) NODISCARD;
void fleet_stream_free(struct fleet_stream *s); /* NULL is fine */
/* The store's data is another: reads both from the start. */
void fleet_stream_rewind(struct fleet_stream *s);
/* Messages whose signature was wrong so far. */
uint64_t fleet_stream_forged(const struct fleet_stream *s);

/* Appends a message (borrowed) to a stream by another connection; lifetime_ms: an inbox is
 * forgotten so long after its last message, 0 = never. cb as in redis_call, may be NULL.
 * -ERR_TOO_LONG, -ERR_NOMEM, -ERR_UNREACHABLE. */
int fleet_stream_send(struct redis_client *writer, const uint8_t secret[FLEET_SECRET_BYTES],
                      const char *stream, const json_t *m, uint64_t lifetime_ms,
                      void (*cb)(void *arg, const struct redis_result *r), void *arg) NODISCARD;
