/* SPDX-License-Identifier: ISC */
/* The engine of mailproxyd full of sessions that relay without a connection: listing, killing and
 * counting them costs what it costs for real ones, and no descriptor is needed. Options name=value:
 * config, sessions, users. Says "ready" when they are there; for each line of input it prints the
 * most CPU time that one turn of each thread's loop took since the line before, in µs. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "control/control.h"
#include "engine/engine.h"
#include "engine/worker.h"
#include "fleet/pins/pins.h"
#include "session/session_priv.h"

#define SCALE_WORKERS 64
#define SCALE_BATCH 500
#define SCALE_TICK_MS 250
#define SCALE_BUSY 100 /* sessions of a worker that have traffic in a tick */
#define SCALE_AGE_MS (24 * 3600 * UINT64_C(1000))
#define SCALE_POOL "main"

/* The turns of one loop. */
struct scale_turns {
    uint64_t before_ns; /* thread's CPU time at the end of the last turn; the loop's thread only */
    _Atomic uint64_t longest_ns;
};

struct scale_worker {
    struct worker *worker;
    struct scale_turns turns;
    struct loop_timer tick;
    uint64_t first, n, random; /* its sessions: ids from first on */
};

struct scale {
    const char *config;
    uint64_t sessions, users;
    struct control *control;
    struct scale_turns control_turns;
    struct scale_worker workers[SCALE_WORKERS];
    size_t n_workers;
    _Atomic size_t n_made;
};

static struct scale scale = {.sessions = 100000, .users = 20000};

/* ---- turns ---- */

static uint64_t scale_cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void on_turn(void *arg)
{
    struct scale_turns *t = arg;
    uint64_t now_ns = scale_cpu_ns(), took_ns = now_ns - t->before_ns;
    if (took_ns > atomic_load_explicit(&t->longest_ns, memory_order_relaxed))
        atomic_store_explicit(&t->longest_ns, took_ns, memory_order_relaxed);
    t->before_ns = now_ns;
}

static void turns_begin(struct loop *l, struct scale_turns *t)
{
    t->before_ns = scale_cpu_ns();
    loop_on_turn(l, on_turn, t);
}

static unsigned long long turns_take_us(struct scale_turns *t)
{
    return atomic_exchange_explicit(&t->longest_ns, 0, memory_order_relaxed) / 1000;
}

static void *scale_answer(void *arg)
{
    char line;
    (void)arg;
    /* Not through stdin: who waits in there holds its lock, which exit() wants. */
    while (read(STDIN_FILENO, &line, 1) == 1) {
        printf("{\"control\": %llu, \"workers\": [", turns_take_us(&scale.control_turns));
        for (size_t i = 0; i < scale.n_workers; i++)
            printf("%s%llu", i ? ", " : "", turns_take_us(&scale.workers[i].turns));
        printf("]}\n");
        fflush(stdout);
    }
    return NULL;
}

/* ---- sessions ---- */

/* The same numbers for the same session on every run. */
static uint64_t scale_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

/* Homes with a few sessions each; a third speaks IPv6. */
static void scale_peer(uint64_t i, struct addr *ret)
{
    char text[ADDR_TEXT_MAX];
    uint64_t state = i / 2, r = scale_random(&state);
    unsigned a = r & 0xff, b = (r >> 8) & 0xff, c = (r >> 16) & 0xff;
    if (r % 3 == 0)
        (void)snprintf(text, sizeof(text), "[2001:db8:%x:%x::%x]:%u", a, b << 8 | c,
                       (unsigned)(r >> 48), 1024 + (unsigned)(i % 60000));
    else
        (void)snprintf(text, sizeof(text), "10.%u.%u.%u:%u", a, b, c, 1024 + (unsigned)(i % 60000));
    (void)!addr_parse(str_of(text), ret);
}

