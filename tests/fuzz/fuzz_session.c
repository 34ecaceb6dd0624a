/* SPDX-License-Identifier: ISC */
/* Whole sessions: clients, mail servers, an auth server, TLS and time as one script.
 * Input: records that end in \x1e; the first byte of each says what happens (script_acts below),
 * the rest are the bytes that go with it. The first record picks auth provider and listener. What
 * must hold at every moment: memory and work stay within what the bytes of the script account for,
 * nothing is sent in clear to a server of a pool with TLS, what clients get is whole lines. And at
 * the end: no session outlives its peers or its deadlines, nothing is left behind. */
#include <netinet/in.h>

#include "fuzz_session_proxy.h"
#include "io/loop_priv.h"
#include "session/fields.h"
#include "session/session_priv.h"

#define RECORD_END "\x1e"
#define CLIENTS_MAX 3
#define SERVERS_MAX 16
/* Of changed copies, in `make check`: they take longer than other targets'. */
const unsigned fuzz_replay_runs = 1500;

#define FLOOD_BYTES (384 * 1024)
#define FLOOD_BLOCK_BYTES (32 * 1024)
/* Of one session: a chunk on its way in each direction, its TLS and that of its peers. */
#define SESSION_BYTES (1024 * 1024)
#define REPLIES_BYTES (16 * 1024) /* unread by a client before its login: a few commands' */
#define KEPT_BYTES (96 * 1024)    /* after a run: caches of the credentials */
#define TURNS_AT_REST 128
#define SECRET "S3cr3t-of-u" /* what seeds log in with */

struct client {
    struct peer peer;
    uint64_t session; /* 0 = none */
    unsigned listener;
};

struct server {
    struct peer peer;
    bool is_auth, is_tls_due; /* of a pool with TLS */
};

struct script {
    struct str rest;
    bool is_refusing; /* the next connection */
    bool is_judging;  /* limits have something to say: verdict */
    struct session_verdict verdict;
    bool is_silent; /* at the end the peers stay and say nothing */
    unsigned waits; /* moves of the clock at the end */
    size_t offered; /* bytes sent so far */
    size_t memory;  /* at the start */
    struct client clients[CLIENTS_MAX];
    size_t n_clients;
    struct server servers[SERVERS_MAX];
    size_t n_servers;
    struct loop *loop;
    struct session_env env;
};

static char inbox[PEER_READ_BYTES];

/* With FUZZ_TRACE set: what happens, for whoever writes scripts or reads a finding. */
static void trace(const char *what, struct str bytes)
{
    static int is_on = -1;
    if (is_on < 0)
        is_on = getenv("FUZZ_TRACE") != NULL;
    if (is_on)
        fprintf(stderr, "%s %.*s\n", what, (int)(bytes.n < 400 ? bytes.n : 400), bytes.p);
}

/* ---- hooks ---- */

static void on_admit(void *arg, const struct session *s, struct session_verdict *ret)
{
    const struct script *script = arg;
    (void)s;
    *ret = script->is_judging ? script->verdict : (struct session_verdict){.is_counted = true};
}

static void on_fail(void *arg, const struct session *s, uint32_t credentials, uint64_t delay_ms,
                    struct session_verdict *ret)
{
    const struct script *script = arg;
    (void)credentials;
    on_admit(arg, s, ret);
    if (!script->is_judging)
        ret->delay_ms = delay_ms;
}

/* ---- what must hold at every moment ---- */

/* Whole lines and no NUL: nothing that anybody says before the relay may be anything else. */
static void check_reply(struct str reply)
{
    for (size_t i = 0; i < reply.n; i++) {
        FUZZ_CHECK(reply.p[i] != '\0');
        FUZZ_CHECK(reply.p[i] != '\n' || i == 0 || reply.p[i - 1] == '\r');
    }
}

