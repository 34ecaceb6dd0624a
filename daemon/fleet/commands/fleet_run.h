/* SPDX-License-Identifier: ISC */
/* Commands of operators on several nodes of a fleet: sent to the others through the store, run
 * here, and answered when each node has answered or cannot. Thread of everything: control. */
#pragma once

#include "fleet/fleet_stream.h"
#include "rpc/request.h"

struct control;
struct fleet;
struct fleet_runs;

struct fleet_runs_spec {
    struct control *control;
    struct fleet *fleet;   /* borrowed, outlives it */
    const uint8_t *secret; /* FLEET_SECRET_BYTES, copied */
    const char *node;      /* this one's name; copied */
};
/* Reads from the store of this node how far the commands were taken before: blocking, at the start.
 * 0 or -ERR_x. */
int fleet_runs_new(const struct fleet_runs_spec *spec, struct fleet_runs **ret) NODISCARD;
/* The streams that they are read from, for others who say something by them; lives as long as f. */
struct fleet_stream *fleet_runs_stream(const struct fleet_runs *f);
/* Another engine serves: it takes the commands, and knows how far. NULL is fine. */
void fleet_runs_retire(struct fleet_runs *f);
/* Requests that wait are abandoned. NULL is fine. */
void fleet_runs_free(struct fleet_runs *f);
/* Runs a command on one node (its name), or on all (NULL), and answers r with rows of fleet run.
 * params as a client would send them; borrowed, and changed where all do as one. */
void fleet_run(struct fleet_runs *f, struct request *r, const struct command *c, json_t *params,
               const char *node);

struct fleet_runs_facts {
    uint64_t sent, taken,
        refused;      /* commands; refused: forged, repeated, too old or not permitted */
    size_t n_waiting; /* that nodes have not answered yet */
    size_t n_queued;  /* that wait for the store */
    size_t n_kept;    /* that it has, and not all nodes have taken */
};
void fleet_runs_look(const struct fleet_runs *f, struct fleet_runs_facts *ret);
