/* SPDX-License-Identifier: ISC */
/* Streams of all nodes of a fleet (event watch, session trace) to a client of one of them. The node
 * that was asked tells the others what is wanted, again and again; each sends it lines, sealed, in
 * batches, for as long as it is told so. Thread of everything: control. */
#pragma once

#include "fleet/fleet.h"
#include "fleet/fleet_stream.h"
#include "rpc/request.h"

struct fleet_live;

struct fleet_live_spec {
    struct control *control;
    struct fleet *fleet;         /* borrowed, outlives it */
    struct fleet_stream *stream; /* that is read; borrowed, never heard of after it */
    const uint8_t *secret;       /* FLEET_SECRET_BYTES: lines are sealed, they may be mail */
    const char *node;            /* this one's name; copied */
};
/* -ERR_NOMEM, -ERR_TOO_MANY, -ERR_TLS. */
int fleet_live_new(const struct fleet_live_spec *spec, struct fleet_live **ret) NODISCARD;
/* After the stream is freed, and when there are no clients any more. NULL is fine. */
void fleet_live_free(struct fleet_live *l);

/* Streams a command of all nodes, or of one (its name; NULL = all), to the client of r, which is
 * answered. params as a client would send them; borrowed. */
void fleet_live_watch(struct fleet_live *l, struct request *r, const struct command *c,
                      const json_t *params, const char *node);

struct fleet_live_facts {
    size_t n_fed;  /* streams that go to other nodes */
    uint64_t lost; /* lines that did not reach who asked here */
};
void fleet_live_look(const struct fleet_live *l, struct fleet_live_facts *ret);