/* As it is, or in base64 wherever it begins. */
static bool has_secret(struct str s)
{
    static const char *const forms[] = {SECRET, "UzNjcjN0LW9mLX", "MzY3IzdC1vZi1",
                                        "TM2NyM3Qtb2YtdQ"};
    for (size_t i = 0; i < ARRAY_LEN(forms) && s.n > 0; i++)
        if (memmem(s.p, s.n, forms[i], strlen(forms[i])))
            return true;
    return false;
}

static void check_session(const struct session *s)
{
    uint64_t kept_max = s->snapshot->config->limits.preauth_bytes + 32 * 1024;
    if (!s->pre)
        return;
    FUZZ_CHECK(s->pre->in.len <= kept_max);
    FUZZ_CHECK(conn_pending(&s->client) <= REPLIES_BYTES);
}

static void check_bounds(struct script *sc)
{
    size_t used = world_memory();
    FUZZ_CHECK(used <= sc->memory + (sc->env.count + 1) * SESSION_BYTES);
    size_t n = 0;
    LIST_FOREACH (it, &sc->env.sessions) {
        check_session(session_of_link(it));
        n++;
    }
    FUZZ_CHECK(n == sc->env.count);
    FUZZ_CHECK(counter_total(sc->env.counters, COUNTER_SESSIONS) == n);
}

/* ---- peers ---- */

static struct client *last_client(struct script *sc)
{
    return sc->n_clients ? &sc->clients[sc->n_clients - 1] : NULL;
}

/* The one that was connected to last and is still there. */
static struct server *last_server(struct script *sc, bool is_auth)
{
    for (size_t i = sc->n_servers; i-- > 0;)
        if (sc->servers[i].peer.fd >= 0 && sc->servers[i].is_auth == is_auth)
            return &sc->servers[i];
    return NULL;
}

static struct peer *client_peer(struct script *sc)
{
    struct client *c = last_client(sc);
    return c ? &c->peer : NULL;
}

static struct peer *server_peer(struct script *sc, bool is_auth)
{
    struct server *s = last_server(sc, is_auth);
    return s ? &s->peer : NULL;
}

static bool on_arrive(void *arg, int fd, const struct sockaddr *to)
{
    struct script *sc = arg;
    if (sc->is_refusing || sc->n_servers == SERVERS_MAX) {
        sc->is_refusing = false;
        return false;
    }
    struct server *s = &sc->servers[sc->n_servers++];
    peer_open(&s->peer, fd);
    s->is_auth = to->sa_family == AF_UNIX;
    const struct sockaddr_in *in = (const struct sockaddr_in *)to;
    s->is_tls_due = to->sa_family == AF_INET && (ntohl(in->sin_addr.s_addr) >> 8) == 0x7f0001;
    return true;
}

static bool pump_client(struct script *sc, struct client *c)
{
    size_t n = peer_read(&c->peer, inbox);
    const struct session *s = session_find(&sc->env, c->session);
    if (n > 0)
        trace("  client gets", str_n(inbox, n));
    if (s && s->pre && !c->peer.tls && s->listener->config->tls != LISTENER_TLS_IMPLICIT)
        check_reply(str_n(inbox, n));
    return n > 0;
}

static bool pump_server(struct server *s)
{
    size_t n = peer_read(&s->peer, inbox);
    if (n > 0)
        trace(s->is_auth ? "  auth server gets" : "  server gets", str_n(inbox, n));
    FUZZ_CHECK(!s->is_tls_due || s->peer.is_secure || !has_secret(str_n(inbox, n)));
    return n > 0;
}

