/* SPDX-License-Identifier: ISC */
/* A fleet without its proxies: the daemon's own pins, claims and heartbeats of many nodes against
 * one real store, all in one process. Options name=value: server (as in fleet.servers), nodes,
 * users, backends, balance (user, random), flying (logins of a node at once), rate (logins a second
 * while the store recovers), heartbeat_ms, lease_ms, show (each so manieth user is looked at; 0 =
 * none), again (0: not until all nodes have told everything twice). Prints a line of JSON for each
 * phase; ends with 1 when anything is counted wrong. */
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "fleet/claims.h"
#include "fleet/fleet_heartbeat.h"
#include "fleet/fleet_nodes.h"
#include "fleet/pins/pin_scripts.h"

#define SIM_POOL "main"
#define SIM_TICK_US 5000
#define SIM_LOGIN_MS 50       /* the usual time-out, while the store recovers */
#define SIM_PATIENCE_MS 20000 /* where only the rate counts */
#define SIM_REPLY_BYTES (16 << 20)
#define SIM_NAME_SIZE 40
#define SIM_HEARTBEATS 3 /* of each node, in the phase that counts what they cost */

struct sim_node {
    struct pins_shared *shared;
    struct pins *pins;
    struct redis_client *control; /* as the control thread's; the logins' is that of pins */
    struct claims *claims;
    struct event *heartbeat;
    char holder[PINS_HOLDER_SIZE], name[32], entry[PINS_KEY_SIZE + 16];
    char epoch[FLEET_EPOCH_SIZE];
    uint64_t heartbeats, recovered_ms;
    unsigned n_flying;
    unsigned walks; /* seen to their end since the store lost everything */
    uint64_t walk_begun_ms;
};

/* One login at one node. */
struct sim_session {
    struct pin_backend *held;
    uint16_t node;
};

struct sim_login {
    uint64_t session, started_us;
    struct list link; /* of sim.spare */
};

static struct sim {
    const char *server;
    uint64_t n_nodes, n_users, n_backends, max_flying, rate, heartbeat_ms, lease_ms, show_each,
        again;
    bool is_random;
    struct loop *loop;
    struct sim_node *nodes;
    uint64_t n_up;
    struct sim_session *sessions; /* two of each user, then those while the store recovers */
    uint8_t *where;               /* of each user: backend and 1; 0 = nowhere yet */
    struct redis_client *admin;
    struct list spare;
    uint64_t random;
    char key_epoch[64], key_schema[64], key_entries[64];

    /* the phase */
    uint64_t first, next, end, n_flying, due; /* due: logins of a rate that may have begun by now */
    uint64_t began_us, timeout_ms;
    struct rusage own;
    double store_s;
    uint64_t n_done, n_open, n_refused, n_elsewhere, longest_us, sum_us;
    uint64_t shown_sessions, n_shown;
    bool (*is_over)(void);
    struct event *tick;
    bool is_failed;
} sim = {.n_nodes = 50,
         .n_users = 1000000,
         .n_backends = 20,
         .max_flying = 20,
         .rate = 200,
         .heartbeat_ms = 5000,
         .lease_ms = 15000,
         .again = 1,
         .show_each = 1000};

static void die(const char *what)
{
    fprintf(stderr, "fleet: %s\n", what);
    _exit(EX_SOFTWARE);
}

