/* SPDX-License-Identifier: ISC */
/* user lock, unlock, hold, release: a state of one name or of many, written in one transaction. */
#include "base/clock.h"
#include "control/user/user_kick.h"
#include "control/user/user_list.h"
#include "control/user/user_pick.h"
#include "peers/ask.h"
#include "rpc/handlers.h"

#define STATE_NAMES_MAX 20000 /* each has a row of one answer */
#define STATE_TELL_MAX 100    /* names that workers are told one by one */

struct state_work;

/* What a command does to a name. */
struct state_verb {
    const char *done; /* "locked" */
    /* Changes u; *ret_changed: is it different now? -ERR_x with a sentence (owned) in *ret_error.
     */
    int (*apply)(const struct state_work *x, struct store_user *u, bool *ret_changed,
                 char **ret_error);
    bool is_ending; /* sessions that are there end */
};

struct state_work {
    struct work work;
    const struct state_verb *verb;
    struct user_pick pick;
    struct store_user *changed;
    size_t n_changed;
    json_t *rows;
    uint64_t n_failed;
    uint64_t until_ms;
    bool is_batch;
};

/* ---- the states ---- */

static int user_state_set(struct store_user *u, enum store_user_state state, uint64_t until_ms,
                          const char *text, bool *ret_changed)
{
    bool has_text = text && *text;
    bool is_same_text =
        has_text ? u->state_text && strcmp(u->state_text, text) == 0 : !u->state_text;
    *ret_changed = u->state != state || u->state_until_ms != until_ms || !is_same_text;
    u->state = state;
    u->state_until_ms = until_ms;
    if (is_same_text)
        return 0;
    free(u->state_text);
    u->state_text = has_text ? str_dup_c(text) : NULL;
    return has_text && !u->state_text ? -ERR_NOMEM : 0;
}

static int apply_lock(const struct state_work *x, struct store_user *u, bool *ret_changed,
                      char **ret_error)
{
    (void)ret_error;
    return user_state_set(u, USER_LOCKED, x->until_ms, request_text(x->work.request, "text"),
                          ret_changed);
}

static int apply_end(struct store_user *u, enum store_user_state state, bool *ret_changed)
{
    *ret_changed = false;
    return u->state == state ? user_state_set(u, USER_ACTIVE, 0, NULL, ret_changed) : 0;
}

static int apply_unlock(const struct state_work *x, struct store_user *u, bool *ret_changed,
                        char **ret_error)
{
    (void)x;
    (void)ret_error;
    return apply_end(u, USER_LOCKED, ret_changed);
}

static int apply_release(const struct state_work *x, struct store_user *u, bool *ret_changed,
                         char **ret_error)
{
    (void)x;
    (void)ret_error;
    return apply_end(u, USER_HELD, ret_changed);
}

static int apply_hold(const struct state_work *x, struct store_user *u, bool *ret_changed,
                      char **ret_error)
{
    if (store_user_is(u, USER_LOCKED, x->pick.now_ms)) {
        *ret_error = str_dup_c("the user is locked: unlock first");
        return -ERR_BUSY;
    }
    return user_state_set(u, USER_HELD, 0, NULL, ret_changed);
}

/* ---- finding, changing, writing ---- */

/* One name; its row says what becomes of it. -ERR_x: nothing at all is to be done. */
static int state_one(struct state_work *x, json_t *row)
{
    const char *name = json_string_value(json_object_get(row, "name"));
    CLEANUP(store_user_fini) struct store_user u = {0};
    AUTO_FREE char *error = NULL;
    bool is_changed = false;
    int err = store_user_get(work_control(&x->work)->host->store, name, &u);
    if (err == -ERR_NO_USER) { /* known to others, if to anybody */
        u = (struct store_user){.name = str_dup_c(name)};
        err = u.name ? 0 : -ERR_NOMEM;
    }
    if (err == 0)
        err = x->verb->apply(x, &u, &is_changed, &error);
    if (error && x->is_batch) {
        request_set_text(row, "result", error);
        request_set_text(row, "error", err_name(err));
        x->n_failed++;
        return 0;
    }
    if (error)
        x->work.error = STEAL(error);
    if (err < 0)
        return err;
    request_set_text(row, "result", !is_changed ? "already so" : x->verb->done);
    if (is_changed) {
        x->changed[x->n_changed++] = u;
        u = (struct store_user){0};
    }
    return 0;
}

