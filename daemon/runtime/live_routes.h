/* SPDX-License-Identifier: ISC */
/* The routes that operators changed: a whole list in place of the file's, in force at once and kept
 * in the store. All functions: control thread. */
#pragma once

#include "backend/routes.h"
#include "rpc/work.h"

struct control;
struct engine_api;

/* Read by anybody of the control thread, changed here alone. NULL = as in the file. */
struct live_routes {
    struct routes *now;    /* in force */
    struct routes *stored; /* what a restart brings back */
};

/* A change of the list on its way. */
struct route_change {
    struct work work;
    struct config_route *v; /* the list that will be: room for one more, texts borrowed */
    size_t n;
    bool is_reset; /* by the edit: as in the file again */
    /* -ERR_x with work.error set. */
    int (*edit)(struct route_change *ch);
    /* In place of everything else, for a request with dry_run: answers it. The list is v, or the
     * file's where next is NULL. */
    void (*look)(struct route_change *ch);
    struct config *config; /* the file in force */
    struct routes *next;   /* NULL = as in the file */
    struct pools *pools;
    bool is_changed, is_stored;
};

/* Takes up what the store has, into zeros. A row that cannot be read is logged and stays there.
 * Blocking. */
int live_routes_load(struct live_routes *l, const struct engine_api *host) NODISCARD;
void live_routes_fini(struct live_routes *l);
/* Changes the list as edit says, in the turn of the configuration; answers the request. look: as in
 * struct route_change. */
void live_routes_change(struct request *r, int (*edit)(struct route_change *ch),
                        void (*look)(struct route_change *ch));
/* Ends the edit where the file has caught up with it: the next change of the file is not hidden. */
void live_routes_absorb(struct control *c);
/* Will a restart bring back what is in force? */
bool live_routes_are_stored(const struct live_routes *l);
/* Rows of config diff. */
void live_routes_diff(const struct live_routes *l, const struct config *file, json_t *rows);
