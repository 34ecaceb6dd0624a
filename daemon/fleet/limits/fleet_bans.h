/* SPDX-License-Identifier: ISC */
/* Bans for failures over all nodes of a fleet: what one of them bans, or lifts, all do, with the
 * same end. Thread of everything: control. */
#pragma once

#include "fleet/fleet.h"
#include "fleet/fleet_stream.h"
#include "limits/rules.h"

struct fleet_bans;

struct fleet_bans_spec {
    struct control *control;
    struct fleet *fleet;         /* borrowed, outlives it */
    struct fleet_stream *stream; /* that is read; borrowed, never heard of after it */
    const uint8_t *secret;       /* FLEET_SECRET_BYTES, copied */
    const char *node;            /* this one's name; copied */
};
/* -ERR_NOMEM, -ERR_TOO_MANY. */
int fleet_bans_new(const struct fleet_bans_spec *spec, struct fleet_bans **ret) NODISCARD;
/* After the stream is freed. NULL is fine. */
void fleet_bans_free(struct fleet_bans *b);

/* A ban for failures begins to hold here, or an operator ends it. What other nodes have told is not
 * told again. b may be NULL. */
void fleet_bans_made(struct fleet_bans *b, const struct rule *ban);
void fleet_bans_lifted(struct fleet_bans *b, const struct rule *ban);

struct fleet_bans_facts {
    uint64_t told, taken; /* bans: to the others, of the others */
    uint64_t left_out;    /* that were too many to be told at once, and are later */
    uint64_t failed_open; /* that the store did not take */
};
void fleet_bans_look(const struct fleet_bans *b, struct fleet_bans_facts *ret);