static int state_run(struct work *w)
{
    struct state_work *x = CONTAINER_OF(w, struct state_work, work);
    size_t i, n_added, n_changed;
    json_t *row;
    int err = user_pick_find(w, &x->pick, STATE_NAMES_MAX);
    if (err < 0)
        return err;
    size_t n = json_array_size(x->pick.users);
    if (!x->is_batch && n == 0)
        return user_missing(w, json_string_value(json_array_get(x->pick.unknown, 0)));
    bool is_dry = request_bool(w->request, "dry_run");
    if (!is_dry && n > request_number(w->request, "max", SIZE_MAX)) {
        w->error = str_printf("%zu users would be %s; nothing was done", n, x->verb->done);
        return -ERR_TOO_MANY;
    }
    x->rows = user_rows(&x->pick, NULL, &x->n_failed);
    x->changed = calloc(n + 1, sizeof(*x->changed));
    if (!x->rows || !x->changed)
        return -ERR_NOMEM;
    json_array_foreach (x->rows, i, row)
        if (err == 0 && !json_object_get(row, "error"))
            err = state_one(x, row);
    if (err == 0 && x->n_changed > 0 && !is_dry)
        err = store_user_import(work_control(w)->host->store, x->changed, x->n_changed,
                                STORE_UPSERT, clock_wall_ms(), NULL, NULL, &n_added, &n_changed);
    return err;
}

/* ---- the answer ---- */

static void state_tell(struct state_work *x)
{
    struct control *c = work_control(&x->work);
    const struct engine_api *h = c->host;
    if (x->n_changed > STATE_TELL_MAX) {
        h->forget_user(h->arg, NULL);
        sessions_wake(c, NULL);
        return;
    }
    for (size_t i = 0; i < x->n_changed; i++) {
        h->forget_user(h->arg, x->changed[i].name);
        /* Logins that wait go on, or are refused. */
        if (x->changed[i].state != USER_HELD)
            sessions_wake(c, x->changed[i].name);
    }
}

static void state_answer_rows(struct state_work *x)
{
    struct request *r = x->work.request;
    bool is_dry = request_bool(r, "dry_run");
    size_t n = json_array_size(x->pick.users);
    AUTO_FREE char *text = str_printf("%zu user%s %s%s, %zu changed%s", n, n == 1 ? "" : "s",
                                      is_dry ? "would be " : "", x->verb->done, x->n_changed,
                                      x->n_failed ? "; some failed, see the rows" : "");
    r->count = is_dry ? 0 : x->n_changed;
    request_answer(r, json_pack("{s:o, s:I, s:b, s:I, s:s?}", "rows", STEAL(x->rows), "count",
                                (json_int_t)n, "changed", !is_dry && x->n_changed > 0, "failed",
                                (json_int_t)(is_dry ? 0 : x->n_failed), "message", text));
}

static void state_done(struct work *w)
{
    struct state_work *x = CONTAINER_OF(w, struct state_work, work);
    struct request *r = w->request;
    bool is_dry = request_bool(r, "dry_run");
    if (work_fail(w))
        return;
    if (!is_dry)
        state_tell(x);
    if (x->verb->is_ending) {
        struct user_kick_spec spec = {.names = x->pick.users,
                                      .n_failed = x->n_failed,
                                      .n_changed = is_dry ? 0 : x->n_changed,
                                      .kind = REPLY_LOCKED,
                                      .would = x->verb->done};
        if (x->is_batch)
            spec.rows = STEAL(x->rows);
        user_kick(r, &spec);
    } else if (x->is_batch || is_dry) {
        state_answer_rows(x);
    } else {
        request_done(r, x->n_changed, x->n_changed > 0, NULL);
    }
}

static void state_fini(struct work *w)
{
    struct state_work *x = CONTAINER_OF(w, struct state_work, work);
    for (size_t i = 0; i < x->n_changed; i++)
        store_user_fini(&x->changed[i]);
    free(x->changed);
    json_decref(x->rows);
    user_pick_fini(&x->pick);
}

static void state_command(struct request *r, const struct state_verb *verb)
{
    uint64_t for_ms = request_number(r, "until", 0);
    if (request_has(r, "until") && for_ms == 0) {
        request_fail(r, -ERR_BAD_PARAM, NULL, "until is longer than 0; without it there is no end");
        return;
    }
    if (request_is_over(r, for_ms))
        return;
    struct state_work *x = work_new(r->rpc, r, sizeof(*x), state_run, state_done, state_fini);
    if (!x)
        return;
    x->verb = verb;
    x->until_ms = request_until_ms(r, for_ms);
    x->is_batch = user_pick_is_batch(r);
    if (user_pick_begin(r, &x->pick) && user_pick_take_file(r, &x->pick))
        work_post(&x->work, &request_control(r)->user_queue);
    else
        work_free(&x->work);
}

void command_user_lock(struct request *r)
{
    static const struct state_verb lock = {"locked", apply_lock, .is_ending = true};
    state_command(r, &lock);
}

void command_user_unlock(struct request *r)
{
    static const struct state_verb unlock = {"unlocked", apply_unlock, .is_ending = false};
    state_command(r, &unlock);
}

void command_user_hold(struct request *r)
{
    static const struct state_verb hold = {"put on hold", apply_hold, .is_ending = false};
    state_command(r, &hold);
}

void command_user_release(struct request *r)
{
    static const struct state_verb release = {"released", apply_release, .is_ending = false};
    state_command(r, &release);
}
