/* SPDX-License-Identifier: ISC */
/* user move: some users at a time, as an operation. */
#include "base/clock.h"
#include "control/backend_list.h"
#include "control/handlers.h"
#include "control/user_list.h"
#include "control/user_names.h"
#include "ops/ops.h"
#include "ops/user_move_step.h"
#include "rpc/upload.h"

#define MOVE_PARALLEL 10
#define MOVE_PARALLEL_MAX 100
#define MOVE_TIMEOUT_MS 60000
#define MOVE_ROWS_MAX 10000    /* shown by a dry run */
#define MOVE_FAILED_SHOWN 1000 /* bytes of names */

struct move {
    struct control *control;
    struct op *op;
    struct user_move_plan plan;
    json_t *users; /* names */
    size_t next, n_running, parallel;
    struct map running; /* struct user_move_step by user */
    struct buf failed;  /* "name (why), ..." */
    uint64_t n_changed;
    struct loop_deferred more;
    bool is_stopped;
};

static void plan_fini(struct user_move_plan *p)
{
    free(p->pool);
    free(p->backend);
    free(p->text);
    kill_tally_unref(p->tally);
}

static void move_free(struct move *m)
{
    size_t pos = 0;
    struct str key;
    void *step;
    while (map_next(&m->running, &pos, &key, &step))
        user_move_step_free(step);
    map_fini(&m->running);
    loop_undefer(&m->more);
    buf_fini(&m->failed);
    json_decref(m->users);
    plan_fini(&m->plan);
    free(m);
}

/* ---- the operation ---- */

static void move_refresh(void *arg)
{
    struct move *m = arg;
    struct op *op = m->op;
    uint64_t elapsed = clock_wall_ms() - op->started_ms;
    op->eta_ms = op->done > 0 ? elapsed * (op->total - op->done) / op->done : 0;
    if (m->failed.len > 0)
        op_say(op, "failed: %.*s", STR_ARG(buf_str(&m->failed)));
}

static void move_cancel(void *arg)
{
    struct move *m = arg;
    size_t pos = 0;
    struct str key;
    void *step;
    m->is_stopped = true;
    while (map_next(&m->running, &pos, &key, &step))
        user_move_step_stop(step);
    loop_again(m->control->host->loop, &m->more);
}

static void move_drop(void *arg)
{
    move_free(arg);
}

static void move_start(void *arg)
{
    struct move *m = arg;
    loop_again(m->control->host->loop, &m->more);
}

static const struct op_kind move_kind = {.name = "move",
                                         .start = move_start,
                                         .cancel = move_cancel,
                                         .refresh = move_refresh,
                                         .drop = move_drop,
                                         .is_uninterruptible = true};

static void move_finish(struct move *m)
{
    struct op *op = m->op;
    enum op_state state = m->is_stopped && op->done < op->total ? OP_CANCELLED
                          : op->failed == 0                     ? OP_DONE
                          : op->failed == op->done              ? OP_FAILED
                                                                : OP_PARTIAL;
    AUTO_FREE char *ends = m->plan.tally->told > 0 ? kill_tally_text(m->plan.tally) : NULL;
    op_end(op, state, "%llu moved, %llu there already%s%s%s%.*s", (unsigned long long)m->n_changed,
           (unsigned long long)(op->done - op->failed - m->n_changed), ends ? "; sessions: " : "",
           ends ? ends : "", m->failed.len > 0 ? "; failed: " : "", STR_ARG(buf_str(&m->failed)));
    move_free(m);
}

static void move_note_failure(struct move *m, const char *user, const char *text)
{
    m->op->failed++;
    if (m->failed.len < MOVE_FAILED_SHOWN)
        (void)!buf_printf(&m->failed, "%s%s (%s)", m->failed.len > 0 ? ", " : "", user, text);
}

/* ---- one after another, some at a time ---- */

/* A user that was not moved because of the cancelling is not done. */
static void on_moved(void *arg, const char *user, int err, const char *text, bool is_changed)
{
    struct move *m = arg;
    (void)map_del(&m->running, str_of(user));
    m->n_running--;
    m->n_changed += is_changed;
    m->op->done += err != -ERR_CANCELLED;
    if (err < 0 && err != -ERR_CANCELLED)
        move_note_failure(m, user, text);
    loop_again(m->control->host->loop, &m->more);
}

static void move_one(struct move *m, const char *user)
{
    struct user_move_step *step;
    if (map_get(&m->running, str_of(user))) { /* named twice */
        m->op->done++;
        return;
    }
    int err = user_move_step_start(m->control, &m->plan, user, &step);
    if (err == 0 && map_put(&m->running, str_of(user), step, NULL) < 0) {
        user_move_step_free(step);
        err = -ERR_NOMEM;
    }
    if (err == 0) {
        m->n_running++;
        return;
    }
    m->op->done++;
    move_note_failure(m, user, err == -ERR_BUSY ? "is being moved already" : err_text(err));
}

