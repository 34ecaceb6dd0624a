/* SPDX-License-Identifier: ISC */
/* Last logins of users on their way into the store: many in one transaction. All functions: control
 * thread. */
#pragma once

#include <stdint.h>

#include "base/err.h"

struct control;
struct logins;

/* 0 or -ERR_NOMEM. */
int logins_new(struct control *c, struct logins **ret) NODISCARD;
/* Remembers a login; the store learns of it within a second or so. */
void logins_note(struct logins *l, const char *user, uint64_t at_ms);
/* Writes what is left (blocking), before or after the job threads are gone. NULL is fine. */
void logins_free(struct logins *l);
