/* SPDX-License-Identifier: ISC */
/* Listeners that operators paused: kept over reloads and restarts. All functions: control thread.
 */
#pragma once

#include "rpc/request.h"
#include "runtime/engine_api.h"

#define LISTENER_PAUSE_KIND "listener" /* of the rows in the store */

struct listener_pauses;

/* Reads the pauses that were to survive. host is borrowed. Blocking. */
int listener_pauses_new(const struct engine_api *host, struct listener_pauses **ret) NODISCARD;
void listener_pauses_free(struct listener_pauses *p); /* NULL is fine, here and below: no pauses */

/* {since, reason, stored} of a listener; borrowed, NULL = it is not paused by an operator. */
const json_t *listener_pauses_find(const struct listener_pauses *p, const char *name);
/* An operator paused it; or resumed it: pause is NULL. Takes a reference of its own. */
void listener_pauses_note(struct listener_pauses *p, const char *name, json_t *pause);
/* Pauses what is to be paused: after the start, and after a reload that made listeners anew. */
void listener_pauses_restore(const struct listener_pauses *p);
/* Appends a comment for each pause, for config export. */
int listener_pauses_comment(const struct listener_pauses *p, struct buf *out) NODISCARD;
/* Appends the pauses to the rows of config diff. */
void listener_pauses_diff(const struct listener_pauses *p, json_t *rows);
