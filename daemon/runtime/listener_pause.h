/* SPDX-License-Identifier: ISC */
/* Listeners that operators paused: kept over reloads and restarts. All functions: control thread.
 */
#pragma once

#include "rpc/request.h"

struct control;

#define LISTENER_PAUSE_KIND "listener" /* of the rows in the store */

/* Reads the pauses that were to survive. Blocking. */
int listener_pause_load(struct control *c) NODISCARD;
/* Pauses what is to be paused: after the start, and after a reload that made listeners anew. */
void listener_pause_restore(struct control *c);
/* Appends a comment for each pause, for config export. */
int listener_pause_comment(const struct control *c, struct buf *out) NODISCARD;
/* Appends the pauses to the rows of config diff. */
void listener_pause_diff(const struct control *c, json_t *rows);