/* Peers read what there is and go on with handshakes. False: nothing moved. */
static bool pump_peers(struct script *sc)
{
    bool is_moved = false;
    for (size_t i = 0; i < sc->n_clients; i++) {
        struct client *c = &sc->clients[i];
        if (c->peer.is_securing)
            is_moved = peer_shake(&c->peer) || is_moved;
        else if (c->peer.fd >= 0 && !c->peer.is_deaf)
            is_moved = pump_client(sc, c) || is_moved;
    }
    for (size_t i = 0; i < sc->n_servers; i++) {
        struct server *s = &sc->servers[i];
        if (s->peer.is_securing)
            is_moved = peer_shake(&s->peer) || is_moved;
        else if (s->peer.fd >= 0 && !s->peer.is_deaf)
            is_moved = pump_server(s) || is_moved;
    }
    return is_moved;
}

/* ---- what a script can do: arg is the rest of its record ---- */

static void start_client(struct script *sc, unsigned listener)
{
    static const char *const addresses[] = {"192.0.2.1:4711", "[2001:db8::1]:4711"};
    int pair[2];
    struct addr peer;
    if (sc->n_clients == CLIENTS_MAX)
        return;
    struct client *c = &sc->clients[sc->n_clients++];
    c->listener = listener % (unsigned)sc->env.snapshot->n_listeners;
    FUZZ_CHECK(addr_parse(str_of(addresses[listener / 16 % 2]), &peer) == 0);
    FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
    peer_open(&c->peer, pair[1]);
    if (session_start(&sc->env, sc->env.snapshot, c->listener, pair[0], &peer, true) == 0 &&
        !list_is_empty(&sc->env.sessions))
        c->session = session_id(session_of_link(sc->env.sessions.prev));
}

static void act_client(struct script *sc, struct str arg)
{
    start_client(sc, fuzz_choice(&arg));
}

static void offer(struct script *sc, struct peer *p, struct str bytes, size_t record)
{
    if (p && peer_send(p, bytes, record))
        sc->offered += bytes.n;
}

static void act_say(struct script *sc, struct str arg)
{
    offer(sc, client_peer(sc), arg, 16384);
}

static void act_server_say(struct script *sc, struct str arg)
{
    offer(sc, server_peer(sc, false), arg, 16384);
}

static void act_auth_say(struct script *sc, struct str arg)
{
    offer(sc, server_peer(sc, true), arg, 16384);
}

static void act_say_in_bytes(struct script *sc, struct str arg)
{
    offer(sc, client_peer(sc), arg, 1);
}

static void act_server_say_in_bytes(struct script *sc, struct str arg)
{
    offer(sc, server_peer(sc, false), arg, 1);
}

/* The same again and again, in large pieces, until nobody takes it. */
static void flood(struct script *sc, struct peer *p, struct str bytes)
{
    static char block[FLOOD_BLOCK_BYTES];
    size_t n = 0, sent = 0;
    while (bytes.n > 0 && n + bytes.n <= sizeof(block)) {
        memcpy(block + n, bytes.p, bytes.n);
        n += bytes.n;
    }
    while (p && n > 0 && sent < FLOOD_BYTES && peer_send(p, str_n(block, n), 16384))
        sent += n;
    sc->offered += sent + n;
}

static void act_flood(struct script *sc, struct str arg)
{
    flood(sc, client_peer(sc), arg);
}

static void act_server_flood(struct script *sc, struct str arg)
{
    flood(sc, server_peer(sc, false), arg);
}

static void act_auth_flood(struct script *sc, struct str arg)
{
    flood(sc, server_peer(sc, true), arg);
}

/* Below TLS. */
static void act_wire(struct script *sc, struct str arg)
{
    struct peer *p = client_peer(sc);
    if (p && peer_wire(p, arg))
        sc->offered += arg.n;
}

static void act_server_wire(struct script *sc, struct str arg)
{
    struct peer *p = server_peer(sc, false);
    if (p && peer_wire(p, arg))
        sc->offered += arg.n;
}

static void act_secure(struct script *sc, struct str arg)
{
    if (client_peer(sc))
        peer_secure(client_peer(sc), &identity, false, fuzz_choice(&arg));
}

static void act_server_secure(struct script *sc, struct str arg)
{
    if (server_peer(sc, false))
        peer_secure(server_peer(sc, false), &identity, true, fuzz_choice(&arg));
}