/* The same numbers on every run. */
static uint64_t sim_random(void)
{
    uint64_t z = sim.random += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

/* ---- the store itself ---- */

static struct {
    double cpu_s;
    uint64_t used_bytes, keys;
    bool has_answered;
} store;

static double info_number(struct str text, const char *name)
{
    const char *at = memmem(text.p, text.n, name, strlen(name));
    return at ? strtod(at + strlen(name), NULL) : 0;
}

static void on_info(void *arg, const struct redis_result *r)
{
    (void)arg;
    if (r->err < 0 || r->reply->type != REDIS_REPLY_STRING)
        die("the store does not tell about itself");
    struct str text = str_n(r->reply->str, r->reply->len);
    store.cpu_s = info_number(text, "used_cpu_user:") + info_number(text, "used_cpu_sys:");
    store.used_bytes = (uint64_t)info_number(text, "used_memory:");
    store.keys = (uint64_t)info_number(text, "db0:keys=");
    store.has_answered = true;
    loop_stop(sim.loop);
}

/* Turns until it is so; whoever may make it so stops the loop. */
static void sim_run(bool (*is_so)(void))
{
    while (!is_so())
        if (loop_run(sim.loop) < 0)
            die("the loop ended");
}

static bool store_has_answered(void)
{
    return store.has_answered;
}

static void store_ask(const struct str *words, size_t n, redis_fn *fn)
{
    store.has_answered = false;
    if (redis_call(sim.admin, words, n, SIM_PATIENCE_MS, fn, NULL, NULL) < 0)
        die("the store is away");
    sim_run(store_has_answered);
}

static void store_look(void)
{
    const struct str words[] = {STR("INFO"), STR("everything")};
    store_ask(words, ARRAY_LEN(words), on_info);
}

static void on_flushed(void *arg, const struct redis_result *r)
{
    (void)arg;
    if (r->err < 0)
        die("the store does not forget");
    store.has_answered = true;
    loop_stop(sim.loop);
}

static void store_flush(void)
{
    const struct str words[] = {STR("FLUSHALL")};
    store_ask(words, ARRAY_LEN(words), on_flushed);
}

/* ---- heartbeats ---- */

static void on_heartbeat(void *arg, const struct redis_result *r)
{
    struct sim_node *n = arg;
    struct fleet_nodes all;
    if (r->err < 0 || fleet_nodes_read(r->reply, &all) < 0)
        return;
    n->heartbeats++;
    if (*n->epoch && strcmp(n->epoch, all.epoch) != 0)
        claims_begin(n->claims);
    (void)str_copy(n->epoch, sizeof(n->epoch), str_of(all.epoch));
    claims_set_nodes(n->claims, all.n);
    fleet_nodes_fini(&all);
}

static void node_heartbeat(struct sim_node *n)
{
    char proposal[32], lease[24];
    snprintf(proposal, sizeof(proposal), "%016llx", (unsigned long long)sim_random());
    snprintf(lease, sizeof(lease), "%llu", (unsigned long long)sim.lease_ms);
    const struct str words[] = {str_of(n->shared->nodes),
                                str_of(n->entry),
                                str_of(sim.key_epoch),
                                str_of(sim.key_schema),
                                str_of(n->holder),
                                str_of(n->name),
                                str_of(lease),
                                STR("60000"),
                                str_of(proposal),
                                STR("1"),
                                str_of(sim.key_entries),
                                STR("version"),
                                STR("1.0"),
                                STR("schema"),
                                STR("1"),
                                STR("address"),
                                STR("mail.example.org"),
                                STR("state"),
                                STR("serving"),
                                STR("sessions"),
                                STR("20000"),
                                STR("users"),
                                STR("20000"),
                                STR("load"),
                                STR("0.50"),
                                STR("started"),
                                STR("1700000000000"),
                                STR("proof"),
                                STR("01234567-0123456789abcdef")};
    (void)!redis_eval(n->control, &fleet_heartbeat, words, ARRAY_LEN(words), 4, 1000, on_heartbeat,
                      n, NULL);
}

static void on_heartbeat_due(evutil_socket_t fd, short what, void *arg)
{
    struct sim_node *n = arg;
    const struct timeval tv = {(time_t)(sim.heartbeat_ms / 1000),
                               (suseconds_t)(sim.heartbeat_ms % 1000 * 1000)};
    (void)fd;
    (void)what;
    node_heartbeat(n);
    (void)event_add(n->heartbeat, &tv);
}

/* ---- logins ---- */

static uint64_t login_user(uint64_t session)
{
    return session < 2 * sim.n_users ? session % sim.n_users
                                     : session * UINT64_C(2654435761) % sim.n_users;
}

static struct sim_login *login_new(uint64_t session)
{
    struct sim_login *l = NULL;
    if (list_is_empty(&sim.spare)) {
        l = malloc(sizeof(*l));
        if (!l)
            die("out of memory");
        list_init(&l->link);
    } else {
        l = LIST_ITEM(sim.spare.next, struct sim_login, link);
        list_del(&l->link);
    }
    l->session = session;
    l->started_us = clock_us();
    return l;
}

static void login_over(struct sim_login *l, const struct pins_answer *a)
{
    struct sim_session *s = &sim.sessions[l->session];
    uint64_t user = login_user(l->session), took_us = clock_us() - l->started_us;
    sim.n_done++;
    sim.n_open += a->is_open;
    sim.sum_us += took_us;
    sim.longest_us = took_us > sim.longest_us ? took_us : sim.longest_us;
    list_add_tail(&sim.spare, &l->link);
    if (a->verdict != PINS_HERE) {
        sim.n_refused++;
        return;
    }
    s->held = a->held;
    uint8_t backend = (uint8_t)(strtoul(a->backend + 1, NULL, 10) + 1);
    if (sim.where[user] && sim.where[user] != backend)
        sim.n_elsewhere++;
    else
        sim.where[user] = backend;
}

static void sim_pump(void);

static void on_answer(void *arg, const struct pins_answer *a)
{
    struct sim_login *l = arg;
    sim.nodes[sim.sessions[l->session].node].n_flying--;
    sim.n_flying--;
    login_over(l, a);
    sim_pump();
}

static void login_begin(uint64_t session)
{
    char user[SIM_NAME_SIZE], backend[8];
    struct pins_answer now;
    uint64_t number = login_user(session);
    struct sim_session *s = &sim.sessions[session];
    snprintf(user, sizeof(user), "user%07llu@example.org", (unsigned long long)number);
    snprintf(backend, sizeof(backend), "b%u",
             (unsigned)((sim.is_random ? sim_random() : number) % sim.n_backends));
    struct sim_login *l = login_new(session);
    const struct pins_request q = {
        .user = user, .pool = SIM_POOL, .proposal = backend, .timeout_ms = sim.timeout_ms};
    struct sim_node *n = &sim.nodes[s->node];
    n->n_flying++;
    sim.n_flying++;
    if (!pins_ask(n->pins, &q, on_answer, l, &now)) {
        n->n_flying--;
        sim.n_flying--;
        login_over(l, &now);
    }
}

/* The second session of a user is at another node. */
static void session_place(uint64_t session)
{
    uint64_t node = sim_random();
    if (session >= sim.n_users && session < 2 * sim.n_users && sim.n_nodes > 1)
        node = sim.sessions[session - sim.n_users].node + 1 + node % (sim.n_nodes - 1);
    sim.sessions[session].node = (uint16_t)(node % sim.n_nodes);
}

/* Begins what may begin. */
static void sim_pump(void)
{
    uint64_t end = sim.due < sim.end ? sim.due : sim.end;
    while (sim.next < end && sim.n_flying < sim.max_flying * sim.n_nodes)
        login_begin(sim.next++);
}

/* ---- phases ---- */

static double own_cpu_s(const struct rusage *u)
{
    return (double)(u->ru_utime.tv_sec + u->ru_stime.tv_sec) +
           (double)(u->ru_utime.tv_usec + u->ru_stime.tv_usec) / 1e6;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
    if (sim.timeout_ms == SIM_LOGIN_MS)
        sim.due = sim.first + (clock_us() - sim.began_us) * sim.rate / 1000000;
    sim_pump();
    if (sim.is_over())
        loop_stop(sim.loop);
}

/* Runs until is_over; logins of sessions from..to, as fast as answers come or (timeout_ms of a
 * login) at the rate. */
static void phase_run(uint64_t from, uint64_t to, uint64_t timeout_ms, bool (*is_over)(void))
{
    const struct timeval tick = {0, SIM_TICK_US};
    store_look();
    sim.store_s = store.cpu_s;
    getrusage(RUSAGE_SELF, &sim.own);
    sim.began_us = clock_us();
    sim.n_done = sim.n_open = sim.n_refused = sim.n_elsewhere = sim.longest_us = sim.sum_us = 0;
    sim.first = sim.next = from;
    sim.end = to;
    sim.due = timeout_ms == SIM_LOGIN_MS ? from : to;
    sim.timeout_ms = timeout_ms;
    sim.is_over = is_over;
    (void)event_add(sim.tick, &tick);
    sim_pump();
    sim_run(is_over);
    event_del(sim.tick);
}

/* n: of what the costs are told for one. */
static void phase_tell(const char *name, uint64_t n, const char *more)
{
    struct rusage own;
    double seconds = (double)(clock_us() - sim.began_us) / 1e6;
    getrusage(RUSAGE_SELF, &own);
    double own_s = own_cpu_s(&own) - own_cpu_s(&sim.own);
    store_look();
    double each = n ? 1e6 / (double)n : 0;
    printf("{\"phase\": \"%s\", \"n\": %llu, \"seconds\": %.3f, \"rate\": %.0f, "
           "\"store_us\": %.2f, \"store_share\": %.3f, \"own_us\": %.2f, \"open\": %llu, "
           "\"refused\": %llu, \"elsewhere\": %llu, \"longest_ms\": %.2f, \"mean_ms\": %.2f, "
           "\"bytes\": %llu, \"keys\": %llu%s}\n",
           name, (unsigned long long)n, seconds, (double)n / seconds,
           (store.cpu_s - sim.store_s) * each, (store.cpu_s - sim.store_s) / seconds, own_s * each,
           (unsigned long long)sim.n_open, (unsigned long long)sim.n_refused,
           (unsigned long long)sim.n_elsewhere, (double)sim.longest_us / 1e3,
           sim.n_done ? (double)sim.sum_us / 1e3 / (double)sim.n_done : 0,
           (unsigned long long)store.used_bytes, (unsigned long long)store.keys, more);
    fflush(stdout);
}

static void expect(bool is_so, const char *what)
{
    if (is_so)
        return;
    fprintf(stderr, "fleet: %s\n", what);
    sim.is_failed = true;
}

static bool logins_are_over(void)
{
    return sim.next == sim.end && sim.n_flying == 0;
}

static bool heartbeats_are_over(void)
{
    for (uint64_t i = 0; i < sim.n_nodes; i++)
        if (sim.nodes[i].heartbeats < SIM_HEARTBEATS)
            return false;
    return true;
}

/* ---- what the store counts ---- */

static void on_shown(void *arg, const struct redis_result *r)
{
    (void)arg;
    sim.n_flying--;
    sim.n_shown++;
    for (size_t i = 0; r->err == 0 && i < r->reply->elements; i++) {
        struct str text = str_n(r->reply->element[i]->str, r->reply->element[i]->len);
        uint64_t n = 0;
        if (!str_eq(str_cut(&text, '\x1f'), STR("h")))
            continue;
        (void)str_cut(&text, '\x1f');
        (void)str_cut(&text, '\x1f');
        if (str_to_u64(text, UINT32_MAX, &n) == 0)
            sim.shown_sessions += n;
    }
    if (sim.n_flying == 0)
        loop_stop(sim.loop);
}

static void show_user(uint64_t number)
{
    uint8_t hash[PIN_HASH_BYTES];
    char user[SIM_NAME_SIZE], key[PINS_KEY_SIZE], lease[24];
    const struct sim_node *n = &sim.nodes[0];
    snprintf(user, sizeof(user), "user%07llu@example.org", (unsigned long long)number);
    snprintf(lease, sizeof(lease), "%llu", (unsigned long long)sim.lease_ms);
    pins_hash_user(n->shared, user, hash);
    pins_user_key(n->shared, hash, key);
    const struct str words[] = {str_of(key), str_of(n->shared->nodes), str_of(lease)};
    if (redis_eval(n->control, &pin_script_show, words, ARRAY_LEN(words), 2, SIM_PATIENCE_MS,
                   on_shown, NULL, NULL) < 0)
        die("the store does not tell about users");
    sim.n_flying++;
}

static bool nobody_flies(void)
{
    return sim.n_flying == 0;
}

/* Sessions that the store counts of the users that are looked at. */
static uint64_t shown_sessions(void)
{
    sim.shown_sessions = sim.n_shown = 0;
    for (uint64_t i = 0; sim.show_each && i < sim.n_users;) {
        for (int k = 0; k < 500 && i < sim.n_users; k++, i += sim.show_each)
            show_user(i);
        sim_run(nobody_flies);
    }
    return sim.shown_sessions;
}

static bool a_while_is_over(void)
{
    return clock_us() - sim.began_us >= 500000;
}

/* What a node could not tell, as the store did not answer in time, it tells a moment later: waited
 * for as long as it gets less. */
static bool store_counts(uint64_t sessions)
{
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < 240; i++) { /* two minutes */
        uint64_t shown = shown_sessions();
        uint64_t apart = shown > sessions ? shown - sessions : sessions - shown;
        if (apart == 0)
            return true;
        if (apart < least) {
            least = apart;
            i = 0;
        }
        phase_run(sim.next, sim.next, SIM_PATIENCE_MS, a_while_is_over);
    }
    fprintf(stderr, "fleet: %llu sessions apart\n", (unsigned long long)least);
    return false;
}

