/* SPDX-License-Identifier: ISC */
/* This node of a fleet: it says in the store that it is there, and learns who else is. Thread of
 * everything: control. */
#pragma once

#include "base/container/list.h"
#include "fleet/fleet_nodes.h"
#include "io/redis/redis.h"

struct control;
struct fleet;

/* Part of what the nodes of a fleet write and read; one that knows less than the store's does not
 * take part. */
#define FLEET_SCHEMA 1

/* What others of this floor and those above want to hear of. Embed; members may be NULL. */
struct fleet_watch {
    struct list link;
    /* The store is usable again, or for the first time. is_other: its data is another than before:
     * what this node had there is not. */
    void (*back)(struct fleet_watch *w, bool is_other);
    void (*nodes)(struct fleet_watch *w); /* who is there has changed */
    void (*end)(struct fleet_watch *w); /* the fleet goes: none of its calls is answered any more */
};

/* Begins to take part, once the first snapshot is published; *ret = NULL without a fleet in it.
 * -ERR_NOMEM. */
int fleet_new(struct control *c, struct fleet **ret) NODISCARD;
/* Takes this engine's entry away, as far as the store can be reached. NULL is fine. */
void fleet_free(struct fleet *f);
/* Borrowed; unwatch by list_del of its link, before it goes. */
void fleet_watch(struct fleet *f, struct fleet_watch *w);

/* The control thread's connection; lives as long as f, also when the configuration changes. */
struct redis_client *fleet_redis(const struct fleet *f);
/* A further connection for calls that wait, to be freed by redis_client_free before f is; it
 * follows the configuration, too. One at most. changed as in struct redis_spec. */
int fleet_connect(struct fleet *f, void (*changed)(void *arg, bool is_up), void *arg,
                  struct redis_client **ret) NODISCARD;
const char *fleet_name(const struct fleet *f);
/* "mp:NAME:" */
const char *fleet_prefix(const struct fleet *f);
/* This engine: "node#incarnation". */
const char *fleet_holder(const struct fleet *f);
/* Of the store's data; "" = not known yet. */
const char *fleet_epoch(const struct fleet *f);
/* Who is there, as the store said last; this engine among them, once the store has it. */
const struct fleet_nodes *fleet_nodes(const struct fleet *f);
/* How long ago a node said that it is there, ms: now, by the store's clock. */
uint64_t fleet_lag_ms(const struct fleet *f, const struct fleet_node *n);
/* It said so lately enough. While the store is away nobody knows: those that were alive then are
 * taken for it. */
bool fleet_is_alive(const struct fleet *f, const struct fleet_node *n);
/* It is alive, and its secret is not this node's. */
bool fleet_has_other_secret(const struct fleet *f, const struct fleet_node *n);
/* Why nothing is heard of other nodes although the store answers: the end of a sentence, copied;
 * NULL = it is. */
void fleet_set_deaf(struct fleet *f, const char *why);
/* What is wrong, as a sentence; NULL = nothing. */
const char *fleet_trouble(const struct fleet *f);

/* This node as it is now: "serving", "finishing" after an upgrade, "leaving". */
const char *fleet_own_state(const struct fleet *f);
struct fleet_own {
    uint64_t sessions, users, started_ms; /* started: wall clock */
    char load[16];                        /* of the machine, as uptime says */
};
void fleet_look_own(const struct fleet *f, struct fleet_own *ret);
/* New clients should go to other nodes, or no longer: said at once to who asks whether this one is
 * ready, and with the next heartbeat to the others. Until restart. False: it was so already. */
bool fleet_set_leaving(struct fleet *f, bool is_leaving);
bool fleet_is_leaving(const struct fleet *f); /* f may be NULL */
/* Whether this node has all users of the fleet, for the others to see; static. "" = it has its own.
 */
void fleet_set_sync(struct fleet *f, const char *sync);
const char *fleet_sync(const struct fleet *f);

struct fleet_counts {
    size_t alive, all;         /* nodes: each name once */
    bool is_up;                /* the store is */
    uint64_t heartbeat_age_ms; /* since the store took the last one; UINT64_MAX = never */
};
void fleet_count(const struct fleet *f, struct fleet_counts *ret);