static void on_move_more(struct loop_deferred *d)
{
    struct move *m = CONTAINER_OF(d, struct move, more);
    while (!m->is_stopped && m->n_running < m->parallel && m->next < json_array_size(m->users))
        move_one(m, json_string_value(json_array_get(m->users, m->next++)));
    if (m->n_running == 0 && (m->is_stopped || m->next == json_array_size(m->users)))
        move_finish(m);
}

/* ---- which users ---- */

struct move_work {
    struct work work;
    struct filter *filter;
    struct buf from; /* names of a file, one a line */
    struct user_move_plan plan;
    json_t *users, *unknown;
    struct user_names names; /* with sessions; for the filter */
    const char *judge;       /* user_judge */
    uint64_t now_ms;
};

static bool move_take(void *arg, const struct store_user *u, uint64_t sessions)
{
    struct move_work *x = arg;
    json_t *row = user_row(u, x->judge, x->now_ms);
    if (row)
        request_put_number(row, "sessions", sessions);
    bool is_match = row && filter_match(x->filter, command_row_get, row);
    json_decref(row);
    if (is_match && json_array_append_new(x->users, json_string(u->name)) != 0)
        x->work.err = -ERR_NOMEM;
    return x->work.err == 0;
}

static int move_find_name(struct move_work *x, const char *name)
{
    CLEANUP(store_user_fini) struct store_user u = {0};
    int err = store_user_get(work_control(&x->work)->host->store, name, &u);
    if (err < 0 && err != -ERR_NO_USER)
        return err;
    json_t *list = err == 0 || x->judge ? x->users : x->unknown;
    return json_array_append_new(list, json_string(name)) == 0 ? 0 : -ERR_NOMEM;
}

static int move_find_names(struct move_work *x)
{
    const json_t *names = request_list(x->work.request, "name");
    int err = 0;
    for (size_t i = 0; i < json_array_size(names) && err == 0; i++)
        err = move_find_name(x, json_string_value(json_array_get(names, i)));
    return err;
}

/* Empty lines and those that begin with # are none. */
static int move_find_lines(struct move_work *x)
{
    struct str rest = buf_str(&x->from);
    int err = 0;
    while (rest.n > 0 && err == 0) {
        struct str line = str_trim(str_cut(&rest, '\n'));
        if (line.n == 0 || line.p[0] == '#')
            continue;
        AUTO_FREE char *name = str_dup(line);
        err = name ? move_find_name(x, name) : -ERR_NOMEM;
    }
    return err;
}

static int move_run(struct work *w)
{
    struct move_work *x = CONTAINER_OF(w, struct move_work, work);
    int err = move_find_names(x);
    if (err == 0)
        err = move_find_lines(x);
    if (err == 0 && x->filter)
        err = user_names_each(work_control(w)->host->store, &x->names, NULL, move_take, x);
    size_t n = json_array_size(x->users);
    if (err == 0 && n == 0)
        err = json_array_size(x->unknown) == 0
                  ? -ERR_NO_MATCH
                  : user_missing(w, json_string_value(json_array_get(x->unknown, 0)));
    if (err == 0 && !request_bool(w->request, "dry_run") &&
        n > request_number(w->request, "max", SIZE_MAX)) {
        w->error = str_printf("%zu users would be moved; nothing was done", n);
        err = -ERR_TOO_MANY;
    }
    return err < 0 ? err : w->err;
}

static void move_fini(struct work *w)
{
    struct move_work *x = CONTAINER_OF(w, struct move_work, work);
    filter_unref(x->filter);
    user_names_fini(&x->names);
    buf_fini(&x->from);
    plan_fini(&x->plan);
    json_decref(x->users);
    json_decref(x->unknown);
}

/* ---- the beginning ---- */

static char *move_target(const struct user_move_plan *p)
{
    if (p->backend)
        return str_printf("%s/%s", p->pool, p->backend);
    return str_dup_c(p->pool ? p->pool : "routes");
}

static struct move *move_new(struct move_work *x)
{
    struct control *c = work_control(&x->work);
    struct request *r = x->work.request;
    struct move *m = calloc(1, sizeof(*m));
    AUTO_FREE char *target = move_target(&x->plan);
    if (!m || !target || op_begin(c, &move_kind, target, &r->peer, m, &m->op) < 0) {
        free(m);
        return NULL;
    }
    m->control = c;
    m->plan = x->plan;
    x->plan = (struct user_move_plan){0};
    m->plan.done = on_moved;
    m->plan.arg = m;
    m->users = STEAL(x->users);
    m->parallel = request_number(r, "parallel", MOVE_PARALLEL);
    m->more.fn = on_move_more;
    list_init(&m->more.link);
    m->op->total = json_array_size(m->users) + json_array_size(x->unknown);
    return m;
}

static json_t *move_rows(const json_t *users)
{
    size_t i;
    json_t *name, *rows = json_array();
    json_array_foreach ((json_t *)users, i, name)
        if (i < MOVE_ROWS_MAX)
            (void)json_array_append_new(rows, json_pack("{s:O}", "name", name));
    return rows;
}

