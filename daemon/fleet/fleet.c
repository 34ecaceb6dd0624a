/* SPDX-License-Identifier: ISC */
/* A node's life in its fleet: a heartbeat now and then, what came back, what is wrong. */
#include "fleet/fleet.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log/log.h"
#include "fleet/fleet_heartbeat.h"
#include "io/crypto.h"
#include "runtime/rules/limit_service.h"
#include "runtime/state.h"
#include "runtime/trouble.h"

#define FLEET_TICK_MS 250
#define NAME_KNOWN_HEARTBEATS                                                                      \
    4 /* after the start: who is not there any more is forgotten by then */
#define TROUBLE_STAYS_MIN_MS 500
#define TROUBLE_STAYS_MAX_MS 600000
#define FLEET_CALL_MS 1000           /* nobody's login waits for these */
#define FLEET_REPLY_BYTES (32 << 20) /* of a thousand nodes, or of some messages of each stream */

struct fleet {
    struct control *control;
    struct redis_client *redis;
    struct redis_client *further; /* of fleet_connect; NULL = none */
    struct config *config;        /* that the client was made of; one reference */
    struct pins_shared *pins;     /* who this engine is; borrowed */
    char *name, *node;
    char *key_schema, *key_entry, *key_entries;
    uint8_t secret[CONFIG_FLEET_SECRET_BYTES];
    uint64_t heartbeat_ms, started_wall_ms;
    struct loop_timer tick;
    struct redis_call *call;                 /* a heartbeat under way */
    uint64_t next_heartbeat_ms, answered_ms; /* monotonic; answered 0 = never */
    struct fleet_nodes nodes;
    char epoch[FLEET_EPOCH_SIZE], proof[FLEET_PROOF_SIZE];
    bool is_leaving;
    const char *sync;
    bool is_back;       /* up, but not heard of since */
    uint64_t joined_ms; /* monotonic: the first answer; 0 = never */
    char *trouble, *deaf;
    uint64_t trouble_ms, trouble_stays_ms, quiet_until_ms;
    struct list watches;
    uint64_t alive_hash; /* of who was alive when watches were told last */
};

/* ---- what others see ---- */

struct redis_client *fleet_redis(const struct fleet *f)
{
    return f->redis;
}

const char *fleet_name(const struct fleet *f)
{
    return f->name;
}

const char *fleet_prefix(const struct fleet *f)
{
    return f->pins->prefix;
}

const char *fleet_holder(const struct fleet *f)
{
    return f->pins->holder;
}

const char *fleet_epoch(const struct fleet *f)
{
    return f->epoch;
}

const struct fleet_nodes *fleet_nodes(const struct fleet *f)
{
    return &f->nodes;
}

const char *fleet_trouble(const struct fleet *f)
{
    return f->trouble;
}

void fleet_watch(struct fleet *f, struct fleet_watch *w)
{
    list_init(&w->link);
    list_add_tail(&f->watches, &w->link);
}

static uint64_t fleet_age_ms(const struct fleet *f)
{
    return f->answered_ms ? loop_now_ms(f->control->host->loop) - f->answered_ms : UINT64_MAX;
}

uint64_t fleet_lag_ms(const struct fleet *f, const struct fleet_node *n)
{
    uint64_t age = fleet_age_ms(f);
    uint64_t silence_ms = n->seen_ms < f->nodes.now_ms ? f->nodes.now_ms - n->seen_ms : 0;
    return age == UINT64_MAX ? 0 : silence_ms + age;
}

bool fleet_is_alive(const struct fleet *f, const struct fleet_node *n)
{
    return fleet_nodes_silence_ms(&f->nodes, n) <= 3 * f->heartbeat_ms;
}

/* A proof begins with the start of the epoch that it is for: one of an older epoch says nothing. */
bool fleet_has_other_secret(const struct fleet *f, const struct fleet_node *n)
{
    size_t at = strcspn(f->proof, "-");
    return *f->proof && strncmp(n->proof, f->proof, at + 1) == 0 &&
           strcmp(n->proof, f->proof) != 0 && fleet_is_alive(f, n);
}

