/* SPDX-License-Identifier: ISC */
/* Who checks a backend, and what was found, in the store: a lease of three intervals, and the last
 * finding, which holds for two. Only that a backend is well is taken over. */
#include "fleet/fleet_health.h"

#include "base/clock.h"
#include "base/zalloc.h"
#include "fleet/fleet_message.h"
#include "fleet/seal.h"
#include "proto/registry/registry.h"
#include "rpc/json_text.h"
#include "runtime/state.h"

#define HEALTH_LEASE_INTERVALS 3
#define HEALTH_FRESH_INTERVALS 2

/* Keys: the lease, the finding. Is the caller the one that checks? If not, what was found? Nothing
 * to be had: the caller checks, too, until the lease is over. */
static struct redis_script ask_script = {
    .text = "local t = redis.call('TIME')\n"
            "local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"
            "local by = redis.call('GET', KEYS[1])\n"
            "if not by or by == ARGV[1] then\n"
            "  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])\n"
            "  return {'check'}\n"
            "end\n"
            "local at = tonumber(redis.call('HGET', KEYS[2], 'at') or 0)\n"
            "if now - at > tonumber(ARGV[3]) then return {'check'} end\n"
            "return {'found', now - at, redis.call('HGET', KEYS[2], 'b')}\n"};
static struct redis_script tell_script = {
    .text = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end\n"
            "if ARGV[3] == '' then return redis.call('DEL', KEYS[2]) end\n"
            "local t = redis.call('TIME')\n"
            "local now = string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000))\n"
            "redis.call('HSET', KEYS[2], 'at', now, 'b', ARGV[3])\n"
            "redis.call('PEXPIRE', KEYS[2], ARGV[2])\n"
            "return 1\n"};

struct fleet_health {
    struct control *control;
    struct fleet *fleet;
    struct checks *checks;
    struct seal seal;
    char *node;
    struct list asks; /* struct health_ask */
    uint64_t number;
    struct fleet_health_facts facts;
};

/* One that the store is asked about. */
struct health_ask {
    struct list link;
    struct fleet_health *health;
    struct redis_call *call;
    char *pool, *backend, *finding; /* finding: its key */
    enum proto_id proto;
};

static void ask_free(struct health_ask *a)
{
    list_del(&a->link);
    free(a->pool);
    free(a->backend);
    free(a->finding);
    free(a);
}

static char *health_key(const struct fleet_health *h, const char *kind, const char *pool,
                        const char *backend, enum proto_id proto)
{
    return str_printf("%s%s:%s/%s/%s", fleet_prefix(h->fleet), kind, pool, backend,
                      proto_get(proto)->name);
}

/* ---- hearing ---- */

/* Texts of ret are borrowed from the object. NULL: nobody of the fleet has sealed it there. */
static json_t *finding_open(const struct health_ask *a, struct str sealed,
                            struct check_finding *ret)
{
    AUTO_BUF clear = BUF_INIT;
    if (seal_open(&a->health->seal, str_of(a->finding), sealed, &clear) < 0)
        return NULL;
    json_t *m = json_loadb(buf_str(&clear).p, buf_str(&clear).n, JSON_REJECT_DUPLICATES, NULL);
    const char *by = json_string_value(json_object_get(m, "by"));
    const char *capabilities = json_string_value(json_object_get(m, "capabilities"));
    uint64_t number = fleet_message_number_of(m);
    json_int_t took = json_integer_value(json_object_get(m, "took"));
    if (!by || !capabilities || number == 0 || took < 0) {
        json_decref(m);
        return NULL;
    }
    *ret = (struct check_finding){.by = by,
                                  .number = number,
                                  .took_us = (uint64_t)took,
                                  .cert_expires = json_integer_value(json_object_get(m, "cert")),
                                  .capabilities = capabilities};
    return m;
}

static void on_health_asked(void *arg, const struct redis_result *r)
{
    struct health_ask *a = arg;
    struct fleet_health *h = a->health;
    const redisReply *found = r->reply;
    struct check_finding f;
    json_t *m = NULL;
    a->call = NULL;
    h->facts.failed_open += r->err < 0;
    if (r->err == 0 && found->type == REDIS_REPLY_ARRAY && found->elements == 3 &&
        found->element[1]->type == REDIS_REPLY_INTEGER &&
        found->element[2]->type == REDIS_REPLY_STRING)
        m = finding_open(a, str_n(found->element[2]->str, found->element[2]->len), &f);
    if (m)
        f.age_ms = found->element[1]->integer > 0 ? (uint64_t)found->element[1]->integer : 0;
    h->facts.taken += m != NULL;
    checks_heard(h->checks, a->pool, a->backend, a->proto, m ? &f : NULL);
    json_decref(m);
    ask_free(a);
}

