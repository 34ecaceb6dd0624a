/* SPDX-License-Identifier: ISC */
/* The frame of every change of a backend: its turn, the edit, the store, the pools, the answer. */
#include "base/clock.h"
#include "base/log/log.h"
#include "control/backend/backend_list.h"
#include "ops/drains.h"
#include "ops/timed_holds.h"
#include "peers/ask.h"

/* One state for several backends, one after another. */
struct backend_states {
    struct request *request;
    struct targets targets;
    struct backend **backends; /* those of targets, borrowed; the array is owned */
    size_t i, n_changed;
    enum backend_admin admin; /* that they get */
    void (*then)(struct request *r, const struct op_backends *set);
};

static void states_free(struct backend_states *s)
{
    if (!s)
        return;
    targets_fini(&s->targets);
    free(s->backends);
    free(s);
}

static void states_next(struct backend_states *s, bool is_changed);

static int change_edit(struct backend_change *ch)
{
    struct runtime_entry *e = ch->stage.entry;
    CLEANUP(runtime_edit_fini) struct runtime_edit now = {0}, stored = {0};
    int err = runtime_edit_copy(&now, &e->now);
    if (err == 0)
        err = runtime_edit_copy(&stored, &e->stored);
    if (err == 0 && ch->edit->check)
        err = ch->edit->check(ch);
    if (err == 0)
        err = ch->edit->apply(ch, &e->now);
    if (err == 0 && !request_bool(ch->work.request, "until_restart"))
        err = ch->edit->apply(ch, &e->stored);
    ch->is_stored = ch->is_row_bad || !runtime_edit_is_equal(&stored, &e->stored);
    ch->is_changed = ch->is_stored || !runtime_edit_is_equal(&now, &e->now);
    return err;
}

static int change_start_turn(struct work *w)
{
    struct backend_change *ch = CONTAINER_OF(w, struct backend_change, work);
    const struct snapshot *snapshot = control_snapshot(work_control(w));
    ch->in = pools_find(snapshot->pools, ch->pool);
    ch->member = ch->in ? pools_member(snapshot->pools, ch->pool, ch->name, NULL) : NULL;
    ch->file = config_backend_find(config_pool_find(snapshot->config, ch->pool), ch->name);
    ch->config = config_ref(snapshot->config);
    int err = runtime_stage_begin(work_control(w)->runtime, ch->pool, ch->name, &ch->stage);
    if (err == 0 && !ch->stage.entry->backend)
        ch->stage.entry->backend = backend_ref(ch->backend);
    if (err == 0)
        err = change_edit(ch);
    if (err == 0)
        err = runtime_stage_list(work_control(w)->runtime, &ch->stage);
    return err;
}

struct change_pins {
    const struct backend_change *change;
    size_t n;
};

static bool pins_count(void *arg, const struct store_user *u)
{
    struct change_pins *p = arg;
    bool is_pool = !u->pool || strcmp(u->pool, p->change->pool) == 0;
    p->n += u->backend && is_pool && strcmp(u->backend, p->change->name) == 0;
    return true;
}

/* Who is pinned to a backend that is no more cannot log in. */
static int change_check_pins(struct backend_change *ch)
{
    struct change_pins p = {.change = ch};
    int err = store_user_each(work_control(&ch->work)->host->store, NULL, SIZE_MAX, pins_count, &p);
    if (err < 0 || p.n == 0)
        return err;
    return change_refuse(
        ch, -ERR_BUSY,
        str_printf(
            "%zu users are pinned to %s: user move --filter backend=%s takes them elsewhere, "
            "--force removes it all the same",
            p.n, ch->name, ch->name));
}

static int change_run(struct work *w)
{
    struct backend_change *ch = CONTAINER_OF(w, struct backend_change, work);
    const struct engine_api *h = work_control(w)->host;
    int err = 0;
    if (!ch->is_changed)
        return 0;
    if (ch->is_pin_barred)
        err = change_check_pins(ch);
    if (err == 0 && ch->is_rebuilt)
        err = pools_build(ch->config, ch->stage.edits, ch->stage.n_edits, h->registry, &ch->pools,
                          &w->error);
    if (err < 0 || !ch->is_stored)
        return err;
    err = runtime_stage_store(&ch->stage, h->store);
    if (err < 0)
        w->error = str_printf("%s: nothing was changed; until_restart changes it without the store",
                              err_text(err));
    return err;
}

static void change_apply_admin(const struct backend_change *ch)
{
    enum backend_admin admin = BACKEND_READY;
    const struct runtime_edit *e = &ch->stage.entry->now;
    if (e->edit.admin[0] && backend_admin_find(e->edit.admin, &admin) < 0)
        return;
    if (atomic_load(&ch->backend->admin) == admin)
        return;
    const char *word = backend_admin_name(admin);
    const char *reason = request_text(ch->work.request, "reason");
    backend_set_admin(ch->backend, admin, clock_wall_ms(), reason);
    LOG_EVENT(LOG_LEVEL_NOTICE, "backend-admin", KV_STR("pool", ch->pool),
              KV_STR("backend", ch->name), KV_STR("admin", word), KV_STR("reason", reason));
    AUTO_FREE char *text = reason ? str_printf("%s: %s", word, reason) : NULL;
    control_event(work_control(&ch->work), "backend", NULL, NULL, NULL, NULL, ch->name,
                  text ? text : word);
}

