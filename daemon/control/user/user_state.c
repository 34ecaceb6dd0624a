/* SPDX-License-Identifier: ISC */
/* user lock, unlock, hold, release, kick, remove. */
#include "base/clock.h"
#include "control/user/user_list.h"
#include "control/user/user_names.h"
#include "ops/kill.h"
#include "rpc/handlers.h"
#include "store/store.h"

/* ---- ending the sessions of several users ---- */

struct user_kick {
    struct request *request;
    json_t *names;
    struct buf rows;
    size_t n_running; /* names whose sessions are not over yet */
    struct kill_tally *tally;
    enum reply_kind kind;
    int err;
    bool is_changed, is_counting; /* first all are counted, for max */
};

static void user_kick_next(struct user_kick *k);

/* Nobody was hit: is it because there is no such user? */
static int user_kick_look(struct work *w)
{
    size_t i;
    json_t *name;
    json_array_foreach ((json_t *)request_list(w->request, "name"), i, name) {
        CLEANUP(store_user_fini) struct store_user u = {0};
        int err = store_user_get(work_control(w)->host->store, json_string_value(name), &u);
        if (err < 0)
            return err == -ERR_NO_USER ? user_missing(w, json_string_value(name)) : err;
    }
    return 0;
}

static void user_kick_looked(struct work *w)
{
    if (!work_fail(w))
        request_hit(w->request, 0, false, json_array());
}

static void user_kick_nobody(struct request *r)
{
    if (user_judge(
            request_control(r))) { /* whom others know cannot be told from whom nobody does */
        request_hit(r, 0, false, json_array());
        return;
    }
    struct work *w = work_new(r->rpc, r, sizeof(*w), user_kick_look, user_kick_looked, NULL);
    if (w)
        work_post(w, NULL);
}

static void user_kick_finish(struct user_kick *k, int err)
{
    struct request *r = k->request;
    uint64_t n = k->tally ? k->tally->ended : 0;
    if (err == 0 && n == 0 && !k->is_changed)
        user_kick_nobody(r);
    else if (err == 0)
        kill_answer_changed(r, k->tally, buf_str(&k->rows), k->is_changed);
    else if (err == -ERR_TOO_MANY)
        request_fail(r, err, NULL, "%llu sessions would end; nothing was done",
                     (unsigned long long)n);
    else
        request_fail(r, err, NULL, NULL);
    kill_tally_unref(k->tally);
    json_decref(k->names);
    buf_fini(&k->rows);
    free(k);
}

static void on_user_kicked(void *arg, const struct kill_result *result)
{
    struct user_kick *k = arg;
    int err = result->err;
    if (err == 0 && k->rows.len > 0 && result->rows.n > 0)
        err = buf_append_char(&k->rows, ',');
    if (err == 0)
        err = buf_append_str(&k->rows, result->rows);
    k->err = k->err ? k->err : err;
    if (--k->n_running == 0)
        user_kick_next(k);
}

static int user_kick_one(struct user_kick *k, const char *name)
{
    const struct request *r = k->request;
    struct filter *filter = NULL;
    int err = kill_filter_user(name, &filter);
    const struct kill_spec spec = {.filter = filter,
                                   .is_dry = k->is_counting,
                                   .has_rows = true,
                                   .kind = k->kind,
                                   .text = request_text(r, "text"),
                                   .grace_ms = kill_grace_ms(r),
                                   .tally = k->tally,
                                   .done = on_user_kicked,
                                   .arg = k};
    if (err == 0)
        err = kill_start(request_control(r), &spec);
    filter_unref(filter);
    return err;
}

/* All of them at once: nobody waits for the grace of another. */
static void user_kick_all(struct user_kick *k)
{
    kill_tally_unref(k->tally);
    k->tally = kill_tally_new();
    buf_clear(&k->rows);
    k->err = k->tally ? 0 : -ERR_NOMEM;
    k->n_running = 1; /* until all have begun */
    for (size_t i = 0; i < json_array_size(k->names) && k->err == 0; i++) {
        k->err = user_kick_one(k, json_string_value(json_array_get(k->names, i)));
        k->n_running += k->err == 0;
    }
    if (--k->n_running == 0)
        user_kick_next(k);
}

