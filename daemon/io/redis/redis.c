/* SPDX-License-Identifier: ISC */
/* A client of Redis: what it was told, and its end. */
#include "io/redis/redis.h"

#include "base/secret.h"
#include "base/zalloc.h"
#include "io/redis/redis_priv.h"

#define TIMEOUT_DEFAULT_MS 50
#define CONNECT_DEFAULT_MS 1000
#define REPLY_DEFAULT_BYTES (64 * 1024)
#define CALLS_DEFAULT 10000

static void client_free(struct redis_client *c)
{
    for (size_t i = 0; i < c->n_servers; i++)
        free(c->servers[i]);
    free(c->servers);
    free(c->tls_name);
    free(c->sentinel);
    free(c->user);
    secret_free(c->password);
    tls_client_unref(c->tls);
    free(c);
}

static void on_redis_end(struct loop_deferred *d)
{
    client_free(CONTAINER_OF(d, struct redis_client, end));
}

void redis_client_free(struct redis_client *c)
{
    if (!c || c->is_dead)
        return;
    c->is_dead = true;
    redis_link_fini(c);
    redis_calls_fini(c);
    list_init(&c->end.link);
    c->end.fn = on_redis_end;
    loop_defer(c->loop, &c->end);
}

static int client_copy_servers(struct redis_client *c, const struct redis_spec *spec)
{
    struct redis_server at;
    const char *why;
    if (spec->n_servers == 0)
        return -ERR_INVAL;
    c->servers = calloc(spec->n_servers, sizeof(*c->servers));
    if (!c->servers)
        return -ERR_NOMEM;
    for (; c->n_servers < spec->n_servers; c->n_servers++) {
        const char *text = spec->servers[c->n_servers];
        int err = redis_server_parse(str_of(text), 1, &at, &why);
        if (err < 0)
            return err;
        if (strlen(text) >= sizeof(c->at_text))
            return -ERR_SYNTAX;
        c->servers[c->n_servers] = str_dup_c(text);
        if (!c->servers[c->n_servers])
            return -ERR_NOMEM;
    }
    return 0;
}

static uint64_t or_usual(uint64_t value, uint64_t usual)
{
    return value ? value : usual;
}

/* What a specification says of servers, into a client without any. */
static int client_fill(struct redis_client *c, const struct redis_spec *spec)
{
    c->database = spec->database;
    c->timeout_ms = or_usual(spec->timeout_ms, TIMEOUT_DEFAULT_MS);
    c->connect_ms = or_usual(spec->connect_ms, CONNECT_DEFAULT_MS);
    c->tls = spec->tls ? tls_client_ref(spec->tls) : NULL;
    c->tls_name = str_dup_c(spec->tls_name);
    c->sentinel = str_dup_c(spec->sentinel);
    c->user = str_dup_c(spec->user);
    c->password = str_dup_c(spec->password);
    if (!c->tls_name != !spec->tls_name || !c->sentinel != !spec->sentinel ||
        !c->user != !spec->user || !c->password != !spec->password)
        return -ERR_NOMEM;
    return client_copy_servers(c, spec);
}

int redis_client_new(struct loop *l, const struct redis_spec *spec, struct redis_client **ret)
{
    struct redis_client *c = zalloc(sizeof(*c));
    if (!c)
        return -ERR_NOMEM;
    c->loop = l;
    c->resolver = spec->resolver;
    c->max_reply_bytes = or_usual(spec->max_reply_bytes, REPLY_DEFAULT_BYTES);
    c->max_calls = or_usual(spec->max_calls, CALLS_DEFAULT);
    c->changed = spec->changed;
    c->arg = spec->arg;
    int err = client_fill(c, spec);
    if (err < 0) {
        client_free(c);
        return err;
    }
    err = redis_calls_init(c);
    err = err < 0 ? err : redis_link_init(c);
    if (err < 0) {
        redis_calls_fini(c);
        client_free(c);
        return err;
    }
    *ret = c;
    return 0;
}

#define SWAP(a, b)                                                                                 \
    do {                                                                                           \
        __typeof__(a) swap_ = (a);                                                                 \
        (a) = (b);                                                                                 \
        (b) = swap_;                                                                               \
    } while (0)

int redis_client_configure(struct redis_client *c, const struct redis_spec *spec)
{
    struct redis_client *old = zalloc(sizeof(*old));
    if (!old)
        return -ERR_NOMEM;
    int err = client_fill(old, spec);
    if (err == 0) {
        SWAP(c->servers, old->servers);
        SWAP(c->n_servers, old->n_servers);
        SWAP(c->sentinel, old->sentinel);
        SWAP(c->user, old->user);
        SWAP(c->password, old->password);
        SWAP(c->tls, old->tls);
        SWAP(c->tls_name, old->tls_name);
        c->database = old->database;
        c->timeout_ms = old->timeout_ms;
        c->connect_ms = old->connect_ms;
        redis_link_restart(c, "it is configured anew");
    }
    client_free(old);
    return err;
}

bool redis_is_up(const struct redis_client *c)
{
    return c->phase == REDIS_READY;
}

const char *redis_why(const struct redis_facts *facts, uint64_t now_ms)
{
    bool is_over = facts->is_up && now_ms - facts->why_ms >= REDIS_WHY_MS;
    return is_over ? "" : facts->why;
}

void redis_look(const struct redis_client *c, struct redis_facts *ret)
{
    *ret = c->facts;
}