static bool health_ask(void *arg, const char *pool, const char *backend, enum proto_id proto,
                       uint64_t interval_ms)
{
    struct fleet_health *h = arg;
    const struct control *c = h->control;
    char lease_ms[24], fresh_ms[24];
    if (control_snapshot(c)->config->fleet.health != FLEET_HEALTH_SHARED ||
        c->host->is_retired(c->host->arg))
        return false;
    struct health_ask *a = zalloc(sizeof(*a));
    AUTO_FREE char *lease = health_key(h, "checker", pool, backend, proto);
    if (!a)
        return false;
    list_init(&a->link);
    *str_put_number(lease_ms, HEALTH_LEASE_INTERVALS * interval_ms, 10, 0) = '\0';
    *str_put_number(fresh_ms, HEALTH_FRESH_INTERVALS * interval_ms, 10, 0) = '\0';
    a->health = h;
    a->proto = proto;
    a->pool = str_dup_c(pool);
    a->backend = str_dup_c(backend);
    a->finding = health_key(h, "check", pool, backend, proto);
    int err = lease && a->pool && a->backend && a->finding ? 0 : -ERR_NOMEM;
    if (err == 0) {
        const struct str words[] = {str_of(lease), str_of(a->finding),
                                    str_of(fleet_holder(h->fleet)), str_of(lease_ms),
                                    str_of(fresh_ms)};
        err = redis_eval(fleet_redis(h->fleet), &ask_script, words, ARRAY_LEN(words), 2, 0,
                         on_health_asked, a, &a->call);
    }
    if (err < 0) {
        h->facts.failed_open++;
        ask_free(a);
        return false;
    }
    list_add_tail(&h->asks, &a->link);
    return true;
}

/* ---- telling ---- */

static int finding_seal(struct fleet_health *h, const char *key, const struct check_finding *f,
                        struct buf *out)
{
    h->number = fleet_message_number(h->number, clock_wall_ms());
    AUTO_FREE char *text = json_text_take(
        json_pack("{s:s, s:I, s:I, s:I, s:o}", "by", h->node, "number", (json_int_t)h->number,
                  "took", (json_int_t)f->took_us, "cert", (json_int_t)f->cert_expires,
                  "capabilities", request_json(str_of(f->capabilities))));
    return text ? seal_text(&h->seal, str_of(key), str_of(text), out) : -ERR_NOMEM;
}

/* Who does not have the lease tells nobody: the script sees to it. */
static void health_tell(void *arg, const char *pool, const char *backend, enum proto_id proto,
                        uint64_t interval_ms, const struct check_finding *f)
{
    struct fleet_health *h = arg;
    const struct control *c = h->control;
    char life_ms[24];
    AUTO_BUF sealed = BUF_INIT;
    AUTO_FREE char *lease = health_key(h, "checker", pool, backend, proto);
    AUTO_FREE char *finding = health_key(h, "check", pool, backend, proto);
    if (control_snapshot(c)->config->fleet.health != FLEET_HEALTH_SHARED || !lease || !finding ||
        (f && finding_seal(h, finding, f, &sealed) < 0))
        return;
    *str_put_number(life_ms, HEALTH_LEASE_INTERVALS * interval_ms, 10, 0) = '\0';
    const struct str words[] = {str_of(lease), str_of(finding), str_of(fleet_holder(h->fleet)),
                                str_of(life_ms), buf_str(&sealed)};
    (void)!redis_eval(fleet_redis(h->fleet), &tell_script, words, ARRAY_LEN(words), 2, 0, NULL,
                      NULL, NULL);
}

void fleet_health_look(const struct fleet_health *h, struct fleet_health_facts *ret)
{
    *ret = h->facts;
}

/* ---- life ---- */

int fleet_health_new(const struct fleet_health_spec *spec, struct fleet_health **ret)
{
    struct fleet_health *h = zalloc(sizeof(*h));
    if (!h)
        return -ERR_NOMEM;
    h->control = spec->control;
    h->fleet = spec->fleet;
    h->checks = spec->checks;
    h->node = str_dup_c(spec->node);
    list_init(&h->asks);
    redis_script_init(&ask_script);
    redis_script_init(&tell_script);
    int err = h->node ? seal_init(&h->seal, spec->secret, "health") : -ERR_NOMEM;
    if (err < 0) {
        free(h->node);
        free(h);
        return err;
    }
    const struct check_sharing sharing = {
        .arg = h, .name = h->node, .ask = health_ask, .tell = health_tell};
    checks_share(h->checks, &sharing);
    *ret = h;
    return 0;
}

void fleet_health_free(struct fleet_health *h)
{
    if (!h)
        return;
    LIST_FOREACH_SAFE (it, &h->asks) {
        struct health_ask *a = LIST_ITEM(it, struct health_ask, link);
        redis_cancel(a->call);
        ask_free(a);
    }
    seal_fini(&h->seal);
    free(h->node);
    free(h);
}