/* Why logins would find nobody at the new place now; owned, NULL = they would. */
static char *move_obstacle(struct control *c, const struct user_move_plan *p)
{
    const struct pool_member *m =
        p->backend ? pools_member(control_setup(c)->pools, p->pool, p->backend, NULL) : NULL;
    if (!m)
        return NULL;
    enum backend_admin admin = atomic_load(&m->backend->admin);
    if (admin != BACKEND_READY)
        return str_printf("%s is set to %s", p->backend, backend_admin_name(admin));
    if (atomic_load(&m->backend->health) == BACKEND_DOWN)
        return str_printf("%s is down", p->backend);
    return NULL;
}

static void move_done(struct work *w)
{
    struct move_work *x = CONTAINER_OF(w, struct move_work, work);
    size_t i, n = json_array_size(x->users);
    json_t *name;
    if (work_fail(w))
        return;
    if (request_bool(w->request, "dry_run")) {
        request_hit(w->request, n, false, move_rows(x->users));
        return;
    }
    struct move *m = move_new(x);
    if (!m) {
        request_fail(w->request, -ERR_NOMEM, NULL, NULL);
        return;
    }
    json_array_foreach (x->unknown, i, name) {
        m->op->done++;
        move_note_failure(m, json_string_value(name), err_text(-ERR_NO_USER));
    }
    AUTO_FREE char *note = move_obstacle(m->control, &m->plan);
    op_start(m->op);
    op_answer(m->op, w->request, n, true, note);
}

/* The new place of a request; answers when it is none. */
static int move_plan(struct request *r, struct user_move_plan *p)
{
    const char *to = request_text(r, "to"), *pool = request_text(r, "pool");
    if ((to != NULL) == (pool != NULL)) {
        request_fail(r, to ? -ERR_BAD_PARAM : -ERR_MISSING_PARAM, "to",
                     "say where to: either to a backend or to a pool");
        return -ERR_MISSING_PARAM;
    }
    if (pool && !pools_find(control_setup(request_control(r))->pools, pool)) {
        pool_fail(r, pool);
        return -ERR_NO_POOL;
    }
    if (to && *to) {
        struct target t;
        int err = target_find(r, to, &t);
        if (err < 0)
            return err;
        bool is_member = t.member != NULL;
        p->pool = STEAL(t.pool);
        p->backend = STEAL(t.name);
        target_fini(&t);
        if (!is_member) {
            request_fail(r, -ERR_NO_BACKEND, NULL, "%s is in no pool: no user can be pinned to it",
                         p->backend);
            return -ERR_NO_BACKEND;
        }
    }
    AUTO_FREE char *obstacle = move_obstacle(request_control(r), p);
    if (obstacle && !request_bool(r, "force")) {
        request_fail(r, -ERR_BUSY, "--force moves them all the same", "%s: no login would be served there",
                     obstacle);
        return -ERR_BUSY;
    }
    if (pool)
        p->pool = str_dup_c(pool);
    p->text = str_dup_c(request_text(r, "text"));
    p->timeout_ms = request_number(r, "timeout", MOVE_TIMEOUT_MS);
    p->grace_ms = kill_grace_ms(r);
    if (!request_has(r, "grace") && p->grace_ms > p->timeout_ms / 2)
        p->grace_ms = p->timeout_ms / 2; /* else a session could end when the move is given up */
    p->tally = kill_tally_new();
    if (!p->tally) {
        request_fail(r, -ERR_NOMEM, NULL, NULL);
        return -ERR_NOMEM;
    }
    return 0;
}

static bool move_is_sane(struct request *r)
{
    uint64_t parallel = request_number(r, "parallel", MOVE_PARALLEL);
    if (parallel == 0 || parallel > MOVE_PARALLEL_MAX) {
        request_fail(r, -ERR_BAD_PARAM, NULL, "parallel is 1 to %d", MOVE_PARALLEL_MAX);
        return false;
    }
    if (!request_has(r, "name") && !request_has(r, "filter") && !request_has(r, "from")) {
        request_fail(r, -ERR_MISSING_PARAM, NULL, "say which users: names, a filter or a file");
        return false;
    }
    return true;
}

/* What of the request takes more than a look; answers when it is wrong, or not the last part. */
static bool move_read(struct move_work *x)
{
    struct request *r = x->work.request;
    size_t n;
    const struct filter_field *fields = command_filter_fields(command_find("user.list"), &n);
    x->users = json_array();
    x->unknown = json_array();
    x->now_ms = clock_wall_ms();
    x->judge = user_judge(request_control(r));
    if (request_has(r, "filter") && user_names_take(request_control(r), &x->names) < 0) {
        request_fail(r, -ERR_NOMEM, NULL, NULL);
        return false;
    }
    return request_filter(r, "filter", fields, n, &x->filter) == 0 && move_plan(r, &x->plan) == 0 &&
           (!request_has(r, "from") || upload_take(r, "from", &x->from));
}

void command_user_move(struct request *r)
{
    if (!move_is_sane(r))
        return;
    struct move_work *x = work_new(r->rpc, r, sizeof(*x), move_run, move_done, move_fini);
    if (!x)
        return;
    if (move_read(x))
        work_post(&x->work, NULL);
    else
        work_free(&x->work);
}
