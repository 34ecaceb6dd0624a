/* SPDX-License-Identifier: ISC */
/* The connection of a client: server after server, address after address, until one is a primary
 * that runs scripts; then until it breaks. */
#include <gnutls/crypto.h>
#include <stdio.h>

#include "base/clock.h"
#include "io/redis/redis_priv.h"

#define READ_BYTES 16384
#define READS_MAX 4 /* of one event */
#define REST_MIN_MS 20
#define REST_MAX_MS 1000
#define STEADY_MS 5000 /* up for so long: the next break begins with short rests again */
#define PROBE_MS 5000  /* an idle connection is asked whether it is there */

static void link_next_server(struct redis_client *c);
static void link_next_addr(struct redis_client *c);
static void link_look_up(struct redis_client *c);

/* ---- state ---- */

static void link_step_after(struct redis_client *c, uint64_t ms)
{
    redis_timer_set(c->step_timer, ms * 1000);
}

/* More or less by a fifth, so that workers and nodes do not knock together. */
static uint64_t jitter_ms(uint64_t ms)
{
    uint16_t random = 0;
    (void)gnutls_rnd(GNUTLS_RND_NONCE, &random, sizeof(random));
    return ms - ms / 5 + ms * 2 / 5 * random / UINT16_MAX;
}

static void link_close(struct redis_client *c)
{
    resolver_cancel(STEAL(c->query));
    event_del(c->step_timer);
    conn_close(&c->conn);
    redis_reader_fini(&c->reader);
}

/* Nothing works now: another round after a while. */
static void link_rest(struct redis_client *c)
{
    uint64_t ms = c->n_rests < 6 ? (uint64_t)REST_MIN_MS << c->n_rests : REST_MAX_MS;
    c->n_rests++;
    link_close(c);
    c->phase = REDIS_RESTING;
    link_step_after(c, jitter_ms(ms));
}

static void link_say(struct redis_client *c, const char *what, const char *why)
{
    snprintf(c->facts.why, sizeof(c->facts.why), "%s%s%s%s%.191s",
             c->is_at_sentinel ? "Sentinel " : "", c->at_text, ": ", what, why);
    c->facts.why_ms = loop_now_ms(c->loop);
}

/* This server does not do: the next one may. */
static void link_refuse(struct redis_client *c, const char *what, const char *why)
{
    link_say(c, what, why);
    link_close(c);
    link_next_server(c);
}

/* This address does not do: the next one of the server may. */
static void link_missed(struct redis_client *c, const char *what, int err)
{
    char why[128];
    const char *tls = conn_tls_error(&c->conn);
    snprintf(why, sizeof(why), "%s%s%s", err_text(err), tls ? ": " : "", tls ? tls : "");
    link_say(c, what, why);
    link_close(c);
    link_next_addr(c);
}

/* ---- the greeting ---- */

struct redis_greeting {
    bool (*is_wanted)(const struct redis_client *c);
    int (*ask)(const struct redis_client *c, struct buf *out);
    /* NULL: an error reply is the only bad one. Returns what is wrong, NULL = nothing. */
    const char *(*judge)(struct redis_client *c, const struct redisReply *reply);
};

static bool greets_with_password(const struct redis_client *c)
{
    return c->password && (!c->is_at_sentinel || c->was_asked_again);
}

static int ask_auth(const struct redis_client *c, struct buf *out)
{
    int err = redis_put_head(out, c->user ? 3 : 2);
    err = err < 0 ? err : redis_put_word(out, STR("AUTH"));
    if (c->user)
        err = err < 0 ? err : redis_put_word(out, str_of(c->user));
    return err < 0 ? err : redis_put_word(out, str_of(c->password));
}

static bool greets_database(const struct redis_client *c)
{
    return !c->is_at_sentinel && c->database > 0;
}

static int ask_database(const struct redis_client *c, struct buf *out)
{
    char text[STR_NUMBER_MAX];
    struct str number = str_n(text, (size_t)(str_put_number(text, c->database, 10, 0) - text));
    int err = redis_put_head(out, 2);
    err = err < 0 ? err : redis_put_word(out, STR("SELECT"));
    return err < 0 ? err : redis_put_word(out, number);
}

static bool greets_server(const struct redis_client *c)
{
    return !c->is_at_sentinel;
}

static int ask_role(const struct redis_client *c, struct buf *out)
{
    (void)c;
    int err = redis_put_head(out, 1);
    return err < 0 ? err : redis_put_word(out, STR("ROLE"));
}