/* TLS records that carry nothing. */
static void act_alerts(struct script *sc, struct str arg)
{
    struct peer *p = client_peer(sc);
    for (unsigned n = 8 * fuzz_choice(&arg); p && p->is_secure && n > 0; n--)
        if (gnutls_alert_send(p->tls, GNUTLS_AL_WARNING, GNUTLS_A_USER_CANCELED) == 0)
            sc->offered += 24;
}

static void act_key_updates(struct script *sc, struct str arg)
{
    struct peer *p = client_peer(sc);
    for (unsigned n = fuzz_choice(&arg); p && p->is_secure && n > 0; n--)
        if (gnutls_session_key_update(p->tls, 0) == 0)
            sc->offered += 24;
}

static void shut(struct peer *p)
{
    if (p && p->fd >= 0)
        (void)shutdown(p->fd, SHUT_WR);
}

static void act_shut(struct script *sc, struct str arg)
{
    (void)arg;
    shut(client_peer(sc));
}

static void act_server_shut(struct script *sc, struct str arg)
{
    (void)arg;
    shut(server_peer(sc, false));
}

static void act_bye(struct script *sc, struct str arg)
{
    (void)arg;
    struct peer *p = client_peer(sc);
    if (p && p->is_secure)
        (void)gnutls_bye(p->tls, GNUTLS_SHUT_WR);
}

static void act_close(struct script *sc, struct str arg)
{
    (void)arg;
    if (client_peer(sc))
        peer_close(client_peer(sc));
}

static void act_server_close(struct script *sc, struct str arg)
{
    (void)arg;
    if (server_peer(sc, false))
        peer_close(server_peer(sc, false));
}

static void act_auth_close(struct script *sc, struct str arg)
{
    (void)arg;
    if (server_peer(sc, true))
        peer_close(server_peer(sc, true));
}

static void act_deaf(struct script *sc, struct str arg)
{
    (void)arg;
    struct peer *p = client_peer(sc);
    if (p)
        p->is_deaf = !p->is_deaf;
}

static void act_server_deaf(struct script *sc, struct str arg)
{
    (void)arg;
    struct peer *p = server_peer(sc, false);
    if (p)
        p->is_deaf = !p->is_deaf;
}

static void act_refuse(struct script *sc, struct str arg)
{
    (void)arg;
    sc->is_refusing = true;
}

/* 2^choice ms, at most some minutes. */
static void act_time(struct script *sc, struct str arg)
{
    (void)sc;
    world.now_us += UINT64_C(1000) << (fuzz_choice(&arg) % 19);
}

static struct session *last_session(struct script *sc)
{
    struct client *c = last_client(sc);
    return c ? session_find(&sc->env, c->session) : NULL;
}

static void act_kill(struct script *sc, struct str arg)
{
    struct session *s = last_session(sc);
    unsigned choice = fuzz_choice(&arg);
    AUTO_FREE char *text = str_dup(arg);
    if (s)
        (void)session_kill(s, choice & 1 ? REPLY_SHUTDOWN : REPLY_KICKED, choice & 2 ? text : NULL,
                           choice & 4 ? 30000 : 0, NULL);
}

static void act_judge(struct script *sc, struct str arg)
{
    (void)arg;
    sc->is_judging = !sc->is_judging;
}

static void act_verdict(struct script *sc, struct str arg)
{
    unsigned choice = fuzz_choice(&arg);
    sc->verdict = (struct session_verdict){.is_refused = choice & 1,
                                           .is_counted = !(choice & 1),
                                           .kind = choice & 2 ? REPLY_BANNED : REPLY_LIMIT,
                                           .delay_ms = choice & 4 ? 2000 : 0};
    (void)str_copy(sc->verdict.text, sizeof(sc->verdict.text), arg);
}