void fleet_count(const struct fleet *f, struct fleet_counts *ret)
{
    *ret =
        (struct fleet_counts){.is_up = redis_is_up(f->redis), .heartbeat_age_ms = fleet_age_ms(f)};
    for (size_t i = 0; i < f->nodes.n; i++) {
        if (!fleet_nodes_is_first(&f->nodes, i))
            continue;
        ret->all++;
        ret->alive += fleet_is_alive(f, &f->nodes.v[i]);
    }
}

/* ---- this node ---- */

const char *fleet_own_state(const struct fleet *f)
{
    const struct engine_api *h = f->control->host;
    return h->is_retired(h->arg)                     ? "finishing"
           : f->is_leaving || h->is_stopping(h->arg) ? "leaving"
                                                     : "serving";
}

void fleet_look_own(const struct fleet *f, struct fleet_own *ret)
{
    const struct engine_api *h = f->control->host;
    struct limit_service_figures figures;
    double load = 0;
    limit_service_figures(f->control->limit_service, &figures);
    *ret = (struct fleet_own){.users = figures.users, .started_ms = f->started_wall_ms};
    for (size_t i = 0; i < h->n_workers; i++)
        ret->sessions += counter_total(h->workers[i].counters, COUNTER_SESSIONS);
    (void)getloadavg(&load, 1);
    snprintf(ret->load, sizeof(ret->load), "%.2f", load);
}

bool fleet_set_leaving(struct fleet *f, bool is_leaving)
{
    bool is_changed = f->is_leaving != is_leaving;
    f->is_leaving = is_leaving;
    f->next_heartbeat_ms = 0;
    return is_changed;
}

void fleet_set_sync(struct fleet *f, const char *sync)
{
    if (strcmp(f->sync, sync) != 0)
        f->next_heartbeat_ms = 0;
    f->sync = sync;
}

const char *fleet_sync(const struct fleet *f)
{
    return f->sync;
}

bool fleet_is_leaving(const struct fleet *f)
{
    return f && f->is_leaving;
}

/* ---- what is wrong ---- */

/* Takes text over; NULL = nothing. Of one outage that has many faces one is told, seldomer and
 * seldomer. */
static void fleet_set_trouble(struct fleet *f, char *text)
{
    uint64_t now = loop_now_ms(f->control->host->loop);
    bool is_same = str_eq_c(text, f->trouble);
    if (is_same || (text && f->trouble && now < f->trouble_ms + f->trouble_stays_ms)) {
        free(text);
        return;
    }
    LOG_EVENT(text ? LOG_LEVEL_WARN : LOG_LEVEL_NOTICE, text ? "fleet-trouble" : "fleet-well",
              KV_STR("fleet", f->name), KV_STR("detail", text));
    trouble_set_fleet(f->control->trouble, str_dup_c(text));
    uint64_t stays_ms = f->trouble ? 2 * f->trouble_stays_ms : TROUBLE_STAYS_MIN_MS;
    f->trouble_stays_ms = stays_ms < TROUBLE_STAYS_MAX_MS ? stays_ms : TROUBLE_STAYS_MAX_MS;
    free(f->trouble);
    f->trouble = text;
    f->trouble_ms = now;
}

static char *trouble_of_secret(const struct fleet *f)
{
    for (size_t i = 0; i < f->nodes.n; i++)
        if (fleet_has_other_secret(f, &f->nodes.v[i]))
            return str_printf("fleet %s: node %s has another secret_file", f->name,
                              f->nodes.v[i].name);
    return NULL;
}

/* Two proxies of one name take each other's sessions for their own. The engine before this one says
 * with its next heartbeat that it finishes, or has died, and is forgotten then. */
