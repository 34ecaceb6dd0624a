/* SPDX-License-Identifier: ISC */
/* How the descriptors of the process are shared out. */
#pragma once

#include <stdint.h>

#include "config/config.h"

/* How many sessions may be open at once. Each may need two descriptors, its client's and its
 * backend's, and none of the others' must be in the way of one that was accepted; a reserve stays
 * for everything else: control clients, the store, logs, health checks, connections that wait for
 * logins, auth servers, name servers.
 * limit: of descriptors, as getrlimit(2) tells it. n_workers: threads. At least 1. Thread: any. */
uint64_t descriptors_sessions_max(uint64_t limit, const struct config *c, size_t n_workers);
/* The lowest limit under which an engine may start: sessions find room, and operators beside them.
 * Thread: any. */
uint64_t descriptors_needed(const struct config *c, size_t n_workers);
/* Has this process as many? 0, or -ERR_SHORTAGE with a sentence (owned) that names the number. */
int descriptors_check(const struct config *c, size_t n_workers, char **ret_error) NODISCARD;
