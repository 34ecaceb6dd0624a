/* SPDX-License-Identifier: ISC */
/* How far the commands of a fleet were taken, in the store of this node: after a restart those that
 * came meanwhile are taken, and none twice. */
#include "base/log/log.h"
#include "fleet/commands/fleet_run_priv.h"
#include "rpc/json_text.h"
#include "rpc/work.h"
#include "runtime/state.h"

#define POSITION_KIND "fleet"
#define POSITION_NAME "commands"
#define POSITION_SAVE_MS 500

struct position_work {
    struct work work;
    struct fleet_runs *runs;
    struct store *store;
    char *json;
};

static bool position_load_row(void *arg, const char *kind, const char *name, const char *json,
                              uint64_t at_ms)
{
    struct fleet_runs *f = arg;
    (void)at_ms;
    if (strcmp(kind, POSITION_KIND) != 0 || strcmp(name, POSITION_NAME) != 0)
        return true;
    json_t *v = json_loads(json, JSON_REJECT_DUPLICATES, NULL);
    const char *position = json_string_value(json_object_get(v, "position"));
    json_t *seen = json_object_get(v, "seen"), *kept = json_object_get(v, "kept");
    if (position && json_is_object(seen)) {
        (void)str_copy(f->position, sizeof(f->position), str_of(position));
        json_decref(f->seen);
        json_decref(f->kept);
        f->seen = json_incref(seen);
        f->kept = json_is_object(kept) ? json_incref(kept) : json_copy(seen);
        json_int_t own = json_integer_value(json_object_get(seen, f->node));
        json_int_t own_kept = json_integer_value(json_object_get(f->kept, f->node));
        f->number = (uint64_t)(own > own_kept ? own : own_kept); /* where the clock was set back */
    }
    json_decref(v);
    return false;
}

int fleet_position_load(struct fleet_runs *f)
{
    (void)str_copy(f->position, sizeof(f->position), STR("0"));
    return store_runtime_each(f->control->host->store, position_load_row, f);
}

static int position_run(struct work *w)
{
    struct position_work *p = CONTAINER_OF(w, struct position_work, work);
    return store_runtime_set(p->store, POSITION_KIND, POSITION_NAME, p->json);
}

static void position_done(struct work *w)
{
    struct position_work *p = CONTAINER_OF(w, struct position_work, work);
    struct fleet_runs *f = p->runs;
    f->is_saving = false;
    if (w->err < 0) {
        LOG_EVENT(LOG_LEVEL_ERROR, "fleet-position-not-stored", KV_ERR("error", w->err));
        f->is_dirty = true;
    }
    if (f->is_dirty)
        loop_timer_set(f->loop, &f->save, POSITION_SAVE_MS);
}

static void position_fini(struct work *w)
{
    free(CONTAINER_OF(w, struct position_work, work)->json);
}

static char *position_text(const struct fleet_runs *f)
{
    return json_text_take(
        json_pack("{s:s, s:O, s:O}", "position", f->position, "seen", f->seen, "kept", f->kept));
}

static void on_save(struct loop_timer *t)
{
    struct fleet_runs *f = CONTAINER_OF(t, struct fleet_runs, save);
    struct control *c = f->control;
    char *json = f->is_retired ? NULL : position_text(f);
    struct position_work *p =
        json ? work_new(&c->rpc, NULL, sizeof(*p), position_run, position_done, position_fini)
             : NULL;
    if (!p) {
        free(json);
        if (!f->is_retired)
            loop_timer_set(f->loop, &f->save, POSITION_SAVE_MS);
        return;
    }
    p->runs = f;
    p->store = c->host->store;
    p->json = json;
    f->is_saving = true;
    f->is_dirty = false;
    work_post(&p->work, &c->rule_queue);
}

void fleet_position_init(struct fleet_runs *f)
{
    loop_timer_init(&f->save, on_save);
}

void fleet_position_fini(struct fleet_runs *f)
{
    loop_timer_cancel(f->loop, &f->save);
    bool is_wanted = (f->is_dirty || f->is_saving) && !f->is_retired;
    AUTO_FREE char *json = is_wanted ? position_text(f) : NULL;
    if (!json)
        return;
    int err = store_runtime_set(f->control->host->store, POSITION_KIND, POSITION_NAME, json);
    if (err < 0)
        LOG_EVENT(LOG_LEVEL_ERROR, "fleet-position-not-stored", KV_ERR("error", err));
}

void fleet_position_changed(struct fleet_runs *f)
{
    if (!f->is_saving && !f->is_dirty)
        loop_timer_set(f->loop, &f->save, POSITION_SAVE_MS);
    f->is_dirty = true;
}
