/* SPDX-License-Identifier: ISC */
/* fleet check: what would keep the fleet from being one. */
#include <stdio.h>

#include "base/clock.h"
#include "fleet/fleet.h"
#include "rpc/handlers.h"
#include "runtime/state.h"

#define SKEW_MAX_MS 2000

struct fleet_check {
    struct fleet_watch watch; /* for its end */
    struct fleet *fleet;
    struct request *request;
    json_t *rows;
    uint64_t asked_us;
};

__attribute__((format(printf, 4, 5))) static void
check_row(struct fleet_check *k, const char *check, const char *result, const char *fmt, ...)
{
    AUTO_BUF text = BUF_INIT;
    va_list ap;
    json_t *row = json_object();
    va_start(ap, fmt);
    (void)!buf_vprintf(&text, fmt, ap);
    va_end(ap);
    request_set_text(row, "check", check);
    request_set_text(row, "result", result);
    (void)json_object_set_new(row, "text", request_json(buf_str(&text)));
    (void)json_array_append_new(k->rows, row);
}

/* ---- the nodes ---- */

/* Names of the nodes for which it holds, with commas. */
static size_t fleet_check_names(const struct fleet *f, struct buf *ret,
                                bool (*holds)(const struct fleet *f, const struct fleet_node *n))
{
    const struct fleet_nodes *nodes = fleet_nodes(f);
    size_t n = 0;
    for (size_t i = 0; i < nodes->n; i++)
        if (fleet_nodes_is_first(nodes, i) && holds(f, &nodes->v[i]))
            (void)!buf_printf(ret, "%s%s", n++ ? ", " : "", nodes->v[i].name);
    return n;
}

static bool node_is_gone(const struct fleet *f, const struct fleet_node *n)
{
    return !fleet_is_alive(f, n);
}

static bool node_has_other_version(const struct fleet *f, const struct fleet_node *n)
{
    return fleet_is_alive(f, n) && *n->version && strcmp(n->version, MAILPROXY_VERSION) != 0;
}

static void check_nodes(struct fleet_check *k)
{
    const struct fleet *f = k->fleet;
    struct fleet_counts n;
    AUTO_BUF gone = BUF_INIT, secret = BUF_INIT, version = BUF_INIT;
    fleet_count(f, &n);
    if (n.heartbeat_age_ms == UINT64_MAX)
        check_row(k, "presence", "failed", "the store never took what this node says");
    else if (fleet_trouble(f))
        check_row(k, "presence", "failed", "%s", fleet_trouble(f));
    else
        check_row(k, "presence", "ok", "this node was heard %.1f s ago",
                  (double)n.heartbeat_age_ms / 1000);
    if (fleet_check_names(f, &gone, node_is_gone))
        check_row(k, "nodes", "warning", "%zu of %zu are there; gone: %s", n.alive, n.all,
                  buf_cstr(&gone));
    else
        check_row(k, "nodes", "ok", "%zu of %zu are there", n.alive, n.all);
    if (fleet_check_names(f, &secret, fleet_has_other_secret))
        check_row(k, "secrets", "failed", "another secret_file than here: %s", buf_cstr(&secret));
    else if (*fleet_epoch(f))
        check_row(k, "secrets", "ok", "all nodes have the same secret_file");
    if (fleet_check_names(f, &version, node_has_other_version))
        check_row(k, "versions", "warning", "another version than %s: %s", MAILPROXY_VERSION,
                  buf_cstr(&version));
    else
        check_row(k, "versions", "ok", "all nodes run %s, schema %llu", MAILPROXY_VERSION,
                  (unsigned long long)fleet_nodes(f)->schema);
}

/* ---- the store ---- */

/* The value of a line "name:value" of INFO; empty when it has none. */
static struct str info_value(struct str info, const char *name)
{
    while (info.n > 0) {
        struct str line = str_trim(str_cut(&info, '\n'));
        struct str key = str_cut(&line, ':');
        if (str_eq(key, str_of(name)))
            return line;
    }
    return STR_NULL;
}

static uint64_t info_number(struct str info, const char *name)
{
    uint64_t n = 0;
    return str_to_u64(info_value(info, name), UINT64_MAX, &n) == 0 ? n : 0;
}

static void check_memory(struct fleet_check *k, struct str info)
{
    uint64_t most = info_number(info, "maxmemory"), used = info_number(info, "used_memory");
    struct str policy = info_value(info, "maxmemory_policy");
    if (most == 0)
        check_row(k, "memory", "ok", "%llu MB in use, maxmemory is not set",
                  (unsigned long long)(used >> 20));
    else if (!str_eq(policy, STR("noeviction")))
        check_row(k, "memory", "warning",
                  "maxmemory-policy %.*s: pins and commands go when memory is short; noeviction "
                  "refuses new ones instead",
                  STR_ARG(policy));
    else
        check_row(k, "memory", used > most / 10 * 9 ? "warning" : "ok", "%llu of %llu MB in use",
                  (unsigned long long)(used >> 20), (unsigned long long)(most >> 20));
}

