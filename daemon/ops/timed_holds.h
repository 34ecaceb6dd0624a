/* SPDX-License-Identifier: ISC */
/* Holds of backends that end by themselves: operations, so that they are seen and can be called
 * off. All functions: control thread. */
#pragma once

#include "backend/backend.h"
#include "rpc/request.h"

struct control;

/* Releases a held backend after for_ms on behalf of the request, or moves the end of an operation
 * that does; answers it. */
void timed_hold_start(struct request *r, struct backend *b, uint64_t for_ms, bool is_changed);
/* The hold has no end any more, or the backend another state: ends the operation, if there is one.
 */
void timed_hold_stop(struct control *c, const struct backend *b, const char *why);
/* The state of a backend changed. */
void timed_holds_notice(struct control *c, const struct backend *b);