static const char *judge_role(struct redis_client *c, const struct redisReply *reply)
{
    (void)c;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 1 ||
        reply->element[0]->type != REDIS_REPLY_STRING)
        return "speaks, but not as Redis does";
    return strcmp(reply->element[0]->str, "master") == 0 ? NULL : "is no primary but a replica";
}

static int ask_cluster(const struct redis_client *c, struct buf *out)
{
    (void)c;
    int err = redis_put_head(out, 2);
    err = err < 0 ? err : redis_put_word(out, STR("INFO"));
    return err < 0 ? err : redis_put_word(out, STR("cluster"));
}

static const char *judge_cluster(struct redis_client *c, const struct redisReply *reply)
{
    (void)c;
    bool is_cluster = reply->type == REDIS_REPLY_STRING && strstr(reply->str, "cluster_enabled:1");
    return is_cluster ? "belongs to a Redis Cluster, which does not do: take a single primary, "
                        "or one with Sentinels"
                      : NULL;
}

/* The least of what is wanted later: it waits where those would wait, too (loading, CLIENT PAUSE),
 * and is refused where those would be. */
static int ask_script(const struct redis_client *c, struct buf *out)
{
    (void)c;
    int err = redis_put_head(out, 3);
    err = err < 0 ? err : redis_put_word(out, STR("EVAL"));
    err = err < 0 ? err : redis_put_word(out, STR("return 1"));
    return err < 0 ? err : redis_put_word(out, STR("0"));
}

static bool greets_sentinel(const struct redis_client *c)
{
    return c->is_at_sentinel;
}

static int ask_primary(const struct redis_client *c, struct buf *out)
{
    int err = redis_put_head(out, 3);
    err = err < 0 ? err : redis_put_word(out, STR("SENTINEL"));
    err = err < 0 ? err : redis_put_word(out, STR("get-master-addr-by-name"));
    return err < 0 ? err : redis_put_word(out, str_of(c->sentinel));
}

/* Where the primary is; it is reached in a connection of its own. */
static const char *judge_primary(struct redis_client *c, const struct redisReply *reply)
{
    const char *why = "";
    char text[sizeof(c->at_text)];
    if (reply->type == REDIS_REPLY_NIL)
        return "knows no primary of that name";
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        reply->element[0]->type != REDIS_REPLY_STRING ||
        reply->element[1]->type != REDIS_REPLY_STRING)
        return "speaks, but not as a Sentinel does";
    const char *host = reply->element[0]->str;
    int n = snprintf(text, sizeof(text), strchr(host, ':') ? "[%s]:%s" : "%s:%s", host,
                     reply->element[1]->str);
    struct redis_server at;
    if (n >= (int)sizeof(text) || redis_server_parse(str_of(text), 6379, &at, &why) < 0)
        return "tells a primary that is no address";
    memcpy(c->at_text, text, sizeof(text));
    return NULL;
}

static const struct redis_greeting greetings[] = {
    {greets_with_password, ask_auth, NULL}, {greets_database, ask_database, NULL},
    {greets_server, ask_role, judge_role},  {greets_server, ask_cluster, judge_cluster},
    {greets_server, ask_script, NULL},      {greets_sentinel, ask_primary, judge_primary},
};

static const struct redis_greeting *greeting_next(const struct redis_client *c,
                                                  const struct redis_greeting *g)
{
    const struct redis_greeting *end = greetings + ARRAY_LEN(greetings);
    while (g < end && !g->is_wanted(c))
        g++;
    return g < end ? g : NULL;
}

/* Asks everything at once; the first bad answer decides. */
static void link_greet(struct redis_client *c)
{
    AUTO_SECRET_BUF out = BUF_INIT;
    int err = redis_reader_init(&c->reader, c->max_reply_bytes);
    c->phase = REDIS_GREETING;
    c->greeting = greeting_next(c, greetings);
    for (const struct redis_greeting *g = c->greeting; g && err == 0; g = greeting_next(c, g + 1))
        err = g->ask(c, &out);
    struct str text = buf_str(&out);
    err = err < 0 ? err : conn_send(&c->conn, text.p, text.n);
    if (err < 0)
        link_missed(c, "", err);
    else
        conn_want_read(&c->conn, true);
}