static void scale_fill(struct session *s, uint64_t i)
{
    static const char *const verbs[] = {"IDLE", "NOOP", "FETCH", "SELECT"};
    static const char *const clients[] = {"Thunderbird 128.3", "iOS Mail 18", "mutt 2.2", NULL};
    static const char *const tls[] = {"TLSv1.3", "TLSv1.2", ""};
    const struct pool *pool = pools_find(s->snapshot->pools, SCALE_POOL);
    uint64_t state = i + 1, now_ms = loop_now_ms(s->env->loop);
    uint64_t oldest_ms = now_ms < SCALE_AGE_MS ? now_ms : SCALE_AGE_MS; /* the clock's own age */
    uint64_t user = scale_random(&state) % scale.users, age_ms = scale_random(&state) % oldest_ms;
    s->user = str_printf("user%05llu@%s.example", (unsigned long long)user,
                         user % 3 ? "mail" : "students.university");
    s->client_name = str_dup_c(clients[scale_random(&state) % ARRAY_LEN(clients)]);
    s->backend = backend_ref(pool->members[user % pool->n_members].backend);
    s->pool = pool;
    (void)!addr_parse(STR("192.0.2.1:143"), &s->server_addr);
    (void)str_copy(s->client_tls, sizeof(s->client_tls), str_of(tls[user % ARRAY_LEN(tls)]));
    s->auth_source = "users";
    s->route_reason = "pool";
    s->mech = SASL_PLAIN;
    s->attempts = 1;
    s->started_ms = now_ms - age_ms;
    s->started_wall_ms -= age_ms;
    s->active_ms = now_ms - scale_random(&state) % (now_ms - s->started_ms + 1) / 16;
    s->client.in_bytes = scale_random(&state) % 100000;
    s->client.out_bytes = scale_random(&state) % 100000000;
    if (s->watch) {
        s->watch->phase = user % 4 ? WATCH_BETWEEN : WATCH_IDLE;
        (void)str_copy(s->watch->verb, sizeof(s->watch->verb),
                       str_of(verbs[user % ARRAY_LEN(verbs)]));
    }
}

/* Limits know the addresses and users, as accept and logins would have told them. */
static void scale_count(struct session *s)
{
    struct limits *l = control_limits(scale.control);
    const struct config_limits none = {0};
    struct limit_verdict v;
    limits_connect(l, &none, &s->peer, clock_ms(), &v);
    s->is_client_counted = v.is_counted;
    limits_login(l, &none, &s->peer, s->user, 0, clock_ms(), &v);
    s->is_user_counted = v.is_counted;
}

/* Of a fleet: its store has said once where the user is, before all of this. */
static void scale_pin(struct scale_worker *w, struct session *s)
{
    struct pins_shared *shared = w->worker->spec.pins;
    struct pin_key key = {.pool = SCALE_POOL};
    struct pin_view before;
    if (!shared)
        return;
    pins_hash_user(shared, s->user, key.user);
    struct pin *p = pin_begin(&shared->table, &key, s->user, loop_now_ms(s->env->loop), &before);
    s->pin = p ? pin_settle(&shared->table, p, s->backend->name, 1, PIN_BALANCED, clock_wall_ms())
               : NULL;
}

/* What a login does, without a connection. */
static void scale_add(struct scale_worker *w, uint64_t i)
{
    struct session_env *env = &w->worker->env;
    struct addr peer;
    scale_peer(i, &peer);
    struct session *s =
        session_new(env, env->snapshot, (unsigned)(i % env->snapshot->n_listeners), &peer);
    if (!s || session_enlist(s) < 0) {
        fputs("scale: out of memory\n", stderr);
        _exit(EX_OSERR);
    }
    w->first = w->n++ ? w->first : s->id;
    preauth_free(s);
    s->state = SESSION_RELAY;
    relay_watch(s, STR_NULL);
    scale_fill(s, i);
    scale_count(s);
    scale_pin(w, s);
    relay_enlist(s);
    session_set_timer(s, s->snapshot->config->timeouts.relay_idle_ms);
}

