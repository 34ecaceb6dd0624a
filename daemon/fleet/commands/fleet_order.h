/* SPDX-License-Identifier: ISC */
/* The order of commands of a fleet that are about the same. What the store lost is sent again, by
 * each node what it had said, so that it comes in another order than before; then what was behind
 * it is done once more, as if all had come in their order. Pure. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/container/list.h"

#define FLEET_ORDER_MAX 256             /* commands that are remembered */
#define FLEET_ORDER_BYTES_MAX (1 << 20) /* of their texts */
#define FLEET_ORDER_POSITION_MAX 48

/* The commands that this node has taken lately. */
struct fleet_order {
    struct list taken; /* by their positions */
    struct list ages;  /* the oldest first */
    size_t n, bytes;
};

/* Begins with none. */
void fleet_order_init(struct fleet_order *o);
/* Forgets all. */
void fleet_order_fini(struct fleet_order *o);
/* What a command is about: a name or several, borrowed; NULL = it does not say. */
const json_t *fleet_order_about(const json_t *m);
/* Are two commands about the same thing? Who does not name what it is about may be. */
bool fleet_order_meets(const json_t *a, const json_t *b);
/* Is the position a behind b? "time-number", as the store gives them. */
bool fleet_order_is_behind(const char *a, const char *b);
/* A command was taken; position: where it had come first. m: a reference is taken. */
void fleet_order_note(struct fleet_order *o, const char *position, const json_t *m);
/* Calls fn for each noted command that is about the same as m, and was behind that position, in
 * their order. One that does not name what it is about (a route by its number) is not among them:
 * done twice it would do something else. fn must not note any. */
void fleet_order_behind(const struct fleet_order *o, const char *position, const json_t *m,
                        void (*fn)(void *arg, const json_t *m), void *arg);
