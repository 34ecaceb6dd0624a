/* SPDX-License-Identifier: ISC */
/* How many log lines clients without a login may cause: per address and in all, with a count of
 * those that were left out. A table of fixed size; it decides before a line is made. */
#pragma once

#include "base/addr.h"

struct log_quota;

/* Lines a minute; 0 = no limit. */
struct log_quota_max {
    uint64_t per_address, total;
};

/* Lines left out since the first of them. */
struct log_quota_report {
    const struct addr *addr; /* as addr_limit_key makes it; NULL = of all addresses together */
    uint64_t lines, logins;  /* logins: of these, failed logins */
    uint64_t since_ms;
};

/* One for all threads. -ERR_NOMEM. */
int log_quota_new(struct log_quota **ret) NODISCARD;
void log_quota_free(struct log_quota *q); /* NULL is fine */
/* May a line about a client of this address be written? If not, it is counted as left out.
 * Thread: any; what it waits for is held for a few instructions. */
bool log_quota_take(struct log_quota *q, const struct addr *a, bool is_login,
                    const struct log_quota_max *max, uint64_t now_ms);
/* Hands over, and forgets, the counts that are a minute old; with is_end all of them. Thread: any;
 * fn runs without a lock. */
void log_quota_tell(struct log_quota *q, bool is_end, uint64_t now_ms,
                    void (*fn)(void *arg, const struct log_quota_report *r), void *arg);
/* Lines that were left out since the start. Thread: any. */
uint64_t log_quota_left_out(const struct log_quota *q);
