/* SPDX-License-Identifier: ISC */
/* A real redis-server of the test's own, on a UNIX socket, and a loop on which engines ask it. */
#pragma once

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "fleet/pins/pin_scripts.h"
#include "fleet/pins/pins.h"

#define CASE_ENGINES 3
#define CASE_RETENTION_MS 60000
#define CASE_LEASE_MS 15000

struct redis_case {
    char folder[64], socket[96], server[112];
    pid_t pid;
    redisContext *admin; /* as redis-cli */
    struct loop *loop;
    struct loop_timer limit;
    struct engine {
        struct pins_shared *shared;
        struct pins *pins;
        struct redis_client *client;
    } engines[CASE_ENGINES];
    size_t n_up;
};

static void redis_case_start(struct redis_case *k)
{
    k->pid = fork();
    assert_true(k->pid >= 0);
    if (k->pid == 0) {
        int null = open("/dev/null", O_RDWR);
        dup2(null, 1);
        dup2(null, 2);
        execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", k->socket, "--save",
               "", "--dir", k->folder, (char *)NULL);
        _exit(127);
    }
    const struct timeval patience = {.tv_sec = 20};
    for (int i = 0; i < 2000 && !k->admin; i++) {
        redisContext *c = redisConnectUnixWithTimeout(k->socket, patience);
        if (c && !c->err) {
            k->admin = c;
            redisSetTimeout(c, patience);
        } else {
            redisFree(c);
            usleep(10000);
        }
    }
    assert_non_null(k->admin);
}

__attribute__((format(printf, 2, 3))) static inline redisReply *redis_say(struct redis_case *k,
                                                                          const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    redisReply *r = redisvCommand(k->admin, fmt, ap);
    va_end(ap);
    assert_non_null(r);
    return r;
}

static void on_case_limit(struct loop_timer *t)
{
    (void)t;
    fail_msg("nothing happened for 20 s");
}

static void on_case_changed(void *arg, bool is_up)
{
    struct redis_case *k = arg;
    k->n_up += is_up ? 1 : 0;
    loop_stop(k->loop);
}

/* Until somebody calls loop_stop. */
static inline void redis_case_run(struct redis_case *k)
{
    loop_timer_set(k->loop, &k->limit, 20000);
    assert_int_equal(loop_run(k->loop), 0);
    loop_timer_cancel(k->loop, &k->limit);
}

/* An engine that has beaten a moment ago. */
static inline void redis_case_heartbeat(struct redis_case *k, size_t engine)
{
    freeReplyObject(redis_say(k, "ZADD %s %llu %s", k->engines[engine].shared->nodes,
                              (unsigned long long)clock_wall_ms(),
                              k->engines[engine].shared->holder));
}

static inline void redis_case_join(struct redis_case *k, size_t i)
{
    static const uint8_t secret[PINS_SECRET_BYTES] = "thirty-two bytes of the secret!";
    char holder[32];
    struct engine *e = &k->engines[i];
    snprintf(holder, sizeof(holder), "n%zu#00000000000000%02zx", i, i);
    const struct pins_shared_spec shared = {
        .fleet = "mail", .holder = holder, .secret = secret, .lease_ms = CASE_LEASE_MS};
    assert_int_equal(pins_shared_new(&shared, &e->shared), 0);
    assert_int_equal(pins_new(k->loop, e->shared, &e->pins), 0);
    const char *servers[] = {k->server};
    const struct redis_spec spec = {.servers = servers,
                                    .n_servers = 1,
                                    .timeout_ms = 5000,
                                    .changed = on_case_changed,
                                    .arg = k};
    assert_int_equal(redis_client_new(k->loop, &spec, &e->client), 0);
    pins_set_redis(e->pins, e->client);
    pins_set_retention(e->pins, CASE_RETENTION_MS);
    redis_case_heartbeat(k, i);
}

static inline struct redis_case *redis_case_begin(void)
{
    struct redis_case *k = calloc(1, sizeof(*k));
    assert_non_null(k);
    snprintf(k->folder, sizeof(k->folder), "/tmp/mailproxy-pins-XXXXXX");
    assert_non_null(mkdtemp(k->folder));
    snprintf(k->socket, sizeof(k->socket), "%s/redis", k->folder);
    snprintf(k->server, sizeof(k->server), "unix:%s", k->socket);
    redis_case_start(k);
    assert_int_equal(loop_new(NULL, &k->loop), 0);
    loop_timer_init(&k->limit, on_case_limit);
    for (size_t i = 0; i < CASE_ENGINES; i++)
        redis_case_join(k, i);
    while (k->n_up < CASE_ENGINES)
        redis_case_run(k);
    return k;
}

static inline void redis_case_stop(struct redis_case *k)
{
    if (k->pid <= 0)
        return;
    redisFree(k->admin);
    k->admin = NULL;
    kill(k->pid, SIGKILL);
    waitpid(k->pid, NULL, 0);
    k->pid = 0;
}

static inline void redis_case_end(struct redis_case *k)
{
    for (size_t i = 0; i < CASE_ENGINES; i++) {
        pins_free(k->engines[i].pins);
        pins_shared_free(k->engines[i].shared);
    }
    redis_case_stop(k);
    loop_free(k->loop);
    unlink(k->socket);
    rmdir(k->folder);
    free(k);
}