/* False: the connection is not this one any more. */
static bool link_greeted(struct redis_client *c, const struct redisReply *reply)
{
    const char *why = NULL;
    if (reply->type == REDIS_REPLY_ERROR) {
        bool is_asking = str_is_prefix(str_of(reply->str), STR("NOAUTH"));
        if (is_asking && c->is_at_sentinel && c->password && !c->was_asked_again) {
            c->was_asked_again = true;
            redis_reader_fini(&c->reader);
            link_greet(c);
            return false;
        }
        why = reply->str;
    } else if (c->greeting->judge) {
        why = c->greeting->judge(c, reply);
    }
    if (why) {
        link_refuse(c, reply->type == REDIS_REPLY_ERROR ? "says: " : "", why);
        return false;
    }
    c->greeting = greeting_next(c, c->greeting + 1);
    if (c->greeting)
        return true;
    if (c->is_at_sentinel) { /* it has told where the primary is */
        link_close(c);
        c->is_at_sentinel = false;
        c->was_asked_again = false;
        link_look_up(c);
        return false;
    }
    c->phase = REDIS_READY;
    c->facts.is_up = true;
    c->facts.is_open = false;
    c->facts.reconnects += c->was_ever_up;
    c->was_ever_up = true;
    c->facts.up_since_ms = loop_now_ms(c->loop);
    link_step_after(c, jitter_ms(PROBE_MS));
    loop_defer(c->loop, &c->tell);
    return true;
}

/* ---- bytes ---- */

/* Gives the usable connection up. */
static void link_break(struct redis_client *c, const char *why)
{
    char text[REDIS_WHY_MAX];
    if (c->is_dead || c->phase != REDIS_READY)
        return;
    if (loop_now_ms(c->loop) >= c->facts.up_since_ms + STEADY_MS)
        c->n_rests = 0;
    (void)str_copy(text, sizeof(text), str_of(why)); /* may be what link_say writes */
    link_say(c, "", text);
    c->facts.is_up = false;
    c->facts.is_open = true;
    c->facts.up_since_ms = 0;
    link_rest(c);
    loop_defer(c->loop, &c->tell);
    redis_calls_end(c, text);
}

/* The bytes, or what came of reading them, are of no use. */
static void link_broken(struct redis_client *c, int err)
{
    if (c->phase == REDIS_READY)
        link_break(c, err_text(err));
    else
        link_missed(c, "", err);
}

/* Gives each whole reply to whom it is for. False: the connection is not this one any more. */
static bool link_understand(struct redis_client *c)
{
    for (;;) {
        struct redisReply *reply = NULL;
        int err = redis_reader_next(&c->reader, &reply);
        if (err == -ERR_AGAIN)
            return true;
        if (err < 0) {
            link_broken(c, err);
            return false;
        }
        if (c->phase == REDIS_GREETING) {
            bool is_on = link_greeted(c, reply);
            redis_reply_free(reply);
            if (!is_on)
                return false;
            continue;
        }
        err = redis_call_replied(c, reply);
        if (c->is_dead || c->phase != REDIS_READY)
            return false;
        if (err < 0) {
            link_break(c, err == -ERR_CLOSED ? c->facts.why : err_text(err));
            return false;
        }
    }
}

static void on_redis_link_readable(struct conn *conn)
{
    struct redis_client *c = conn->owner;
    char *p = loop_scratch(c->loop);
    for (unsigned i = 0; i < READS_MAX; i++) {
        size_t n = 0;
        int err = conn_read(conn, p, READ_BYTES, &n);
        if (err == -ERR_AGAIN)
            return;
        err = err < 0 ? err : redis_reader_feed(&c->reader, str_n(p, n));
        if (err < 0) {
            link_broken(c, err == -ERR_EOF ? -ERR_CLOSED : err);
            return;
        }
        if (!link_understand(c))
            return;
    }
}

/* ---- connecting ---- */

static void on_redis_link_connected(struct conn *conn, int err)
{
    struct redis_client *c = conn->owner;
    if (err < 0) {
        link_missed(c, "", err);
        return;
    }
    if (!c->tls || c->at.unix_path.n > 0) {
        link_greet(c);
        return;
    }
    char host[256];
    (void)str_copy(host, sizeof(host), c->at.host);
    c->phase = REDIS_SECURING;
    err = conn_secure_client(&c->conn, c->tls, c->tls_name ? c->tls_name : host);
    if (err < 0)
        link_missed(c, "", err);
}

static void on_redis_link_secured(struct conn *conn, int err)
{
    struct redis_client *c = conn->owner;
    if (err < 0)
        link_missed(c, "", err);
    else
        link_greet(c);
}

static const struct conn_ops link_ops = {
    .connected = on_redis_link_connected,
    .secured = on_redis_link_secured,
    .readable = on_redis_link_readable,
};

