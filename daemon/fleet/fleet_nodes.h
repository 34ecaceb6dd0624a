/* SPDX-License-Identifier: ISC */
/* The engines of a fleet as the store tells them: bounded, whatever it tells. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct redisReply;

#define FLEET_NODES_MAX 1000
#define FLEET_HOLDER_SIZE 160
#define FLEET_EPOCH_SIZE 40
#define FLEET_PROOF_SIZE 40

/* One engine; a node has two while an upgrade finishes. "" and 0 = not told. */
struct fleet_node {
    char holder[FLEET_HOLDER_SIZE]; /* "node#incarnation" */
    char name[FLEET_HOLDER_SIZE];   /* the node */
    char version[32], address[128], state[16], load[16], proof[FLEET_PROOF_SIZE], sync[16];
    uint64_t seen_ms;    /* by the store's clock */
    uint64_t started_ms; /* wall clock of its machine */
    uint64_t sessions, users, schema;
};

struct fleet_nodes {
    struct fleet_node *v; /* by name, the engine that serves first; owned */
    size_t n;
    uint64_t now_ms;                 /* the store's clock */
    uint64_t gap_from_ms, gap_to_ms; /* when this node could not be answered last; by that clock */
    uint64_t schema;                 /* of the store's data */
    char epoch[FLEET_EPOCH_SIZE];    /* "" = this node may not take part */
};

/* Reads the reply of fleet_heartbeat. -ERR_PROTOCOL: it is none; -ERR_NOMEM. */
int fleet_nodes_read(const struct redisReply *reply, struct fleet_nodes *ret) NODISCARD;
void fleet_nodes_fini(struct fleet_nodes *n);
/* These came after before (n 0 = there were none), of answers that come every heartbeat_ms: a
 * longer pause is a gap, in which others could not say anything either. */
void fleet_nodes_follow(struct fleet_nodes *n, const struct fleet_nodes *before,
                        uint64_t heartbeat_ms);
/* How long one of them could have said something, and has not, ms: without the gap. */
uint64_t fleet_nodes_silence_ms(const struct fleet_nodes *n, const struct fleet_node *of);
/* The engine of that node which serves, or another of it; NULL = none. */
const struct fleet_node *fleet_nodes_find(const struct fleet_nodes *n, const char *name);
/* Is element i the first of its name? */
bool fleet_nodes_is_first(const struct fleet_nodes *n, size_t i);