/* Sessions that are held here of the same users. */
static uint64_t held_sessions(uint64_t n_sessions)
{
    uint64_t n = 0;
    for (uint64_t i = 0; i < n_sessions; i++)
        n += sim.show_each && sim.sessions[i].held && login_user(i) % sim.show_each == 0;
    return n;
}

/* ---- the store has lost everything ---- */

static bool node_has_told(struct sim_node *n)
{
    struct claims_facts f;
    claims_look(n->claims, &f);
    if (f.begun_ms > n->walk_begun_ms && !f.is_walking && f.n_pending == 0) {
        n->walk_begun_ms = f.begun_ms;
        n->walks++;
        n->recovered_ms = n->recovered_ms ? n->recovered_ms : clock_ms();
    }
    return n->walks > 0;
}

static bool all_have_told(void)
{
    bool is_so = true;
    for (uint64_t i = 0; i < sim.n_nodes; i++)
        is_so = node_has_told(&sim.nodes[i]) && is_so;
    return is_so;
}

/* Each node tells twice. */
static bool all_have_settled(void)
{
    (void)all_have_told();
    for (uint64_t i = 0; i < sim.n_nodes; i++)
        if (sim.nodes[i].walks < 2)
            return false;
    return sim.n_flying == 0;
}

static uint64_t nodes_count(enum pin_count which)
{
    uint64_t n = 0;
    for (uint64_t i = 0; i < sim.n_nodes; i++)
        n += atomic_load(&sim.nodes[i].shared->table.counts[which]);
    return n;
}

