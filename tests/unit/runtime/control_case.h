/* SPDX-License-Identifier: ISC */
/* As much of a control plane as its parts need: a loop, jobs, a store in a folder of its own, and a
 * host that says what the test sets. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <unistd.h>

#include "base/clock.h"
#include "runtime/state.h"

#define PLANE_JOB_THREADS 2
#define PLANE_WAIT_MS 20000

struct plane {
    struct control *control; /* first: the owner of the loop begins with it */
    struct control object;
    struct engine_api host;
    struct config config;
    struct pools pools;
    struct snapshot snapshot;
    struct counters accept_counters, worker_counters;
    struct control_worker worker;
    struct loop_timer poll;
    bool (*is_done)(struct plane *p);
    uint64_t until_ms;
    bool is_watched;
    char folder[64], path[128];
};

static inline struct snapshot *plane_snapshot(void *arg)
{
    return &((struct plane *)arg)->snapshot;
}

static inline void plane_set_watched(void *arg, bool is_watched)
{
    ((struct plane *)arg)->is_watched = is_watched;
}

/* The part that a restart replaces. */
static inline void plane_start(struct plane *p)
{
    AUTO_FREE char *error = NULL;
    const struct store_spec spec = {.type = "sqlite", .path = p->path};
    p->control = &p->object;
    p->object = (struct control){.host = &p->host};
    list_init(&p->object.rpc.works);
    work_queue_init(&p->object.rule_queue);
    assert_int_equal(loop_new(p, &p->host.loop), 0);
    assert_int_equal(jobs_new(PLANE_JOB_THREADS, 100, NULL, &p->object.rpc.jobs), 0);
    p->object.rpc.loop = p->host.loop;
    p->host.jobs = p->object.rpc.jobs;
    assert_int_equal(store_open(&spec, &p->host.store, &error), 0);
    assert_int_equal(backend_registry_new(&p->host.registry), 0);
}

static inline void plane_begin(struct plane *p)
{
    memset(p, 0, sizeof(*p));
    snprintf(p->folder, sizeof(p->folder), "/tmp/mailproxy-test-XXXXXX");
    assert_non_null(mkdtemp(p->folder));
    snprintf(p->path, sizeof(p->path), "%s/store.db", p->folder);
    p->worker.counters = &p->worker_counters;
    p->snapshot = (struct snapshot){.generation = 1, .config = &p->config, .pools = &p->pools};
    p->host = (struct engine_api){.workers = &p->worker,
                                  .n_workers = 1,
                                  .counters = &p->accept_counters,
                                  .started_ms = clock_ms(),
                                  .arg = p,
                                  .snapshot = plane_snapshot,
                                  .set_watched = plane_set_watched};
    plane_start(p);
}

static inline void plane_stop(struct plane *p)
{
    jobs_free(p->object.rpc.jobs);
    backend_registry_free(p->host.registry);
    store_close(p->host.store);
    loop_free(p->host.loop);
}

static inline void plane_end(struct plane *p)
{
    static const char *const files[] = {"store.db", "store.db-wal", "store.db-shm"};
    char path[128];
    plane_stop(p);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        snprintf(path, sizeof(path), "%s/%s", p->folder, files[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(p->folder), 0);
}

static inline void plane_poll(struct loop_timer *t)
{
    struct plane *p = CONTAINER_OF(t, struct plane, poll);
    if (p->is_done(p) || clock_ms() > p->until_ms)
        loop_stop(p->host.loop);
    else
        loop_timer_set(p->host.loop, t, 1);
}

/* Runs the loop until the condition holds; a test fails when it never does. */
static inline void plane_run(struct plane *p, bool (*is_done)(struct plane *p))
{
    p->is_done = is_done;
    p->until_ms = clock_ms() + PLANE_WAIT_MS;
    loop_timer_init(&p->poll, plane_poll);
    loop_timer_set(p->host.loop, &p->poll, 1);
    assert_int_equal(loop_run(p->host.loop), 0);
    assert_true(is_done(p));
}