static int change_apply(struct backend_change *ch)
{
    struct control *c = work_control(&ch->work);
    const struct engine_api *h = c->host;
    change_apply_admin(ch);
    runtime_stage_commit(c->runtime, &ch->stage);
    drains_notice(c, ch->backend);
    timed_holds_notice(c, ch->backend);
    int err = ch->pools ? h->publish_pools(h->arg, STEAL(ch->pools)) : 0;
    /* Logins that wait: this backend may take them now, or another one. */
    sessions_wake(c, NULL);
    return err;
}

static void change_done(struct work *w)
{
    struct backend_change *ch = CONTAINER_OF(w, struct backend_change, work);
    if (work_fail(w))
        return;
    int err = ch->is_changed ? change_apply(ch) : 0;
    if (err < 0)
        request_fail(w->request, err, NULL, NULL);
    else if (ch->states)
        states_next(STEAL(ch->states), ch->is_changed);
    else
        request_done(w->request, ch->is_changed, ch->is_changed, NULL);
}

static void change_fini(struct work *w)
{
    struct backend_change *ch = CONTAINER_OF(w, struct backend_change, work);
    runtime_stage_fini(&ch->stage);
    free(ch->pool);
    free(ch->name);
    backend_unref(ch->backend);
    pools_unref(ch->pools);
    config_unref(ch->config);
    states_free(ch->states);
}

/* NULL: the request was answered. Takes over pool, name and the reference of b. */
static struct backend_change *change_new(struct request *r, char *pool, char *name,
                                         struct backend *b)
{
    struct backend_change *ch =
        work_new(r->rpc, r, sizeof(*ch), change_run, change_done, change_fini);
    if (!ch) {
        free(pool);
        free(name);
        backend_unref(b);
        return NULL;
    }
    if (!pool || !name || !b) {
        free(pool);
        free(name);
        backend_unref(b);
        work_free(&ch->work);
        request_fail(r, -ERR_NOMEM, NULL, NULL);
        return NULL;
    }
    ch->work.start = change_start_turn;
    ch->pool = pool;
    ch->name = name;
    ch->backend = b;
    return ch;
}

void change_post(struct request *r, char *pool, char *name, struct backend *b, bool is_rebuilt,
                 const struct backend_edit *edit)
{
    struct backend_change *ch = change_new(r, pool, name, b);
    if (!ch)
        return;
    ch->is_rebuilt = is_rebuilt;
    ch->edit = edit;
    work_post(&ch->work, &request_control(r)->config_queue);
}

int change_set_admin(struct backend_change *ch, struct runtime_edit *e, enum backend_admin admin)
{
    const char *word = admin == BACKEND_READY ? "" : backend_admin_name(admin);
    if (strcmp(e->edit.admin, word) == 0)
        return 0;
    (void)str_copy(e->edit.admin, sizeof(e->edit.admin), str_of(word));
    free(e->reason);
    e->reason = str_dup_c(request_text(ch->work.request, "reason"));
    e->since_ms = clock_wall_ms();
    return 0;
}

static int apply_state(struct backend_change *ch, struct runtime_edit *e)
{
    return change_set_admin(ch, e, ch->states->admin);
}

/* The next one, which is there. */
static void states_post(struct backend_states *s)
{
    static const struct backend_edit edit = {.apply = apply_state};
    struct request *r = s->request;
    const struct target *t = &s->targets.v[s->i];
    struct backend_change *ch =
        change_new(r, str_dup_c(t->pool), str_dup_c(t->name), backend_ref(t->backend));
    if (!ch) {
        states_free(s);
        return;
    }
    ch->edit = &edit;
    ch->states = s;
    work_post(&ch->work, &request_control(r)->config_queue);
}

static void states_next(struct backend_states *s, bool is_changed)
{
    s->n_changed += is_changed;
    if (++s->i < s->targets.n) {
        states_post(s);
        return;
    }
    const struct op_backends set = {
        .v = s->backends, .n = s->targets.n, .admin = s->admin, .n_changed = s->n_changed};
    s->then(s->request, &set);
    states_free(s);
}

void backends_set(struct request *r, struct targets *t, enum backend_admin admin,
                  void (*then)(struct request *r, const struct op_backends *set))
{
    struct backend_states *s = calloc(1, sizeof(*s));
    struct backend **backends = targets_backends(t);
    if (!s || !backends) {
        free(s);
        free(backends);
        targets_fini(t);
        request_fail(r, -ERR_NOMEM, NULL, NULL);
        return;
    }
    *s = (struct backend_states){
        .request = r, .targets = *t, .backends = backends, .admin = admin, .then = then};
    *t = (struct targets){0};
    states_post(s);
}

void change_start(struct request *r, bool is_rebuilt, const struct backend_edit *edit)
{
    struct target t;
    if (target_find(r, request_text(r, "name"), &t) < 0)
        return;
    change_post(r, STEAL(t.pool), STEAL(t.name), STEAL(t.backend), is_rebuilt, edit);
}

int change_refuse(struct backend_change *ch, int err, char *text)
{
    free(ch->work.error);
    ch->work.error = text;
    return err;
}