static void phase_recovery(uint64_t n_extra)
{
    char more[160];
    uint64_t claims = nodes_count(PIN_COUNT_CLAIMS), began_ms = clock_ms(), last_ms = 0;
    for (uint64_t i = 0; i < sim.n_nodes; i++)
        sim.nodes[i].walk_begun_ms = began_ms;
    store_flush();
    uint64_t from = 2 * sim.n_users;
    phase_run(from, from + n_extra, SIM_LOGIN_MS, all_have_told);
    for (uint64_t i = 0; i < sim.n_nodes; i++)
        if (sim.nodes[i].recovered_ms > last_ms)
            last_ms = sim.nodes[i].recovered_ms;
    claims = nodes_count(PIN_COUNT_CLAIMS) - claims;
    snprintf(more, sizeof(more), ", \"logins\": %llu, \"told_s\": %.2f",
             (unsigned long long)sim.n_done, (double)(last_ms - began_ms) / 1e3);
    phase_tell("recovery", claims, more);
    expect(sim.n_refused == 0, "logins were refused while the store recovered");
    claims = nodes_count(PIN_COUNT_CLAIMS);
    uint64_t begun = sim.next;
    phase_run(begun, begun, SIM_PATIENCE_MS, sim.again ? all_have_settled : logins_are_over);
    snprintf(more, sizeof(more), ", \"conflicts\": %llu",
             (unsigned long long)nodes_count(PIN_COUNT_CONFLICTS));
    phase_tell("once more", nodes_count(PIN_COUNT_CLAIMS) - claims, more);
    expect(store_counts(held_sessions(begun)), "sessions are counted wrong after the recovery");
}

