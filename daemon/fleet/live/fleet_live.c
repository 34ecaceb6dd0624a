/* SPDX-License-Identifier: ISC */
/* Live streams as a whole: what other nodes say, and when this one says something. */
#include "base/zalloc.h"
#include "fleet/live/fleet_live_priv.h"
#include "runtime/state.h"

#define LIVE_TICK_MS 200 /* before the next tick of the loop: how long lines wait */

/* ---- what is said ---- */

/* Numbers are those of one engine: the next one of that node, known to serve now, begins anew, so
 * that a clock that was set back meanwhile silences nobody. What an engine before it said counts no
 * more. */
static int live_take(struct fleet_live *l, const json_t *m, const char *from, uint64_t number)
{
    const char *holder = json_string_value(json_object_get(m, "holder"));
    const char *known = json_string_value(json_object_get(l->engines, from));
    if (!holder)
        return -ERR_SYNTAX;
    if (known && strcmp(known, holder) == 0)
        return fleet_message_take(l->seen, from, number);
    const struct fleet_node *n = fleet_nodes_find(fleet_nodes(l->fleet), from);
    if (!n || strcmp(n->holder, holder) != 0)
        return -ERR_NOT_FOUND;
    (void)json_object_del(l->seen, from);
    int err = fleet_message_take(l->seen, from, number);
    if (err == 0 && json_object_set_new(l->engines, from, json_string(holder)) != 0)
        err = -ERR_NOMEM;
    return err;
}

static void on_live_heard(void *arg, const char *position, const json_t *m)
{
    static const struct {
        const char *kind;
        void (*fn)(struct fleet_live *l, const char *from, const json_t *m);
    } kinds[] = {
        {"wish", fleet_feed_wished}, {"stop", fleet_feed_stopped}, {"lines", fleet_follow_heard}};
    struct fleet_live *l = arg;
    const struct engine_api *h = l->control->host;
    const char *from = json_string_value(json_object_get(m, "from"));
    const char *kind = json_string_value(json_object_get(m, "kind"));
    uint64_t number = fleet_message_number_of(m);
    (void)position;
    if (!from || !kind || number == 0 || h->is_retired(h->arg) ||
        json_integer_value(json_object_get(m, "schema")) > LIVE_SCHEMA ||
        live_take(l, m, from, number) < 0)
        return;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (strcmp(kind, kinds[i].kind) == 0)
            kinds[i].fn(l, from, m);
}

/* ---- when ---- */

static void on_live_tick(struct loop_timer *t)
{
    struct fleet_live *l = CONTAINER_OF(t, struct fleet_live, tick);
    bool has_follows = fleet_follows_tick(l), has_feeds = fleet_feeds_tick(l);
    if (has_follows || has_feeds)
        loop_timer_set(l->loop, t, LIVE_TICK_MS);
}

static void on_live_nodes(struct fleet_watch *w)
{
    fleet_follows_check(CONTAINER_OF(w, struct fleet_live, watch));
}

/* ---- life ---- */

int fleet_live_new(const struct fleet_live_spec *spec, struct fleet_live **ret)
{
    struct fleet_live *l = zalloc(sizeof(*l));
    if (!l)
        return -ERR_NOMEM;
    l->watch.nodes = on_live_nodes;
    list_init(&l->watch.link);
    l->control = spec->control;
    l->fleet = spec->fleet;
    l->loop = spec->control->host->loop;
    l->life_ms = spec->control->host->pins->lease_ms;
    l->life_ms = l->life_ms < LIVE_LIFE_MIN_MS ? LIVE_LIFE_MIN_MS : l->life_ms;
    l->node = str_dup_c(spec->node);
    l->key = str_printf("%slive:%s", fleet_prefix(spec->fleet), fleet_holder(spec->fleet));
    l->seen = json_object();
    l->engines = json_object();
    list_init(&l->follows);
    list_init(&l->feeds);
    loop_timer_init(&l->tick, on_live_tick);
    const struct fleet_stream_source source = {
        .key = l->key, .position = "0", .seal = &l->seal, .heard = on_live_heard, .arg = l};
    bool is_whole = l->node && l->key && l->seen && l->engines;
    int err = is_whole ? seal_init(&l->seal, spec->secret, "stream") : -ERR_NOMEM;
    if (err == 0)
        err = fleet_stream_add(spec->stream, &source);
    if (err < 0) {
        fleet_live_free(l);
        return err;
    }
    fleet_watch(l->fleet, &l->watch);
    *ret = l;
    return 0;
}

void fleet_live_free(struct fleet_live *l)
{
    if (!l)
        return;
    list_del(&l->watch.link);
    loop_timer_cancel(l->loop, &l->tick);
    fleet_follows_fini(l);
    fleet_feeds_fini(l);
    json_decref(l->seen);
    json_decref(l->engines);
    seal_fini(&l->seal);
    free(l->node);
    free(l->key);
    free(l);
}

void fleet_live_look(const struct fleet_live *l, struct fleet_live_facts *ret)
{
    *ret = (struct fleet_live_facts){.lost = l->lost};
    LIST_FOREACH (it, &l->feeds)
        ret->n_fed++;
}