/* An operator's word about the server that was chosen. */
static void act_backend(struct script *sc, struct str arg)
{
    struct pools *pools = sc->env.snapshot->pools;
    unsigned choice = fuzz_choice(&arg);
    struct pool *pool = &pools->v[choice / 8 % pools->n];
    for (size_t i = 0; i < pool->n_members; i++)
        backend_set_admin(pool->members[i].backend,
                          (enum backend_admin)(choice % BACKEND_ADMIN_COUNT), clock_wall_ms(),
                          NULL);
    if (choice & 4)
        session_wake_held(&sc->env, NULL);
}

/* An operator lists and filters. */
static void act_list(struct script *sc, struct str arg)
{
    struct filter *filter = NULL;
    AUTO_FREE char *error = NULL;
    if (filter_parse(arg, session_filter_fields, SESSION_FIELD_COUNT, &filter, &error) < 0)
        filter = NULL;
    LIST_FOREACH (it, &sc->env.sessions) {
        struct session_row row;
        AUTO_BUF texts = BUF_INIT;
        struct session_match_view look = {.s = session_of_link(it)};
        session_sample(session_of_link(it));
        FUZZ_CHECK(session_row_fill(&row, &texts, look.s, SESSION_FIELDS_ALL) == 0);
        session_row_fix(&row, &texts);
        if (filter)
            (void)filter_match(filter, session_filter_get, &look);
    }
    filter_unref(filter);
}

static const struct script_act {
    char letter;
    void (*run)(struct script *sc, struct str arg);
} script_acts[] = {
    {'c', act_say},           {'C', act_flood},
    {'1', act_say_in_bytes},  {'w', act_wire},
    {'e', act_shut},          {'x', act_close},
    {'y', act_bye},           {'z', act_deaf},
    {'t', act_secure},        {'l', act_alerts},
    {'u', act_key_updates},   {'s', act_server_say},
    {'S', act_server_flood},  {'2', act_server_say_in_bytes},
    {'W', act_server_wire},   {'E', act_server_shut},
    {'X', act_server_close},  {'Z', act_server_deaf},
    {'T', act_server_secure}, {'a', act_auth_say},
    {'A', act_auth_flood},    {'b', act_auth_close},
    {'n', act_refuse},        {'+', act_time},
    {'k', act_kill},          {'d', act_judge},
    {'v', act_verdict},       {'o', act_backend},
    {'q', act_list},          {'N', act_client},
};

static void run_record(struct script *sc, struct str record)
{
    trace("script:", record);
    if (record.n == 0)
        return;
    const struct script_act *act =
        &script_acts[(unsigned char)record.p[0] % ARRAY_LEN(script_acts)];
    for (size_t i = 0; i < ARRAY_LEN(script_acts); i++)
        if (script_acts[i].letter == record.p[0])
            act = &script_acts[i];
    act->run(sc, str_n(record.p + 1, record.n - 1));
}

/* ---- the run ---- */

#define WAITS_MAX 40 /* 2, 4... seconds up to 512: 4.6 hours */

static void finish(struct script *sc)
{
    if (!sc->is_silent && sc->waits == 0) {
        for (size_t i = 0; i < sc->n_clients; i++)
            peer_close(&sc->clients[i].peer);
        for (size_t i = 0; i < sc->n_servers; i++)
            peer_close(&sc->servers[i].peer);
    }
    FUZZ_CHECK(sc->waits <= WAITS_MAX);
    if (sc->waits == WAITS_MAX)
        loop_stop(sc->loop); /* in the turn that begins with the heartbeat */
    world.now_us += UINT64_C(2000000) << (sc->waits < 8 ? sc->waits : 8);
    sc->waits++;
}