/* ---- all of them ---- */

static void phases(void)
{
    uint64_t users = sim.n_users, n_extra = 3600 * sim.rate;
    for (uint64_t i = 0; i < sim.n_nodes; i++)
        sim.nodes[i].heartbeats = 0;
    phase_run(0, 0, SIM_PATIENCE_MS, heartbeats_are_over);
    phase_tell("heartbeats", SIM_HEARTBEATS * sim.n_nodes, "");
    store_look();
    uint64_t bytes = store.used_bytes, keys = store.keys;
    phase_run(0, users, SIM_PATIENCE_MS, logins_are_over);
    char more[64];
    store_look();
    snprintf(more, sizeof(more), ", \"bytes_each\": %.0f",
             (double)(store.used_bytes - bytes) / (double)users);
    phase_tell("first login", users, more);
    expect(store.keys - keys == users, "there is not one key for each user");
    expect(sim.n_open == 0 && sim.n_refused == 0, "first logins came to nothing");
    phase_run(users, 2 * users, SIM_PATIENCE_MS, logins_are_over);
    phase_tell("second login", users, "");
    expect(sim.n_elsewhere == 0, "users are on two backends");
    expect(sim.n_open == 0 && sim.n_refused == 0, "second logins came to nothing");
    expect(store.keys - keys == users, "there is not one key for each user");
    expect(store_counts(held_sessions(2 * users)), "sessions are counted wrong");
    phase_recovery(n_extra);
}