static void user_kick_next(struct user_kick *k)
{
    const struct request *r = k->request;
    bool is_over =
        request_has(r, "max") && k->tally && k->tally->ended > request_number(r, "max", 0);
    if (k->err < 0 || !k->is_counting || is_over || request_bool(r, "dry_run")) {
        user_kick_finish(k, k->err < 0 ? k->err : is_over && k->is_counting ? -ERR_TOO_MANY : 0);
        return;
    }
    k->is_counting = false;
    user_kick_all(k);
}

void user_kick(struct request *r, const json_t *names, enum reply_kind kind, bool is_changed)
{
    struct user_kick *k = calloc(1, sizeof(*k));
    if (!k) {
        request_fail(r, -ERR_NOMEM, NULL, NULL);
        return;
    }
    *k = (struct user_kick){.request = r,
                            .names = json_copy((json_t *)names),
                            .kind = kind,
                            .is_changed = is_changed,
                            .is_counting = request_has(r, "max") || request_bool(r, "dry_run")};
    user_kick_all(k);
}

void command_user_kick(struct request *r)
{
    user_kick(r, request_list(r, "name"), REPLY_KICKED, false);
}

static void user_kick_name(struct request *r, const char *name, enum reply_kind kind,
                           bool is_changed)
{
    json_t *names = json_pack("[s]", name);
    user_kick(r, names, kind, is_changed);
    json_decref(names);
}

/* ---- states ---- */

static void user_set_state(struct user_edit *e, enum store_user_state state, uint64_t until_ms)
{
    e->is_changed = e->is_changed || e->user.state != state || e->user.state_until_ms != until_ms;
    e->user.state = state;
    e->user.state_until_ms = until_ms;
}

static int apply_lock(struct user_edit *e)
{
    const struct request *r = e->work.request;
    uint64_t until = request_number(r, "until", 0);
    const char *text = request_text(r, "text");
    user_set_state(e, USER_LOCKED, until ? clock_wall_ms() + until : 0);
    return user_edit_text(e, &e->user.state_text, text);
}

static int apply_end(struct user_edit *e, enum store_user_state state)
{
    if (e->user.state != state)
        return 0;
    user_set_state(e, USER_ACTIVE, 0);
    return user_edit_text(e, &e->user.state_text, NULL);
}

static int apply_unlock(struct user_edit *e)
{
    return apply_end(e, USER_LOCKED);
}

static int apply_release(struct user_edit *e)
{
    return apply_end(e, USER_HELD);
}

static int apply_hold(struct user_edit *e)
{
    if (strcmp(user_state_name(&e->user, clock_wall_ms()), "locked") == 0) {
        e->work.error = str_dup_c("the user is locked: unlock first");
        return -ERR_BUSY;
    }
    user_set_state(e, USER_HELD, 0);
    return 0;
}

static void on_user_state(struct work *w)
{
    struct user_edit *e = CONTAINER_OF(w, struct user_edit, work);
    const struct engine_api *h = work_control(w)->host;
    if (work_fail(w))
        return;
    if (e->is_changed) {
        h->forget_user(h->arg, e->user.name);
        if (e->user.state == USER_ACTIVE)
            sessions_wake(work_control(w), e->user.name);
    }
    request_done(w->request, e->is_changed, e->is_changed, NULL);
}

static void on_user_locked(struct work *w)
{
    struct user_edit *e = CONTAINER_OF(w, struct user_edit, work);
    const struct engine_api *h = work_control(w)->host;
    if (work_fail(w))
        return;
    h->forget_user(h->arg, e->user.name);
    /* Logins that wait are judged again and refused. */
    sessions_wake(work_control(w), e->user.name);
    user_kick_name(w->request, e->user.name, REPLY_LOCKED, e->is_changed);
}