static char *trouble_of_name(const struct fleet *f)
{
    unsigned serving = 0;
    if (loop_now_ms(f->control->host->loop) - f->joined_ms <
        NAME_KNOWN_HEARTBEATS * f->heartbeat_ms)
        return NULL;
    for (size_t i = 0; i < f->nodes.n; i++) {
        const struct fleet_node *n = &f->nodes.v[i];
        serving += strcmp(n->name, f->node) == 0 && strcmp(n->state, "finishing") != 0 &&
                   fleet_is_alive(f, n);
    }
    return serving > 1 && !f->control->host->is_retired(f->control->host->arg)
               ? str_printf("fleet %s: another proxy is called %s, too: each needs a node name of "
                            "its own",
                            f->name, f->node)
               : NULL;
}

static void fleet_look_for_trouble(struct fleet *f)
{
    struct redis_facts facts;
    uint64_t patience_ms = 2 * f->heartbeat_ms + FLEET_CALL_MS;
    char *text = NULL;
    redis_look(f->redis, &facts);
    if (!facts.is_up)
        text =
            facts.why[0] ? str_printf("fleet %s: the store is away: %s", f->name, facts.why) : NULL;
    else if (f->answered_ms && !*f->nodes.epoch)
        text = str_printf("fleet %s: its nodes speak schema %llu, this one no more than %d: it has "
                          "no part in it",
                          f->name, (unsigned long long)f->nodes.schema, FLEET_SCHEMA);
    else if (facts.why[0] && fleet_age_ms(f) > patience_ms &&
             loop_now_ms(f->control->host->loop) - facts.up_since_ms > patience_ms)
        text = str_printf("fleet %s: the store does not take what this node says: %s", f->name,
                          facts.why);
    else if (!(text = trouble_of_name(f)) && !(text = trouble_of_secret(f)) && f->deaf)
        text = str_printf("fleet %s: %s", f->name, f->deaf);
    fleet_set_trouble(f, text);
}

void fleet_set_deaf(struct fleet *f, const char *why)
{
    if (str_eq_c(why, f->deaf))
        return;
    free(f->deaf);
    f->deaf = str_dup_c(why);
    fleet_look_for_trouble(f);
}

/* ---- who came and went ---- */

static void fleet_tell(struct fleet *f, const char *node, const char *what)
{
    AUTO_FREE char *text = str_printf("node %s %s", node, what);
    LOG_EVENT(LOG_LEVEL_NOTICE, "fleet-node", KV_STR("node", node), KV_STR("detail", what));
    control_event(f->control, "fleet", NULL, NULL, NULL, NULL, NULL, text);
}

static bool node_was_alive(const struct fleet_nodes *nodes, uint64_t lease_ms, const char *name,
                           const char **ret_state)
{
    const struct fleet_node *n = fleet_nodes_find(nodes, name);
    *ret_state = n ? n->state : "";
    return n && fleet_nodes_silence_ms(nodes, n) <= lease_ms;
}

/* Tells what is different between two answers of the store. */
static void fleet_compare(struct fleet *f, const struct fleet_nodes *before)
{
    const char *was, *is;
    uint64_t lease_ms = 3 * f->heartbeat_ms;
    for (size_t i = 0; i < f->nodes.n; i++) {
        const char *name = f->nodes.v[i].name;
        if (!fleet_nodes_is_first(&f->nodes, i) || strcmp(name, f->node) == 0)
            continue;
        bool was_alive = node_was_alive(before, lease_ms, name, &was);
        bool is_alive = node_was_alive(&f->nodes, lease_ms, name, &is);
        if (is_alive && !was_alive)
            fleet_tell(f, name, "is there");
        else if (was_alive && !is_alive)
            fleet_tell(f, name, "is gone: it says nothing any more");
        else if (is_alive && strcmp(was, is) != 0)
            fleet_tell(f, name, strcmp(is, "leaving") == 0 ? "is leaving" : "serves again");
    }
    for (size_t i = 0; i < before->n; i++)
        if (fleet_nodes_is_first(before, i) && strcmp(before->v[i].name, f->node) != 0 &&
            !fleet_nodes_find(&f->nodes, before->v[i].name))
            fleet_tell(f, before->v[i].name, "has left");
}