static void phase_leave(void)
{
    uint64_t n = 0, begun = sim.next;
    phase_run(begun, begun, SIM_PATIENCE_MS, logins_are_over);
    sim.began_us = clock_us();
    for (uint64_t i = 0; i < begun; i++) {
        struct sim_session *s = &sim.sessions[i];
        if (!s->held)
            continue;
        pins_leave(sim.nodes[s->node].pins, STEAL(s->held), false);
        if (++n % (sim.max_flying * sim.n_nodes) == 0)
            store_look(); /* they are answered before */
    }
    store_look();
    phase_tell("end", n, "");
    expect(store_counts(0), "sessions are counted that are over");
}

/* ---- the nodes ---- */

static bool all_are_up(void)
{
    return sim.n_up == 2 * sim.n_nodes + 1;
}

static void on_changed(void *arg, bool is_up)
{
    (void)arg;
    sim.n_up = is_up ? sim.n_up + 1 : sim.n_up - 1;
    if (all_are_up())
        loop_stop(sim.loop);
}

static struct redis_client *client_new(size_t max_reply_bytes)
{
    struct redis_client *c;
    const char *servers[] = {sim.server};
    const struct redis_spec spec = {.servers = servers,
                                    .n_servers = 1,
                                    .max_reply_bytes = max_reply_bytes,
                                    .changed = on_changed};
    if (redis_client_new(sim.loop, &spec, &c) < 0)
        die("there is no such store");
    return c;
}

static void node_begin(struct sim_node *n, uint64_t i)
{
    static const uint8_t secret[PINS_SECRET_BYTES] = "thirty-two bytes of the secret!";
    snprintf(n->name, sizeof(n->name), "px%llu", (unsigned long long)i);
    snprintf(n->holder, sizeof(n->holder), "%s#%016llx", n->name, (unsigned long long)sim_random());
    snprintf(n->entry, sizeof(n->entry), "mp:mail:node:%s", n->holder);
    const struct pins_shared_spec spec = {
        .fleet = "mail", .holder = n->holder, .secret = secret, .lease_ms = sim.lease_ms};
    if (pins_shared_new(&spec, &n->shared) < 0 || pins_new(sim.loop, n->shared, &n->pins) < 0 ||
        claims_new(sim.loop, n->shared, &n->claims) < 0)
        die("out of memory");
    pins_set_retention(n->pins, 900000);
    pins_set_redis(n->pins, client_new(0));
    n->control = client_new(SIM_REPLY_BYTES);
    claims_set_redis(n->claims, n->control);
    n->heartbeat = evtimer_new(loop_base(sim.loop), on_heartbeat_due, n);
}