static void link_next_addr(struct redis_client *c)
{
    while (c->next_addr < c->n_addrs) {
        struct addr *a = &c->addrs[c->next_addr++];
        a->port = c->at.port;
        c->phase = REDIS_CONNECTING;
        link_step_after(c, c->connect_ms);
        int err = conn_connect(&c->conn, a, NULL);
        if (err == 0)
            return;
        link_say(c, "", err_text(err));
    }
    link_close(c);
    link_next_server(c);
}

static void on_redis_link_resolved(void *arg, int err, const struct addr *addrs, size_t n)
{
    struct redis_client *c = arg;
    c->query = NULL;
    if (err < 0) {
        link_refuse(c, "", err_text(err));
        return;
    }
    for (size_t i = 0; i < n && c->n_addrs < REDIS_ADDRESSES_MAX; i++)
        c->addrs[c->n_addrs++] = addrs[i];
    link_next_addr(c);
}

/* Goes to the server of at_text. */
static void link_look_up(struct redis_client *c)
{
    const char *why;
    char path[128];
    c->n_addrs = c->next_addr = 0;
    (void)str_copy(c->facts.server, sizeof(c->facts.server), str_of(c->at_text));
    if (redis_server_parse(str_of(c->at_text), c->is_at_sentinel ? 26379 : 6379, &c->at, &why) <
        0) {
        link_refuse(c, "", why);
        return;
    }
    if (c->at.unix_path.n > 0) {
        (void)str_copy(path, sizeof(path), c->at.unix_path);
        c->phase = REDIS_CONNECTING;
        link_step_after(c, c->connect_ms);
        int err = conn_connect_unix(&c->conn, path);
        if (err < 0)
            link_missed(c, "", err);
        return;
    }
    if (addr_parse_ip(c->at.host, &c->addrs[0]) == 0) {
        c->n_addrs = 1;
        link_next_addr(c);
        return;
    }
    (void)str_copy(path, sizeof(path), c->at.host);
    c->phase = REDIS_RESOLVING;
    link_step_after(c, c->connect_ms);
    c->query = c->resolver ? resolver_lookup(c->resolver, path, on_redis_link_resolved, c) : NULL;
    if (!c->query)
        link_refuse(c, "", c->resolver ? err_text(-ERR_NOMEM) : err_text(-ERR_DNS));
}

/* The round begins with the server that worked last. */
static void link_next_server(struct redis_client *c)
{
    if (c->n_tried >= c->n_servers) {
        link_rest(c);
        return;
    }
    if (c->n_tried++ > 0)
        c->next_server = (c->next_server + 1) % c->n_servers;
    c->is_at_sentinel = c->sentinel != NULL;
    c->was_asked_again = false;
    (void)str_copy(c->at_text, sizeof(c->at_text), str_of(c->servers[c->next_server]));
    link_look_up(c);
}

static void on_step(evutil_socket_t fd, short what, void *arg)
{
    struct redis_client *c = arg;
    (void)fd;
    (void)what;
    switch (c->phase) {
    case REDIS_RESTING:
        c->n_tried = 0;
        link_next_server(c);
        break;
    case REDIS_READY:
        link_step_after(c, jitter_ms(PROBE_MS));
        redis_call_probe(c);
        break;
    default:
        link_missed(c, "", -ERR_TIMEOUT);
    }
}

/* ---- with the client ---- */

static void on_tell(struct loop_deferred *d)
{
    struct redis_client *c = CONTAINER_OF(d, struct redis_client, tell);
    if (c->was_told_up == c->facts.is_up)
        return;
    c->was_told_up = c->facts.is_up;
    if (c->changed)
        c->changed(c->arg, c->was_told_up);
}

int redis_link_init(struct redis_client *c)
{
    conn_init(&c->conn, c->loop, &link_ops, c);
    list_init(&c->tell.link);
    c->tell.fn = on_tell;
    c->phase = REDIS_RESTING;
    c->give_up = link_break;
    c->step_timer = evtimer_new(loop_base(c->loop), on_step, c);
    if (!c->step_timer)
        return -ERR_NOMEM;
    link_step_after(c, 0);
    return 0;
}

void redis_link_restart(struct redis_client *c, const char *why)
{
    c->next_server = 0;
    if (c->phase == REDIS_READY)
        link_break(c, why);
    if (c->is_dead)
        return;
    link_close(c);
    c->n_rests = 0;
    c->phase = REDIS_RESTING;
    link_step_after(c, 0);
}

void redis_link_fini(struct redis_client *c)
{
    if (!c->step_timer)
        return;
    link_close(c);
    loop_undefer(&c->tell);
    event_free(STEAL(c->step_timer));
}
