/* SPDX-License-Identifier: ISC */
/* One look at one protocol of one backend, by the dialogue that logins use. All functions: thread
 * of the loop. */
#pragma once

#include "backend/login.h"

struct probe;

struct probe_spec {
    struct loop *loop;
    struct resolver *resolver;
    enum proto_id proto;
    struct pools *pools; /* a reference is taken while it runs */
    const struct pool *pool;
    const struct pool_member *member; /* both of pools */
    /* Runs once: what is wrong, BACK_FAIL_NONE = nothing; the server's or library's words ("" with
     * success). The probe may begin anew in it. */
    void (*found)(struct probe *p, enum back_failure f, const char *text);
};

/* Embed it, zero-initialised. Private but for reading. */
struct probe {
    struct probe_spec spec;
    struct login *login; /* NULL = not running */
    struct conn conn;
    uint64_t begun_us;
};

/* Begins; `found` runs in a later callback of the loop. The backend learns what it says of itself
 * (capabilities, end of its certificate) on the way. -ERR_NOMEM; -ERR_INVAL without TLS
 * credentials.
 */
int probe_begin(struct probe *p, const struct probe_spec *spec) NODISCARD;
bool probe_is_running(const struct probe *p);
/* `found` will not run. Harmless when it does not run. */
void probe_cancel(struct probe *p);
