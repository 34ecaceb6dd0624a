/* SPDX-License-Identifier: ISC */
/* user move: some users at a time, as an operation. */
#include "control/backend/backend_list.h"
#include "control/user/user_kick.h"
#include "control/user/user_list.h"
#include "control/user/user_pick.h"
#include "fleet/commands/fleet_gather.h"
#include "ops/move_op.h"
#include "rpc/handlers.h"

#define MOVE_PARALLEL 10
#define MOVE_PARALLEL_MAX 100
#define MOVE_TIMEOUT_MS 60000
#define MOVE_ROWS_MAX 10000 /* shown by a dry run */
#define MOVE_CARRY_MS 600000
#define MOVE_RESUME_MS 30000
#define MOVE_CARRY_END_MS 15000 /* for the client to end the command, and to say so */

struct move_work {
    struct work work;
    struct user_pick pick;
    struct user_move_plan plan;
};

static int move_run(struct work *w)
{
    struct move_work *x = CONTAINER_OF(w, struct move_work, work);
    int err = user_pick_find(w, &x->pick, SIZE_MAX);
    size_t n = json_array_size(x->pick.users);
    if (err == 0 && n == 0)
        err = user_missing(w, json_string_value(json_array_get(x->pick.unknown, 0)));
    if (err == 0 && !request_bool(w->request, "dry_run") &&
        n > request_number(w->request, "max", SIZE_MAX)) {
        w->error = str_printf("%zu users would be moved; nothing was done", n);
        err = -ERR_TOO_MANY;
    }
    return err;
}

static void move_fini(struct work *w)
{
    struct move_work *x = CONTAINER_OF(w, struct move_work, work);
    user_pick_fini(&x->pick);
    user_move_plan_fini(&x->plan);
}

/* ---- the beginning ---- */

/* Why logins would find nobody at the new place now; owned, NULL = they would. */
static char *move_obstacle(struct control *c, const struct user_move_plan *p)
{
    const struct pool_member *m =
        p->backend ? pools_member(control_snapshot(c)->pools, p->pool, p->backend, NULL) : NULL;
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
    size_t n = json_array_size(x->pick.users);
    if (work_fail(w))
        return;
    if (request_bool(w->request, "dry_run")) {
        struct user_kick_spec spec = {.names = x->pick.users, .would = "moved"};
        spec.rows = user_rows(&x->pick, NULL, &spec.n_failed);
        while (json_array_size(spec.rows) > MOVE_ROWS_MAX)
            (void)json_array_remove(spec.rows, json_array_size(spec.rows) - 1);
        user_kick(w->request, &spec);
        return;
    }
    const struct pool_member *to =
        x->plan.backend
            ? pools_member(control_snapshot(c)->pools, x->plan.pool, x->plan.backend, NULL)
            : NULL;
    AUTO_FREE char *note = move_obstacle(c, &x->plan);
    struct op *op;
    struct move_gather gather;
    const char *with = request_text(w->request, "gather");
    if (with && fleet_gather_begin(c->fleet_runs, with, request_text(w->request, "gather_at"),
                                   &x->plan, &gather) < 0) {
        request_fail(w->request, -ERR_NOMEM, NULL, NULL);
        return;
    }
    struct move_op_spec spec = {.plan = &x->plan,
                                .users = x->pick.users,
                                .unknown = x->pick.unknown,
                                .parallel = request_number(w->request, "parallel", MOVE_PARALLEL),
                                .to_host = request_has(w->request, "exec") && to ? to->host : NULL,
                                .resume_ms =
                                    request_number(w->request, "resume_within", MOVE_RESUME_MS),
                                .gather = with ? &gather : NULL,
                                .peer = &w->request->peer};
    if (move_op_new(c, &spec, &op) < 0) {
        if (with)
            gather.over(gather.arg);
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
    if (pool && !pools_find(control_snapshot(request_control(r))->pools, pool)) {
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
    if (request_has(r, "gather") && !request_control(r)->fleet_runs) {
        request_fail(r, -ERR_UNSUPPORTED, NULL, "this proxy is in no fleet");
        return false;
    }
    if (request_has(r, "gather") && (request_has(r, "exec") || request_has(r, "filter"))) {
        request_fail(r, -ERR_UNSUPPORTED, "name the users",
                     "a move on all nodes of a fleet takes names, and carries no mailboxes");
        return false;
    }
    return true;
}

void command_user_move(struct request *r)
{
    if (!move_is_sane(r))
        return;
    struct move_work *x = work_new(r->rpc, r, sizeof(*x), move_run, move_done, move_fini);
    if (!x)
        return;
    /* The file last: it need not be sent for a place that is none. */
    bool is_good = user_pick_begin(r, &x->pick) && move_plan(r, &x->plan) == 0 &&
                   user_pick_take_file(r, &x->pick);
    x->plan.is_server_named = is_good && x->pick.judge && strcmp(x->pick.judge, "http") == 0;
    if (is_good)
        work_post(&x->work, NULL);
    else
        work_free(&x->work);
}