/* Of work there may be some turns for each thing that happens, and some for what it weighs. */
static void on_idle(void *arg)
{
    struct script *sc = arg;
    size_t before = sc->offered;
    check_bounds(sc);
    if (pump_peers(sc)) {
        world.turns = world.turns > TURNS_AT_REST / 2 ? world.turns - TURNS_AT_REST / 2 : 0;
        return;
    }
    if (sc->rest.n > 0)
        run_record(sc, fuzz_cut(&sc->rest, STR(RECORD_END)));
    else
        finish(sc);
    world.turns = 0;
    world.turns_max = TURNS_AT_REST + (sc->offered - before) / 16;
}

struct last_turns {
    struct loop_deferred again;
    struct loop *loop;
    unsigned left;
};

static void on_last_turn(struct loop_deferred *d)
{
    struct last_turns *t = CONTAINER_OF(d, struct last_turns, again);
    if (--t->left == 0)
        loop_stop(t->loop);
    else
        loop_again(t->loop, &t->again);
}

/* Questions for names that nobody waits for any more call back, and are freed, when the loop turns.
 */
static void last_turns(struct loop *loop)
{
    struct last_turns t = {.again = {.fn = on_last_turn}, .loop = loop, .left = 2};
    list_init(&t.again.link);
    loop_again(loop, &t.again);
    FUZZ_CHECK(loop_run(loop) == 0);
}

static void run(struct script *sc, enum auth_kind kind, unsigned listener)
{
    struct session_env *env = &sc->env;
    struct counters counters;
    memset(&counters, 0, sizeof(counters));
    session_env_init(env);
    env->snapshot = snapshot_ref(snapshots[kind]);
    env->counters = &counters;
    env->hooks = (struct session_hooks){
        .admit = on_admit, .admit_client = on_admit, .fail = on_fail, .arg = sc};
    static const char *const servers[] = {"127.0.0.1", NULL};
    const struct resolver_spec resolver = {.name_servers = servers};
    FUZZ_CHECK(loop_new(env, &env->loop) == 0);
    FUZZ_CHECK(loop_tls_io(env->loop));
    FUZZ_CHECK(resolver_new(env->loop, &resolver, &env->resolver) == 0);
    FUZZ_CHECK(backend_registry_new(&env->registry) == 0);
    FUZZ_CHECK(auth_new(env->loop, NULL, NULL, env->resolver, &env->auth) == 0);
    FUZZ_CHECK(auth_configure(env->auth, env->snapshot->config, NULL) == 0);
    reset_backends(env->snapshot->pools);
    sc->loop = env->loop;
    sc->memory = world_memory();
    start_client(sc, listener);
    FUZZ_CHECK(loop_run(env->loop) == 0);
    FUZZ_CHECK(env->count == 0);
    FUZZ_CHECK(counter_total(&counters, COUNTER_RELAYING) == 0);
    auth_free(env->auth);
    resolver_free(env->resolver);
    last_turns(env->loop);
    session_env_fini(env);
    backend_registry_free(env->registry);
    loop_free(env->loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool is_warm;
    struct script sc = {.rest = str_n(data, size)};
    prepare();
    struct str head = fuzz_cut(&sc.rest, STR(RECORD_END));
    enum auth_kind kind = (enum auth_kind)(fuzz_choice(&head) % AUTH_KINDS);
    unsigned listener = fuzz_choice(&head);
    sc.is_silent = fuzz_choice(&head) & 1;
    size_t memory = world_memory();
    int next_fd = world_next_fd();
    world = (struct world){
        .idle = on_idle, .arrive = on_arrive, .arg = &sc, .turns_max = TURNS_AT_REST};
    world_begin();
    run(&sc, kind, listener);
    world.is_on = false;
    for (size_t i = 0; i < sc.n_clients; i++)
        peer_close(&sc.clients[i].peer);
    for (size_t i = 0; i < sc.n_servers; i++)
        peer_close(&sc.servers[i].peer);
    FUZZ_CHECK(world_next_fd() == next_fd);
    FUZZ_CHECK(!is_warm || world_memory() <= memory + KEPT_BYTES);
    is_warm = true;
    return 0;
}