static void nodes_begin(void)
{
    sim.nodes = calloc(sim.n_nodes, sizeof(*sim.nodes));
    sim.sessions = calloc(2 * sim.n_users + 3600 * sim.rate, sizeof(*sim.sessions));
    sim.where = calloc(sim.n_users, 1);
    if (!sim.nodes || !sim.sessions || !sim.where || loop_new(NULL, &sim.loop) < 0)
        die("out of memory");
    list_init(&sim.spare);
    fleet_heartbeat_init();
    (void)str_copy(sim.key_epoch, sizeof(sim.key_epoch), STR("mp:mail:epoch"));
    (void)str_copy(sim.key_schema, sizeof(sim.key_schema), STR("mp:mail:schema"));
    (void)str_copy(sim.key_entries, sizeof(sim.key_entries), STR("mp:mail:node:"));
    sim.tick = event_new(loop_base(sim.loop), -1, EV_PERSIST, on_tick, NULL);
    for (uint64_t i = 0; i < sim.n_nodes; i++)
        node_begin(&sim.nodes[i], i);
    sim.admin = client_new(0);
    for (uint64_t i = 0; i < 2 * sim.n_users + 3600 * sim.rate; i++)
        session_place(i);
    sim_run(all_are_up);
    /* Their heartbeats are spread, as those of nodes that started at any time. */
    for (uint64_t i = 0; i < sim.n_nodes; i++) {
        uint64_t us = sim.heartbeat_ms * 1000 * i / sim.n_nodes;
        const struct timeval tv = {(time_t)(us / 1000000), (suseconds_t)(us % 1000000)};
        node_heartbeat(&sim.nodes[i]);
        (void)event_add(sim.nodes[i].heartbeat, &tv);
    }
}

static void nodes_end(void)
{
    for (uint64_t i = 0; i < sim.n_nodes; i++) {
        struct sim_node *n = &sim.nodes[i];
        event_free(n->heartbeat);
        claims_free(n->claims);
        redis_client_free(n->control);
        pins_free(n->pins);
        pins_shared_free(n->shared);
    }
    redis_client_free(sim.admin);
    event_free(sim.tick);
    loop_free(sim.loop);
    LIST_FOREACH_SAFE (it, &sim.spare)
        free(LIST_ITEM(it, struct sim_login, link));
    free(sim.nodes);
    free(sim.sessions);
    free(sim.where);
}

/* ---- options ---- */

static bool sim_option(struct str arg)
{
    const struct {
        const char *name;
        uint64_t *value, least;
    } numbers[] = {{"nodes", &sim.n_nodes, 1},       {"users", &sim.n_users, 1},
                   {"backends", &sim.n_backends, 1}, {"flying", &sim.max_flying, 1},
                   {"rate", &sim.rate, 1},           {"heartbeat_ms", &sim.heartbeat_ms, 10},
                   {"lease_ms", &sim.lease_ms, 10},  {"again", &sim.again, 0},
                   {"show", &sim.show_each, 0}};
    struct str value = arg, name = str_cut(&value, '=');
    if (str_eq(name, STR("server"))) {
        sim.server = value.p;
        return true;
    }
    if (str_eq(name, STR("balance"))) {
        sim.is_random = str_eq(value, STR("random"));
        return sim.is_random || str_eq(value, STR("user"));
    }
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        if (str_eq(name, str_of(numbers[i].name)))
            return str_to_u64(value, 100000000, numbers[i].value) == 0 &&
                   *numbers[i].value >= numbers[i].least;
    return false;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (!sim_option(str_of(argv[i]))) {
            fprintf(stderr, "fleet: cannot use option %s\n", argv[i]);
            return EX_USAGE;
        }
    if (!sim.server || sim.n_backends > 200 || sim.n_nodes > UINT16_MAX)
        return EX_USAGE;
    nodes_begin();
    phases();
    phase_leave();
    nodes_end();
    return sim.is_failed ? 1 : 0;
}
