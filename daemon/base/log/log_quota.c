/* SPDX-License-Identifier: ISC */
/* Quotas of log lines in a set-associative table. */
#include "base/log/log_quota.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/hash.h"

#define QUOTA_WINDOW_MS 60000
#define QUOTA_SETS 1024 /* a power of two */
#define QUOTA_WAYS 4
#define QUOTA_LOCKS 16 /* divides QUOTA_SETS */

/* Zero-initialised it is free. */
struct quota {
    struct addr addr;
    uint64_t begun_ms;          /* of the minute that lines counts for */
    uint64_t lines;             /* written */
    uint64_t left_out, logins;  /* not written and not told yet; of these, failed logins */
    uint64_t left_out_since_ms; /* of the first of them */
};

struct quota_set {
    struct quota ways[QUOTA_WAYS];
};

struct log_quota {
    uint8_t key[16];
    pthread_mutex_t locks[QUOTA_LOCKS]; /* lock i is for the sets i, i + QUOTA_LOCKS, ... */
    struct quota_set sets[QUOTA_SETS];
    pthread_mutex_t total_lock;
    struct quota total;
    _Atomic uint64_t left_out; /* since the start */
    _Atomic uint64_t n_untold; /* quotas that have something to tell */
};

int log_quota_new(struct log_quota **ret)
{
    struct log_quota *q = calloc(1, sizeof(*q));
    if (!q)
        return -ERR_NOMEM;
    hash_random(q->key, sizeof(q->key));
    for (size_t i = 0; i < QUOTA_LOCKS; i++)
        pthread_mutex_init(&q->locks[i], NULL);
    pthread_mutex_init(&q->total_lock, NULL);
    *ret = q;
    return 0;
}

void log_quota_free(struct log_quota *q)
{
    if (!q)
        return;
    for (size_t i = 0; i < QUOTA_LOCKS; i++)
        pthread_mutex_destroy(&q->locks[i]);
    pthread_mutex_destroy(&q->total_lock);
    free(q);
}

uint64_t log_quota_left_out(const struct log_quota *q)
{
    return atomic_load_explicit(&q->left_out, memory_order_relaxed);
}

/* One line more, or one that is left out. */
static bool quota_take(struct log_quota *q, struct quota *e, uint64_t max, bool is_login,
                       uint64_t now_ms)
{
    if (e->begun_ms == 0 || now_ms >= e->begun_ms + QUOTA_WINDOW_MS) {
        e->begun_ms = now_ms ? now_ms : 1;
        e->lines = 0;
    }
    if (max == 0 || e->lines < max) {
        e->lines++;
        return true;
    }
    if (e->left_out++ == 0) {
        e->left_out_since_ms = now_ms;
        atomic_fetch_add_explicit(&q->n_untold, 1, memory_order_relaxed);
    }
    e->logins += is_login;
    atomic_fetch_add_explicit(&q->left_out, 1, memory_order_relaxed);
    return false;
}

/* The quota of an address; NULL when all of its set have lines in this minute. */
static struct quota *quota_find(struct quota_set *set, const struct addr *key, uint64_t now_ms)
{
    struct quota *free_one = NULL;
    for (size_t i = 0; i < QUOTA_WAYS; i++) {
        struct quota *e = &set->ways[i];
        if (e->begun_ms && addr_ip_eq(&e->addr, key))
            return e;
        bool is_over = e->begun_ms == 0 || now_ms >= e->begun_ms + QUOTA_WINDOW_MS;
        if (is_over && e->left_out == 0)
            free_one = e;
    }
    if (free_one)
        *free_one = (struct quota){.addr = *key};
    return free_one;
}

static bool quota_take_address(struct log_quota *q, const struct addr *a, bool is_login,
                               uint64_t max, uint64_t now_ms)
{
    const struct addr key = addr_limit_key(a);
    struct str bytes = str_n((const char *)key.ip, sizeof(key.ip));
    size_t i = (size_t)hash_sip(q->key, bytes) & (QUOTA_SETS - 1);
    pthread_mutex_t *lock = &q->locks[i % QUOTA_LOCKS];
    pthread_mutex_lock(lock);
    struct quota *e = quota_find(&q->sets[i], &key, now_ms);
    bool may = !e || quota_take(q, e, max, is_login, now_ms);
    pthread_mutex_unlock(lock);
    return may;
}

bool log_quota_take(struct log_quota *q, const struct addr *a, bool is_login,
                    const struct log_quota_max *max, uint64_t now_ms)
{
    if (max->per_address && !quota_take_address(q, a, is_login, max->per_address, now_ms))
        return false;
    if (max->total == 0)
        return true;
    pthread_mutex_lock(&q->total_lock);
    bool may = quota_take(q, &q->total, max->total, is_login, now_ms);
    pthread_mutex_unlock(&q->total_lock);
    return may;
}

/* ---- telling ---- */

/* Takes the counts out; false when there is nothing to tell yet. */
static bool quota_tell(struct log_quota *q, struct quota *e, bool is_end, uint64_t now_ms,
                       struct quota *ret)
{
    if (e->left_out == 0 || (!is_end && now_ms < e->left_out_since_ms + QUOTA_WINDOW_MS))
        return false;
    *ret = *e;
    e->left_out = e->logins = 0;
    atomic_fetch_sub_explicit(&q->n_untold, 1, memory_order_relaxed);
    return true;
}

static struct log_quota_report quota_report(const struct quota *e, const struct addr *addr)
{
    return (struct log_quota_report){
        .addr = addr, .lines = e->left_out, .logins = e->logins, .since_ms = e->left_out_since_ms};
}

void log_quota_tell(struct log_quota *q, bool is_end, uint64_t now_ms,
                    void (*fn)(void *arg, const struct log_quota_report *r), void *arg)
{
    if (atomic_load_explicit(&q->n_untold, memory_order_relaxed) == 0)
        return;
    for (size_t i = 0; i < QUOTA_SETS * QUOTA_WAYS; i++) {
        size_t set = i / QUOTA_WAYS;
        struct quota e = {0};
        pthread_mutex_lock(&q->locks[set % QUOTA_LOCKS]);
        bool is_told = quota_tell(q, &q->sets[set].ways[i % QUOTA_WAYS], is_end, now_ms, &e);
        pthread_mutex_unlock(&q->locks[set % QUOTA_LOCKS]);
        const struct log_quota_report r = quota_report(&e, &e.addr);
        if (is_told)
            fn(arg, &r);
    }
    struct quota e = {0};
    pthread_mutex_lock(&q->total_lock);
    bool is_told = quota_tell(q, &q->total, is_end, now_ms, &e);
    pthread_mutex_unlock(&q->total_lock);
    const struct log_quota_report r = quota_report(&e, NULL);
    if (is_told)
        fn(arg, &r);
}