/* Changes when anybody comes, goes, or changes its state. */
static uint64_t fleet_alive_hash(const struct fleet *f)
{
    uint64_t h = 1469598103934665603u;
    for (size_t i = 0; i < f->nodes.n; i++) {
        const struct fleet_node *n = &f->nodes.v[i];
        for (const char *p = n->holder; fleet_is_alive(f, n) && *p; p++)
            h = (h ^ (unsigned char)*p) * 1099511628211u;
        for (const char *p = n->state; *p; p++)
            h = (h ^ (unsigned char)*p) * 1099511628211u;
    }
    return h;
}

static void fleet_tell_watches(struct fleet *f, bool is_back, bool is_other)
{
    uint64_t h = fleet_alive_hash(f);
    bool is_changed = h != f->alive_hash;
    f->alive_hash = h;
    LIST_FOREACH_SAFE (it, &f->watches) {
        struct fleet_watch *w = LIST_ITEM(it, struct fleet_watch, link);
        if (is_back && w->back)
            w->back(w, is_other);
        if (is_changed && w->nodes)
            w->nodes(w);
    }
}

/* ---- the heartbeat ---- */

static void on_heartbeat(void *arg, const struct redis_result *r)
{
    struct fleet *f = arg;
    struct fleet_nodes nodes, before = f->nodes;
    f->call = NULL;
    if (r->err < 0 || fleet_nodes_read(r->reply, &nodes) < 0)
        return;
    bool is_first = f->answered_ms == 0;
    fleet_nodes_follow(&nodes, &before, f->heartbeat_ms);
    f->nodes = nodes;
    f->answered_ms = loop_now_ms(f->control->host->loop);
    f->joined_ms = is_first ? f->answered_ms : f->joined_ms;
    bool is_other = *nodes.epoch && strcmp(f->epoch, nodes.epoch) != 0;
    bool is_back = *nodes.epoch && (f->is_back || is_other);
    f->is_back = false;
    if (is_other) {
        uint8_t mac[32];
        char hex[17];
        (void)str_copy(f->epoch, sizeof(f->epoch), str_of(nodes.epoch));
        crypto_sasl()->hmac_sha256(str_n(f->secret, sizeof(f->secret)), str_of(f->epoch), mac);
        str_hex(hex, mac, 8);
        snprintf(f->proof, sizeof(f->proof), "%.8s-%s", f->epoch, hex);
        pins_set_epoch(f->pins, f->epoch);
        f->next_heartbeat_ms = 0; /* the others are to see the proof */
    }
    if (is_other && !is_first) {
        static const char text[] =
            "the store has lost its data, or is another one: nodes say anew what they know";
        /* The others are not gone: they have not said yet to this data that they are there. */
        f->quiet_until_ms = f->answered_ms + 3 * f->heartbeat_ms;
        LOG_EVENT(LOG_LEVEL_WARN, "fleet-epoch", KV_STR("fleet", f->name),
                  KV_STR("epoch", f->epoch), KV_STR("detail", text));
        control_event(f->control, "fleet", NULL, NULL, NULL, NULL, NULL, text);
    }
    if (is_first)
        LOG_EVENT(LOG_LEVEL_NOTICE, "fleet-joined", KV_STR("fleet", f->name),
                  KV_STR("holder", f->pins->holder), KV_U64("engines", nodes.n));
    else if (f->answered_ms >= f->quiet_until_ms)
        fleet_compare(f, &before);
    fleet_nodes_fini(&before);
    fleet_look_for_trouble(f);
    fleet_tell_watches(f, is_back, is_other);
}

