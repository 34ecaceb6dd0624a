/* SPDX-License-Identifier: ISC */
/* What the nodes of a fleet send each other: streams of the store that this node reads, those that
 * all share (commands, bans) and those of its own (answers), and what it appends to those of
 * others. Thread of everything: control. */
#pragma once

#include "fleet/fleet.h"
#include "fleet/fleet_message.h"
#include "io/redis/redis.h"

#define FLEET_MESSAGE_MAX (1024 * 1024) /* bytes of a text */
#define FLEET_STREAM_SOURCES_MAX 4      /* streams that are read at once */

struct fleet_stream;
struct seal;

/* A stream that is read. */
struct fleet_stream_source {
    const char *key;
    const char *position;    /* begins behind it; "0" = at the start */
    const struct seal *seal; /* its messages are sealed with it; NULL: they are signed. Borrowed */
    /* A message whose signature is right, or that could be opened; borrowed. */
    void (*heard)(void *arg, const char *position, const json_t *m);
    void *arg;
};

struct fleet_stream_spec {
    struct loop *loop;
    struct fleet *fleet;   /* for a connection of its own: its calls wait for messages; borrowed */
    const uint8_t *secret; /* FLEET_SECRET_BYTES, copied */
};
/* 0, -ERR_NOMEM, or as fleet_connect. */
int fleet_stream_new(const struct fleet_stream_spec *spec, struct fleet_stream **ret) NODISCARD;
void fleet_stream_free(struct fleet_stream *s); /* NULL is fine */
/* Reads this one, too, from the next call on; copied. -ERR_NOMEM, -ERR_TOO_MANY. */
int fleet_stream_add(struct fleet_stream *s, const struct fleet_stream_source *source) NODISCARD;
/* The store's data is another: reads all from the start. */
void fleet_stream_rewind(struct fleet_stream *s);
/* Messages so far whose signature was wrong, or that nobody of the fleet has sealed. */
uint64_t fleet_stream_forged(const struct fleet_stream *s);

/* A stream that is appended to. */
struct fleet_stream_to {
    struct redis_client *writer; /* another connection than the one that reads */
    const char *key;
    const uint8_t *secret;   /* FLEET_SECRET_BYTES: signs the message */
    const struct seal *seal; /* seals it instead; NULL */
    unsigned kept;           /* messages that the stream keeps, about; 0 = 10,000 */
    uint64_t lifetime_ms;    /* it is forgotten so long after its last message; 0 = never */
};
/* Appends a message (borrowed). cb as in redis_call, may be NULL. -ERR_TOO_LONG, -ERR_NOMEM,
 * -ERR_UNREACHABLE. */
int fleet_stream_append(const struct fleet_stream_to *to, const json_t *m, redis_fn *cb,
                        void *arg) NODISCARD;
/* The same, signed, and kept as usual. */
int fleet_stream_send(struct redis_client *writer, const uint8_t secret[FLEET_SECRET_BYTES],
                      const char *stream, const json_t *m, uint64_t lifetime_ms, redis_fn *cb,
                      void *arg) NODISCARD;
