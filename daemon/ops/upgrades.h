/* SPDX-License-Identifier: ISC */
/* system upgrade: the installed program takes over from the running one. All functions: control
 * thread. */
#pragma once

#include "rpc/request.h"

struct control;
struct upgrades;

/* None is under way. -ERR_NOMEM. */
int upgrades_new(struct control *c, struct upgrades **ret) NODISCARD;
void upgrades_free(struct upgrades *u); /* NULL is fine */

/* Answers system upgrade; takes over r. */
void upgrades_request(struct request *r);
/* See control.h. */
void upgrades_begin(struct control *c);
void upgrades_checked(struct upgrades *u);
void upgrades_failed(struct upgrades *u, struct str why);
uint64_t upgrades_done(struct upgrades *u, uint64_t successor, uint64_t *ret_rate);
