/* SPDX-License-Identifier: ISC */
/* Commands of a fleet as a whole: their beginning, what is heard of them, their end. */
#include "fleet/fleet_run_priv.h"
#include "runtime/state.h"

/* Who waits for a node that is gone need not. */
static void on_nodes(struct fleet_watch *w)
{
    struct fleet_runs *f = CONTAINER_OF(w, struct fleet_runs, watch);
    fleet_gather_check(f);
    fleet_run_check(f);
}

static void on_back(struct fleet_watch *w, bool is_other)
{
    struct fleet_runs *f = CONTAINER_OF(w, struct fleet_runs, watch);
    if (is_other)
        fleet_stream_rewind(f->stream);
    fleet_runs_flush(f);
}

void fleet_runs_look(const struct fleet_runs *f, struct fleet_runs_facts *ret)
{
    *ret = (struct fleet_runs_facts){.sent = f->sent,
                                     .taken = f->taken,
                                     .refused = f->refused + fleet_stream_forged(f->stream),
                                     .n_queued = f->n_queued};
    LIST_FOREACH (it, &f->runs)
        ret->n_waiting++;
}

static void on_command(void *arg, const char *position, const json_t *m)
{
    fleet_execute(arg, position, m);
}

static void on_answer(void *arg, const char *position, const json_t *m)
{
    struct fleet_runs *f = arg;
    (void)position;
    if (json_object_get(m, "gather"))
        fleet_gather_heard(f, m);
    else
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
                             .watch = {.back = on_back, .nodes = on_nodes},
                             .loop = spec->control->host->loop,
                             .node = str_dup_c(spec->node),
                             .commands = str_printf("%scmd", prefix),
                             .inbox = str_printf("%sin:%s", prefix, fleet_holder(spec->fleet)),
                             .seen = json_object()};
    memcpy(f->secret, spec->secret, sizeof(f->secret));
    list_init(&f->gathers);
    fleet_execute_init(f);
    fleet_run_init(f);
    fleet_position_init(f);
    fleet_queue_init(f);
    list_init(&f->watch.link);
    bool is_whole = f->node && f->commands && f->inbox && f->seen;
    int err = is_whole ? fleet_position_load(f) : -ERR_NOMEM;
    if (err == 0)
        err = fleet_queue_load(f);
    const struct fleet_stream_spec stream = {
        .loop = f->loop, .fleet = spec->fleet, .secret = f->secret};
    const struct fleet_stream_source sources[] = {
        {.key = f->commands, .position = f->position, .heard = on_command, .arg = f},
        {.key = f->inbox, .position = "0", .heard = on_answer, .arg = f}};
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
    json_decref(f->seen);
    free(f->node);
    free(f->commands);
    free(f->inbox);
    explicit_bzero(f->secret, sizeof(f->secret));
    free(f);
}