static void fleet_send_heartbeat(struct fleet *f)
{
    const struct config *c = control_snapshot(f->control)->config;
    struct fleet_own own;
    uint8_t random[16];
    char proposal[2 * sizeof(random) + 1];
    char lease[24], lifetime[24], schema[8], sessions[24], users[24], started[24];
    uint64_t lease_ms = 3 * f->heartbeat_ms;
    fleet_look_own(f, &own);
    /* Another each time: data that was lost is never the same. */
    hash_random(random, sizeof(random));
    str_hex(proposal, random, sizeof(random));
    snprintf(lease, sizeof(lease), "%llu", (unsigned long long)lease_ms);
    snprintf(lifetime, sizeof(lifetime), "%llu",
             (unsigned long long)(lease_ms > FLEET_ENTRY_MS ? lease_ms : FLEET_ENTRY_MS));
    snprintf(schema, sizeof(schema), "%d", FLEET_SCHEMA);
    snprintf(sessions, sizeof(sessions), "%llu", (unsigned long long)own.sessions);
    snprintf(users, sizeof(users), "%llu", (unsigned long long)own.users);
    snprintf(started, sizeof(started), "%llu", (unsigned long long)own.started_ms);
    const char *const words[] = {
        f->pins->nodes,
        f->key_entry,
        f->pins->epoch,
        f->key_schema,
        f->pins->holder,
        f->node,
        lease,
        lifetime,
        proposal,
        schema,
        f->key_entries,
        "version",
        MAILPROXY_VERSION,
        "schema",
        schema,
        "address",
        c->server_name,
        "state",
        fleet_own_state(f),
        "sessions",
        sessions,
        "users",
        users,
        "load",
        own.load,
        "started",
        started,
        "proof",
        f->proof,
        "sync",
        f->sync,
    };
    struct str v[ARRAY_LEN(words)];
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        v[i] = str_of(words[i]);
    f->next_heartbeat_ms = loop_now_ms(f->control->host->loop) + f->heartbeat_ms;
    (void)!redis_eval(f->redis, &fleet_heartbeat, v, ARRAY_LEN(v), 4, 0, on_heartbeat, f, &f->call);
}

/* ---- following the configuration ---- */

/* Files were read when the configuration was checked. */
static int fleet_spec(const struct fleet *f, const struct config *c, struct redis_spec *ret,
                      struct tls_client **ret_tls)
{
    AUTO_FREE char *why = NULL;
    int err = config_tls_fleet(&c->fleet, c->files, ret_tls, &why);
    if (err < 0) {
        LOG_EVENT(LOG_LEVEL_ERROR, "fleet-tls", KV_ERR("error", err), KV_STR("detail", why));
        return err;
    }
    *ret = config_fleet_spec(&c->fleet, *ret_tls);
    ret->resolver = f->control->host->resolver;
    ret->connect_ms = FLEET_CALL_MS;
    ret->timeout_ms = c->fleet.heartbeat_ms < FLEET_CALL_MS ? c->fleet.heartbeat_ms : FLEET_CALL_MS;
    ret->max_reply_bytes = FLEET_REPLY_BYTES;
    return 0;
}

static void fleet_follow(struct fleet *f)
{
    struct config *now = control_snapshot(f->control)->config;
    struct tls_client *tls = NULL;
    struct redis_spec spec;
    if (now == f->config)
        return;
    bool is_alike = config_fleet_is_alike(f->config, now);
    config_unref(f->config);
    f->config = config_ref(now);
    if (is_alike || !now->fleet.name || fleet_spec(f, now, &spec, &tls) < 0)
        return; /* a fleet's name changes with a restart */
    int err = redis_client_configure(f->redis, &spec);
    if (err == 0 && f->further)
        err = redis_client_configure(f->further, &spec);
    tls_client_unref(tls);
    if (err < 0)
        LOG_EVENT(LOG_LEVEL_ERROR, "fleet-config", KV_ERR("error", err));
}

static void on_fleet_tick(struct loop_timer *t)
{
    struct fleet *f = CONTAINER_OF(t, struct fleet, tick);
    fleet_follow(f);
    if (pins_take_other_epoch(f->pins)) /* the heartbeat tells which one */
        f->next_heartbeat_ms = 0;
    if (!f->call && redis_is_up(f->redis) &&
        loop_now_ms(f->control->host->loop) >= f->next_heartbeat_ms)
        fleet_send_heartbeat(f);
    fleet_look_for_trouble(f);
    /* Heartbeats keep their time: others judge by it. */
    uint64_t now = loop_now_ms(f->control->host->loop);
    uint64_t due_ms = f->next_heartbeat_ms > now ? f->next_heartbeat_ms - now : FLEET_TICK_MS;
    loop_timer_set(f->control->host->loop, &f->tick,
                   due_ms < FLEET_TICK_MS ? due_ms : FLEET_TICK_MS);
}