void command_user_lock(struct request *r)
{
    if (request_has(r, "until") && request_number(r, "until", 0) == 0) {
        request_fail(r, -ERR_BAD_PARAM, NULL, "until is longer than 0; without it there is no end");
        return;
    }
    user_edit_start(r, USER_EDIT_NAME, apply_lock, on_user_locked);
}

void command_user_unlock(struct request *r)
{
    user_edit_start(r, USER_EDIT_NAME, apply_unlock, on_user_state);
}

void command_user_hold(struct request *r)
{
    user_edit_start(r, USER_EDIT_NAME, apply_hold, on_user_state);
}

void command_user_release(struct request *r)
{
    user_edit_start(r, USER_EDIT_NAME, apply_release, on_user_state);
}

/* ---- user remove ---- */

struct user_remove {
    struct work work;
    json_t *hit; /* names that were there */
    size_t n;    /* names given */
};

static int user_remove_find(struct user_remove *m, struct store *store)
{
    const json_t *names = request_list(m->work.request, "name");
    m->n = json_array_size(names);
    for (size_t i = 0; i < m->n; i++) {
        struct store_user u = {0};
        const char *name = json_string_value(json_array_get(names, i));
        int err = store_user_get(store, name, &u);
        store_user_fini(&u);
        if (err < 0 && err != -ERR_NO_USER)
            return err;
        if (err == 0 && json_array_append_new(m->hit, json_string(name)) != 0)
            return -ERR_NOMEM;
    }
    if (json_array_size(m->hit) > 0)
        return 0;
    return user_missing(&m->work, json_string_value(json_array_get(names, 0)));
}

static int user_remove_run(struct work *w)
{
    struct user_remove *m = CONTAINER_OF(w, struct user_remove, work);
    struct store *store = work_control(w)->host->store;
    int err = user_remove_find(m, store);
    size_t n = json_array_size(m->hit);
    if (err < 0 || request_bool(w->request, "dry_run"))
        return err;
    if (n > request_number(w->request, "max", SIZE_MAX)) {
        w->error = str_printf("%zu users would be removed; nothing was done", n);
        return -ERR_TOO_MANY;
    }
    for (size_t i = 0; i < n && err == 0; i++) {
        err = store_user_remove(store, json_string_value(json_array_get(m->hit, i)));
        err = err == -ERR_NO_USER ? 0 : err;
    }
    return err;
}

static json_t *user_remove_rows(const struct user_remove *m)
{
    size_t i;
    json_t *name, *rows = json_array();
    json_array_foreach (m->hit, i, name)
        (void)json_array_append_new(rows, json_pack("{s:O}", "name", name));
    return rows;
}

static void user_remove_done(struct work *w)
{
    size_t i;
    json_t *name;
    struct user_remove *m = CONTAINER_OF(w, struct user_remove, work);
    const struct engine_api *h = work_control(w)->host;
    bool is_dry = request_bool(w->request, "dry_run");
    if (work_fail(w))
        return;
    if (!is_dry)
        json_array_foreach (m->hit, i, name)
            h->forget_user(h->arg, json_string_value(name));
    if (!is_dry && request_bool(w->request, "kick")) {
        /* max was about users: their sessions end whatever their number. */
        (void)json_object_del(w->request->params, "max");
        user_kick(w->request, m->hit, REPLY_KICKED, true);
        return;
    }
    request_hit(w->request, json_array_size(m->hit), !is_dry, user_remove_rows(m));
}

static void user_remove_fini(struct work *w)
{
    json_decref(CONTAINER_OF(w, struct user_remove, work)->hit);
}

void command_user_remove(struct request *r)
{
    struct user_remove *m =
        work_new(r->rpc, r, sizeof(*m), user_remove_run, user_remove_done, user_remove_fini);
    if (!m)
        return;
    m->hit = json_array();
    work_post(&m->work, &request_control(r)->user_queue);
}
