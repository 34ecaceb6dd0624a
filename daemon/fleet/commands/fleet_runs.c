/* SPDX-License-Identifier: ISC */
/* Commands of a fleet as a whole: their beginning, what is heard of them, their end. */
#include <hiredis/hiredis.h>

#include "fleet/commands/fleet_run_priv.h"
#include "runtime/state.h"

/* Who waits for a node that is gone need not. */
static void on_runs_nodes(struct fleet_watch *w)
{
    struct fleet_runs *f = CONTAINER_OF(w, struct fleet_runs, watch);
    fleet_queue_patience(f);
    fleet_gather_check(f);
    fleet_run_check(f);
}

/* [[position, ...]], or nothing: the last command in the store. Where it is before the one that was
 * taken last here the store has lost some, and those to come may be before it, too. */
static void on_last(void *arg, const struct redis_result *r)
{
    struct fleet_runs *f = arg;
    const redisReply *entry = NULL;
    if (r->err < 0 || r->reply->type != REDIS_REPLY_ARRAY)
        return;
    if (r->reply->elements > 0 && r->reply->element[0]->type == REDIS_REPLY_ARRAY &&
        r->reply->element[0]->elements > 0)
        entry = r->reply->element[0]->element[0];
    if (entry &&
        (entry->type != REDIS_REPLY_STRING || !fleet_order_is_behind(f->position, entry->str)))
        return;
    fleet_stream_rewind(f->stream);
}

static void on_runs_back(struct fleet_watch *w, bool is_other)
{
    struct fleet_runs *f = CONTAINER_OF(w, struct fleet_runs, watch);
    const struct str last[] = {STR("XREVRANGE"), str_of(f->commands), STR("+"),
                               STR("-"),         STR("COUNT"),        STR("1")};
    if (is_other) {
        fleet_stream_rewind(f->stream);
        fleet_queue_again(f);
        return;
    }
    (void)!redis_call(fleet_redis(f->fleet), last, ARRAY_LEN(last), 0, on_last, f, NULL);
    fleet_runs_flush(f);
}

void fleet_runs_look(const struct fleet_runs *f, struct fleet_runs_facts *ret)
{
    *ret = (struct fleet_runs_facts){
        .sent = f->sent, .taken = f->taken, .refused = f->refused + fleet_stream_forged(f->stream)};
    fleet_queue_look(f, &ret->n_queued, &ret->n_kept);
    LIST_FOREACH (it, &f->runs)
        ret->n_waiting++;
}

static void on_command(void *arg, const char *position, const json_t *m)
{
    fleet_execute(arg, position, m);
}

static void on_runs_answer(void *arg, const char *position, const json_t *m)
{
    struct fleet_runs *f = arg;
    (void)position;
    const char *from = json_string_value(json_object_get(m, "from"));
    uint64_t number = fleet_message_number_of(m);
    if (json_object_get(m, "gather")) {
        fleet_gather_heard(f, m);
        return;
    }
    if (from && number > 0)
        fleet_queue_taken(f, from, number);
    fleet_run_answered(f, m);
}

struct fleet_stream *fleet_runs_stream(const struct fleet_runs *f)
{
    return f->stream;
}

int fleet_runs_new(const struct fleet_runs_spec *spec, struct fleet_runs **ret)
{
    struct fleet_runs *f = calloc(1, sizeof(*f));
    if (!f)
        return -ERR_NOMEM;
    const char *prefix = fleet_prefix(spec->fleet);
    *f = (struct fleet_runs){.control = spec->control,
                             .fleet = spec->fleet,
                             .watch = {.back = on_runs_back, .nodes = on_runs_nodes},
                             .loop = spec->control->host->loop,
                             .node = str_dup_c(spec->node),
                             .commands = str_printf("%scmd", prefix),
                             .inbox = str_printf("%sin:%s", prefix, fleet_holder(spec->fleet)),
                             .seen = json_object(),
                             .kept = json_object()};
    memcpy(f->secret, spec->secret, sizeof(f->secret));
    list_init(&f->gathers);
    fleet_execute_init(f);
    fleet_run_init(f);
    fleet_position_init(f);
    fleet_queue_init(f);
    fleet_order_init(&f->order);
    list_init(&f->watch.link);
    bool is_whole = f->node && f->commands && f->inbox && f->seen && f->kept;
    int err = is_whole ? fleet_position_load(f) : -ERR_NOMEM;
    if (err == 0)
        err = fleet_queue_load(f);
    const struct fleet_stream_spec stream = {
        .loop = f->loop, .fleet = spec->fleet, .secret = f->secret};
    const struct fleet_stream_source sources[] = {
        {.key = f->commands, .position = f->position, .heard = on_command, .arg = f},
        {.key = f->inbox, .position = "0", .heard = on_runs_answer, .arg = f}};
    if (err == 0)
        err = fleet_stream_new(&stream, &f->stream);
    for (size_t i = 0; i < ARRAY_LEN(sources) && err == 0; i++)
        err = fleet_stream_add(f->stream, &sources[i]);
    if (err < 0) {
        fleet_runs_free(f);
        return err;
    }
    fleet_watch(f->fleet, &f->watch);
    *ret = f;
    return 0;
}

void fleet_runs_retire(struct fleet_runs *f)
{
    if (f)
        f->is_retired = true;
}

void fleet_runs_free(struct fleet_runs *f)
{
    if (!f)
        return;
    list_del(&f->watch.link);
    fleet_stream_free(f->stream);
    fleet_run_fini(f);
    fleet_position_fini(f);
    fleet_queue_fini(f);
    fleet_execute_fini(f);
    fleet_order_fini(&f->order);
    json_decref(f->seen);
    json_decref(f->kept);
    free(f->node);
    free(f->commands);
    free(f->inbox);
    explicit_bzero(f->secret, sizeof(f->secret));
    free(f);
}
