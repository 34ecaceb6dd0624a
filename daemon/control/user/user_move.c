/* SPDX-License-Identifier: ISC */
/* user move: some users at a time, as an operation. */
#include "base/clock.h"
#include "control/backend/backend_list.h"
#include "control/user/user_list.h"
#include "control/user/user_names.h"
#include "ops/move_op.h"
#include "rpc/handlers.h"
#include "rpc/upload.h"

#define MOVE_PARALLEL 10
#define MOVE_PARALLEL_MAX 100
#define MOVE_TIMEOUT_MS 60000
#define MOVE_ROWS_MAX 10000 /* shown by a dry run */
#define MOVE_CARRY_MS 600000
#define MOVE_RESUME_MS 30000
#define MOVE_CARRY_END_MS 15000 /* for the client to end the command, and to say so */

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
    const json_t *names = request_list(w->request, "name");
    int err = 0;
    for (size_t i = 0; i < json_array_size(names) && err == 0; i++)
        err = move_find_name(x, json_string_value(json_array_get(names, i)));
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
    user_move_plan_fini(&x->plan);
    json_decref(x->users);
    json_decref(x->unknown);
}

/* ---- the beginning ---- */

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
    struct control *c = work_control(w);
    size_t n = json_array_size(x->users);
    if (work_fail(w))
        return;
    if (request_bool(w->request, "dry_run")) {
        json_t *rows = json_array();
        for (size_t i = 0; i < n && i < MOVE_ROWS_MAX; i++)
            (void)json_array_append_new(rows,
                                        json_pack("{s:O}", "name", json_array_get(x->users, i)));
        request_hit(w->request, n, false, rows);
        return;
    }
    const struct pool_member *to =
        x->plan.backend ? pools_member(control_setup(c)->pools, x->plan.pool, x->plan.backend, NULL)
                        : NULL;
    AUTO_FREE char *note = move_obstacle(c, &x->plan);
    struct op *op;
    struct move_op_spec spec = {.plan = &x->plan,
                                .users = x->users,
                                .unknown = x->unknown,
                                .parallel = request_number(w->request, "parallel", MOVE_PARALLEL),
                                .to_host = request_has(w->request, "exec") && to ? to->host : NULL,
                                .resume_ms =
                                    request_number(w->request, "resume_within", MOVE_RESUME_MS),
                                .peer = &w->request->peer};
    if (move_op_new(c, &spec, &op) < 0) {
        request_fail(w->request, -ERR_NOMEM, NULL, NULL);
        return;
    }
    op_start(op);
    op_answer(op, w->request, n, true, note);
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
        request_fail(r, -ERR_BUSY, "--force moves them all the same",
                     "%s: no login would be served there", obstacle);
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
    p->carry_ms = request_number(r, "exec_timeout", MOVE_CARRY_MS) + MOVE_CARRY_END_MS;
    return 0;
}

static bool move_is_sane(struct request *r)
{
    uint64_t parallel = request_number(r, "parallel", MOVE_PARALLEL);
    if (parallel == 0 || parallel > MOVE_PARALLEL_MAX) {
        request_fail(r, -ERR_BAD_PARAM, NULL, "parallel is 1 to %d", MOVE_PARALLEL_MAX);
        return false;
    }
    if (request_has(r, "exec") && !*(request_text(r, "to") ? request_text(r, "to") : "")) {
        request_fail(r, -ERR_MISSING_PARAM, "to",
                     "a mailbox is carried to one backend: say which, with to");
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
    x->plan.is_server_named = x->judge && strcmp(x->judge, "http") == 0;
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