static void on_fleet_changed(void *arg, bool is_up)
{
    struct fleet *f = arg;
    f->is_back |= is_up;
    f->next_heartbeat_ms = 0;
    if (is_up && !f->call)
        fleet_send_heartbeat(f);
    fleet_look_for_trouble(f);
}

/* ---- life ---- */

int fleet_new(struct control *c, struct fleet **ret)
{
    struct config *config = control_snapshot(c)->config;
    struct tls_client *tls = NULL;
    struct redis_spec spec;
    *ret = NULL;
    if (!c->host->pins)
        return 0;
    struct fleet *f = calloc(1, sizeof(*f));
    if (!f)
        return -ERR_NOMEM;
    f->control = c;
    f->sync = "";
    f->pins = c->host->pins;
    f->config = config_ref(config);
    f->heartbeat_ms = config->fleet.heartbeat_ms;
    f->started_wall_ms = clock_wall_ms();
    memcpy(f->secret, config->fleet.secret, sizeof(f->secret));
    list_init(&f->watches);
    loop_timer_init(&f->tick, on_fleet_tick);
    fleet_heartbeat_init();
    const char *prefix = f->pins->prefix;
    f->name = str_dup_c(config->fleet.name);
    f->node = str_dup_c(config->node);
    f->key_schema = str_printf("%sschema", prefix);
    f->key_entries = str_printf("%snode:", prefix);
    f->key_entry = str_printf("%snode:%s", prefix, f->pins->holder);
    bool is_named = f->name && f->node && f->key_schema && f->key_entries && f->key_entry;
    int err = is_named ? fleet_spec(f, config, &spec, &tls) : -ERR_NOMEM;
    if (err == 0) {
        spec.changed = on_fleet_changed;
        spec.arg = f;
        err = redis_client_new(c->host->loop, &spec, &f->redis);
    }
    tls_client_unref(tls);
    if (err < 0) {
        fleet_free(f);
        return err;
    }
    loop_timer_set(c->host->loop, &f->tick, FLEET_TICK_MS);
    *ret = f;
    return 0;
}

int fleet_connect(struct fleet *f, void (*changed)(void *arg, bool is_up), void *arg,
                  struct redis_client **ret)
{
    struct tls_client *tls = NULL;
    struct redis_spec spec;
    int err = fleet_spec(f, f->config, &spec, &tls);
    if (err < 0)
        return err;
    spec.changed = changed;
    spec.arg = arg;
    err = redis_client_new(f->control->host->loop, &spec, ret);
    tls_client_unref(tls);
    f->further = err == 0 ? *ret : NULL;
    return err;
}

void fleet_free(struct fleet *f)
{
    if (!f)
        return;
    loop_timer_cancel(f->control->host->loop, &f->tick);
    LIST_FOREACH_SAFE (it, &f->watches) {
        struct fleet_watch *w = LIST_ITEM(it, struct fleet_watch, link);
        list_del(&w->link);
        if (w->end)
            w->end(w);
    }
    if (f->redis) { /* the others hear that it is gone */
        const struct str from_nodes[] = {STR("ZREM"), str_of(f->pins->nodes),
                                         str_of(f->pins->holder)};
        const struct str entry[] = {STR("DEL"), str_of(f->key_entry)};
        if (redis_call(f->redis, from_nodes, 3, 0, NULL, NULL, NULL) == 0 &&
            redis_call(f->redis, entry, 2, 0, NULL, NULL, NULL) == 0)
            redis_flush(f->redis);
    }
    redis_client_free(f->redis);
    fleet_nodes_fini(&f->nodes);
    config_unref(f->config);
    explicit_bzero(f->secret, sizeof(f->secret));
    free(f->name);
    free(f->node);
    free(f->key_schema);
    free(f->key_entry);
    free(f->key_entries);
    free(f->trouble);
    free(f->deaf);
    free(f);
}
