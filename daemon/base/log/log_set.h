/* SPDX-License-Identifier: ISC */
/* The sinks of the log, and the one place where events become lines in their queues. */
#pragma once

#include <pthread.h>

#include "base/log/log_sink.h"

struct log_set {
    /* One at a time replaces sinks, opens them again or ends the log; taken before lock. */
    pthread_mutex_t admin;
    /* Everything below, and the filled blocks of the queues; held for some copying only. */
    pthread_mutex_t lock;
    struct log_sink *sinks[LOG_SINKS_MAX];
    size_t n;
    struct log_sink *retired; /* no longer wanted; who writes frees them */
    uint64_t dropped;         /* by sinks that were freed */
    _Atomic int max_level[2]; /* by format: the highest that any sink takes; read without lock */
};

extern struct log_set log_set;

/* Before the first use of the sinks: makes that of the standard error. */
void log_set_init(void);
/* Under lock: after sinks or levels have changed. */
void log_set_find_max(void);
/* Queues a line for each sink that takes this level and is meant: names as for log_event. True:
 * it should be written soon. */
bool log_set_put(const char *const *names, enum log_level level, const char *event,
                 const struct log_field *fields, size_t n);