struct scale_batch {
    struct mail mail;
    struct scale_worker *w;
    uint64_t from, to;
    bool is_last;
};

/* Some sessions have traffic, so that no two lists are the same. */
static void on_tick(struct loop_timer *t)
{
    struct scale_worker *w = CONTAINER_OF(t, struct scale_worker, tick);
    for (int i = 0; i < SCALE_BUSY && w->n > 0; i++) {
        struct session *s =
            session_find(&w->worker->env, w->first + scale_random(&w->random) % w->n);
        if (!s)
            continue;
        s->client.in_bytes += scale_random(&w->random) % 100;
        s->client.out_bytes += scale_random(&w->random) % 10000;
        s->active_ms = loop_now_ms(s->env->loop);
    }
    loop_timer_set(w->worker->env.loop, t, SCALE_TICK_MS);
}

static void on_batch(struct mail *m, void *owner)
{
    struct scale_batch *b = CONTAINER_OF(m, struct scale_batch, mail);
    struct scale_worker *w = b->w;
    (void)owner;
    for (uint64_t i = b->from; i < b->to; i++)
        scale_add(w, i);
    if (b->is_last) {
        loop_timer_init(&w->tick, on_tick);
        on_tick(&w->tick);
        turns_begin(w->worker->env.loop, &w->turns);
        if (atomic_fetch_add(&scale.n_made, 1) + 1 == scale.n_workers) {
            puts("ready");
            fflush(stdout);
        }
    }
    free(b);
}

static void scale_post(size_t worker, uint64_t from, uint64_t to, bool is_last)
{
    struct scale_batch *b = calloc(1, sizeof(*b));
    if (!b)
        _exit(EX_OSERR);
    *b = (struct scale_batch){.mail.fn = on_batch,
                              .w = &scale.workers[worker],
                              .from = from,
                              .to = to,
                              .is_last = is_last};
    mailbox_post(worker_mailbox(scale.workers[worker].worker), &b->mail);
}

static void on_ready(void *arg, const struct engine_parts *parts)
{
    pthread_t thread;
    (void)arg;
    scale.control = parts->control;
    scale.n_workers = parts->n_workers;
    for (size_t i = 0; i < parts->n_workers; i++)
        scale.workers[i] = (struct scale_worker){.worker = parts->workers[i], .random = i};
    for (uint64_t i = 0; i < scale.sessions; i += SCALE_BATCH) {
        uint64_t to = i + SCALE_BATCH < scale.sessions ? i + SCALE_BATCH : scale.sessions;
        scale_post(i / SCALE_BATCH % scale.n_workers, i, to, false);
    }
    for (size_t i = 0; i < scale.n_workers; i++)
        scale_post(i, 0, 0, true);
    turns_begin(parts->loop, &scale.control_turns);
    if (pthread_create(&thread, NULL, scale_answer, NULL) == 0)
        pthread_detach(thread);
}

/* ---- options ---- */

static bool scale_option(struct str arg)
{
    struct str value = arg, name = str_cut(&value, '=');
    if (str_eq(name, STR("config"))) {
        scale.config = value.p;
        return true;
    }
    if (str_eq(name, STR("sessions")))
        return str_to_u64(value, UINT32_MAX, &scale.sessions) == 0;
    return str_eq(name, STR("users")) && str_to_u64(value, UINT32_MAX, &scale.users) == 0 &&
           scale.users > 0;
}

static void scale_raise_limits(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (!scale_option(str_of(argv[i]))) {
            fprintf(stderr, "scale: cannot use option %s\n", argv[i]);
            return EX_USAGE;
        }
    const struct engine_options o = {
        .config_path = scale.config, .supervisor = -1, .ready = on_ready};
    if (!scale.config)
        return EX_USAGE;
    signal(SIGPIPE, SIG_IGN);
    scale_raise_limits();
    return engine_run(&o);
}
