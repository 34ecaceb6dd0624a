/* SPDX-License-Identifier: ISC */
/* Finding the listeners that commands name, and those that operators paused. */
#pragma once

#include "control/request.h"

struct control;
struct setup_listener;

/* A listener of the present setup; when there is none the request is answered, with the nearest
 * name, and NULL returned. */
const struct setup_listener *listener_find(struct request *r, const char *name);

/* Reads the pauses that were to survive. Blocking. */
int listeners_load(struct control *c) NODISCARD;
/* Pauses what is to be paused: after the start, and after a reload that made listeners anew. */
void listeners_restore(struct control *c);
/* Appends a comment for each pause, for config export. */
int listeners_comment(const struct control *c, struct buf *out) NODISCARD;
/* Appends the pauses to the rows of config diff. */
void listeners_diff(const struct control *c, json_t *rows);
