/* SPDX-License-Identifier: ISC */
/* Connections to mail servers that are made, greeted and secured before somebody logs in: those
 * logins save the round trips. Of one worker; all functions: its thread. */
#pragma once

#include "backend/login.h"

struct warm;

/* What one worker keeps ready. loop and resolver are borrowed. */
int warm_new(struct loop *l, struct resolver *r, struct warm **ret) NODISCARD;
/* Closes all; NULL is fine. What is closed dies at the end of the loop's turn. */
void warm_free(struct warm *w);
/* From now on for these pools, as their `warm` says: takes a reference. Connections of other pools
 * are closed. */
void warm_configure(struct warm *w, struct pools *pools);
/* w may be NULL. A login that is ready for login_resume, the caller's from now on; NULL = none.
 * Where somebody logs in, connections are kept from then on; where nobody has for WARM_WANTED_MS,
 * none are. */
struct login *warm_take(struct warm *w, const struct pool *pool, const struct pool_member *m,
                        enum proto_id proto);
#define WARM_WANTED_MS 600000
/* Connections that are ready now. */
size_t warm_ready(const struct warm *w);