static void check_persistence(struct fleet_check *k, struct str info)
{
    bool has_log = info_number(info, "aof_enabled");
    if (str_eq(info_value(info, "rdb_last_bgsave_status"), STR("err")) ||
        (has_log && str_eq(info_value(info, "aof_last_write_status"), STR("err"))))
        check_row(k, "persistence", "failed", "the store cannot write to its disk");
    else if (has_log)
        check_row(k, "persistence", "ok", "the store keeps an append-only file");
    else
        check_row(k, "persistence", "warning",
                  "no append-only file: a restart may lose pins of users without sessions, and "
                  "commands that nodes have not taken yet");
    uint64_t replicas = info_number(info, "connected_slaves");
    check_row(k, "replicas", replicas ? "ok" : "warning",
              replicas ? "%llu follow the primary" : "%llu: nobody takes over when it dies",
              (unsigned long long)replicas);
}

/* ---- the questions ---- */

static void check_end(struct fleet_check *k)
{
    list_del(&k->watch.link);
    check_nodes(k);
    request_rows(k->request, k->rows, NULL);
    free(k);
}

static void on_check_info(void *arg, const struct redis_result *r)
{
    struct fleet_check *k = arg;
    if (r->err < 0) {
        check_row(k, "store", "unknown", "INFO: %s", r->error ? r->error : err_text(r->err));
    } else if (r->reply->type == REDIS_REPLY_STRING) {
        struct str info = str_n(r->reply->str, r->reply->len);
        struct str valkey = info_value(info, "valkey_version");
        struct str version = valkey.n ? valkey : info_value(info, "redis_version");
        struct redis_facts link;
        redis_look(fleet_redis(k->fleet), &link);
        check_row(k, "store", "ok", "%s %.*s at %s answers in %.1f ms",
                  valkey.n ? "Valkey" : "Redis", STR_ARG(version), link.server,
                  (double)(clock_us() - k->asked_us) / 1000);
        check_memory(k, info);
        check_persistence(k, info);
    }
    check_end(k);
}

static void check_clock(struct fleet_check *k, const struct redisReply *reply)
{
    uint64_t seconds = 0;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 1 ||
        reply->element[0]->type != REDIS_REPLY_STRING ||
        str_to_u64(str_of(reply->element[0]->str), UINT32_MAX, &seconds) < 0)
        return;
    int64_t ahead_ms = (int64_t)clock_wall_ms() - (int64_t)seconds * 1000 - 500;
    bool is_far = ahead_ms > SKEW_MAX_MS || ahead_ms < -SKEW_MAX_MS;
    if (is_far)
        check_row(k, "clock", "warning",
                  "this machine is %lld s %s the store: logs of nodes do not fit",
                  (long long)(ahead_ms > 0 ? ahead_ms : -ahead_ms) / 1000,
                  ahead_ms > 0 ? "ahead of" : "behind");
    else
        check_row(k, "clock", "ok", "as the store's");
}

static void on_time(void *arg, const struct redis_result *r)
{
    static const struct str words[] = {{"INFO", 4}};
    struct fleet_check *k = arg;
    if (r->err < 0)
        check_row(k, "clock", "unknown", "TIME: %s", r->error ? r->error : err_text(r->err));
    else
        check_clock(k, r->reply);
    k->asked_us = clock_us();
    if (redis_call(fleet_redis(k->fleet), words, 1, 0, on_check_info, k, NULL) < 0)
        check_end(k);
}

static void on_fleet_end(struct fleet_watch *w)
{
    struct fleet_check *k = CONTAINER_OF(w, struct fleet_check, watch);
    json_decref(k->rows);
    request_abandon(k->request);
    free(k);
}

void command_fleet_check(struct request *r)
{
    static const struct str words[] = {{"TIME", 4}};
    struct fleet *f = request_control(r)->fleet;
    if (!f) {
        request_fail(r, -ERR_NOT_FOUND, "fleet.name in the configuration",
                     "this proxy is in no fleet");
        return;
    }
    struct fleet_check *k = calloc(1, sizeof(*k));
    if (!k) {
        request_fail(r, -ERR_NOMEM, NULL, NULL);
        return;
    }
    *k = (struct fleet_check){
        .watch.end = on_fleet_end, .fleet = f, .request = r, .rows = json_array()};
    fleet_watch(f, &k->watch);
    if (redis_call(fleet_redis(f), words, 1, 0, on_time, k, NULL) == 0)
        return;
    struct redis_facts link;
    redis_look(fleet_redis(f), &link);
    check_row(k, "store", "failed", "%s", link.why[0] ? link.why : "it was not reached yet");
    check_end(k);
}
