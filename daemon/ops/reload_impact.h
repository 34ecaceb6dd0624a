/* SPDX-License-Identifier: ISC */
/* What a configuration that is to be put in force does to what is there: listeners that open and
 * close, backends that leave their pools with sessions and pinned users, sessions that end. */
#pragma once

#include "ops/breakdown.h"

struct config;
struct control;
struct pools;
struct snapshot;
struct store;

enum reload_part_kind { RELOAD_OPENS, RELOAD_CLOSES, RELOAD_REMOVES };

struct reload_part {
    enum reload_part_kind kind;
    char *path;              /* as in config_change */
    char *name;              /* the listener, the backend */
    char *addresses;         /* that open or close; NULL = a backend, or a pool */
    bool is_whole;           /* a listener with all of its addresses */
    struct backend *backend; /* one reference; NULL = a listener, or a pool */
    uint64_t sessions;       /* there now */
    uint64_t pins;           /* users who could not log in any more */
};

struct reload_impact {
    struct reload_part *v;
    size_t n, n_listeners; /* those of listeners come first */
    uint64_t end_ms;       /* sessions of before end so much later; 0 = they go on */
    struct breakdown ends;
};

/* What follows when `next` with its pools, the runtime edits in them, takes the place of `before`.
 * *ret is zeroed by the caller and to be finished in any case. -ERR_x. Thread: a job thread; reads
 * the store when backends leave. */
int reload_impact_find(const struct snapshot *before, const struct config *next,
                       const struct pools *pools, struct store *store,
                       struct reload_impact *ret) NODISCARD;
void reload_impact_fini(struct reload_impact *i);
/* Counts the sessions of listeners that close (not of those that lose some of their addresses:
 * nobody knows by which one a client came), and those that will end. done: once, perhaps before
 * this returns; err -ERR_x: the counts are not complete. Thread: control. */
void reload_impact_count(struct control *c, struct reload_impact *i,
                         void (*done)(void *arg, int err), void *arg);
/* Says it in the rows of changes (member impact), or in rows of its own. Thread: control. */
void reload_impact_rows(const struct reload_impact *i, json_t *rows);
/* "opens listeners: pop3; takes out: main/b2 (12 sessions go on, 3 users pinned to it could not log
 * in); 15 sessions would end 5m later: 12 imap, ..."; owned, NULL = nothing of that. */
char *reload_impact_text(const struct reload_impact *i);
/* {"opens": [..], "closes": [..], "removes": [..], "ends": 15, "end_ms": 300000, "breakdown": {}};
 * owned, NULL without memory. */
json_t *reload_impact_json(const struct reload_impact *i);
