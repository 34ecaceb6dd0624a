/* SPDX-License-Identifier: ISC */
/* Runtime edits that the file has caught up with: they end, so that the next change of the file is
 * not hidden by what was taken over from them. */
#include "runtime/runtime_absorb.h"

#include "base/log/log.h"
#include "runtime/runtime.h"
#include "runtime/state.h"

struct absorb {
    struct work work;
    struct config *config;
    struct runtime_stage *stages;
    size_t n;
    struct pools *pools;
};

/* Keeps the stage of an entry in which something is dropped. */
static int absorb_look(struct absorb *s, const struct runtime *rt, const struct runtime_entry *e)
{
    const struct pool_edit *p = &e->now.edit;
    struct runtime_stage *stage = &s->stages[s->n];
    const struct config_pool *pool = config_pool_find(s->config, p->pool);
    const struct config_backend *file = config_backend_find(pool, p->name);
    if (!pool)
        return 0;
    int err = runtime_stage_begin(rt, p->pool, p->name, stage);
    if (err < 0)
        return err;
    bool is_dropped = runtime_edit_absorb(&stage->entry->now, file);
    runtime_edit_follow(&stage->entry->stored, &e->now, &stage->entry->now);
    is_dropped = runtime_edit_absorb(&stage->entry->stored, file) || is_dropped;
    if (is_dropped)
        s->n++;
    else
        runtime_stage_fini(stage);
    return 0;
}

static int absorb_start(struct work *w)
{
    struct absorb *s = CONTAINER_OF(w, struct absorb, work);
    const struct runtime *rt = work_control(w)->runtime;
    size_t n = 1;
    int err = 0;
    s->config = config_ref(control_snapshot(work_control(w))->config);
    LIST_FOREACH (it, runtime_entries(rt))
        n++;
    s->stages = calloc(n, sizeof(*s->stages));
    if (!s->stages)
        return -ERR_NOMEM;
    LIST_FOREACH (it, runtime_entries(rt))
        if (err == 0)
            err = absorb_look(s, rt, LIST_ITEM(it, struct runtime_entry, link));
    if (err == 0 && s->n == 0)
        return -ERR_NO_MATCH; /* the usual case: nothing is written */
    return err < 0 ? err : runtime_stages_list(rt, s->stages, s->n);
}

static int absorb_run(struct work *w)
{
    struct absorb *s = CONTAINER_OF(w, struct absorb, work);
    const struct engine_api *h = work_control(w)->host;
    const struct runtime_stage *last = &s->stages[s->n - 1];
    int err = pools_build(s->config, last->edits, last->n_edits, h->registry, &s->pools, &w->error);
    for (size_t i = 0; i < s->n && err == 0; i++)
        err = runtime_stage_store(&s->stages[i], h->store);
    return err;
}

static void absorb_done(struct work *w)
{
    struct absorb *s = CONTAINER_OF(w, struct absorb, work);
    const struct engine_api *h = work_control(w)->host;
    if (w->err == -ERR_NO_MATCH)
        return;
    for (size_t i = 0; i < s->n && w->err == 0; i++) {
        const struct pool_edit *p = &s->stages[i].entry->now.edit;
        LOG_EVENT(LOG_LEVEL_NOTICE, "runtime-edit-in-file", KV_STR("pool", p->pool),
                  KV_STR("backend", p->name));
        runtime_stage_commit(work_control(w)->runtime, &s->stages[i]);
    }
    if (w->err == 0)
        w->err = h->publish_pools(h->arg, STEAL(s->pools));
    if (w->err < 0)
        LOG_EVENT(LOG_LEVEL_ERROR, "runtime-edits-not-settled", KV_ERR("error", w->err),
                  KV_STR("detail", w->error));
}

static void absorb_fini(struct work *w)
{
    struct absorb *s = CONTAINER_OF(w, struct absorb, work);
    for (size_t i = 0; s->stages && i < s->n; i++)
        runtime_stage_fini(&s->stages[i]);
    free(s->stages);
    pools_unref(s->pools);
    config_unref(s->config);
}

void runtime_absorb_post(struct control *c)
{
    struct absorb *s = work_new(&c->rpc, NULL, sizeof(*s), absorb_run, absorb_done, absorb_fini);
    if (!s)
        return;
    s->work.start = absorb_start;
    work_post(&s->work, &c->config_queue);
}
