/* SPDX-License-Identifier: ISC */
/* user move as an operation: some users at a time, one after another. */
#include "ops/move_op.h"

#include "base/container/map.h"
#include "ops/move_exec.h"
#include "runtime/state.h"

#define MOVE_FAILED_SHOWN 1000 /* bytes of names */

struct move {
    struct control *control;
    struct op *op;
    struct user_move_plan plan;
    struct move_exec *exec;    /* mailboxes are carried; NULL */
    struct move_gather gather; /* with other proxies; zeros = alone */
    json_t *users;             /* names */
    size_t next, n_running, parallel;
    struct map running; /* struct user_move_step by user */
    struct buf failed;  /* "name (why), ..." */
    uint64_t n_changed;
    struct loop_deferred more;
    bool is_stopped;
    bool is_lost; /* nobody runs the commands */
};

static void move_free(void *arg)
{
    struct move *m = arg;
    size_t pos = 0;
    struct str key;
    void *step;
    while (map_next(&m->running, &pos, &key, &step))
        user_move_step_free(step);
    map_fini(&m->running);
    move_exec_free(m->exec, NULL);
    if (m->gather.over)
        m->gather.over(m->gather.arg);
    loop_undefer(&m->more);
    buf_fini(&m->failed);
    json_decref(m->users);
    user_move_plan_fini(&m->plan);
    free(m);
}

/* ---- the operation ---- */

static void move_refresh(void *arg)
{
    struct move *m = arg;
    struct op *op = m->op;
    op->eta_ms = op_time_left(op, op->total - op->done);
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

static void move_start(void *arg)
{
    struct move *m = arg;
    loop_again(m->control->host->loop, &m->more);
}

static void move_attend(void *arg, struct request *r)
{
    struct move *m = arg;
    if (m->exec)
        move_exec_attend(m->exec, r);
    else
        request_fail(r, -ERR_UNSUPPORTED, NULL, "this move carries no mailboxes: it needs nobody");
}

static void move_report(void *arg, struct request *r)
{
    struct move *m = arg;
    if (m->exec)
        move_exec_report(m->exec, r);
    else
        request_fail(r, -ERR_UNSUPPORTED, NULL, NULL);
}

static void move_users(void *arg, json_t *rows)
{
    const struct move *m = arg;
    if (m->exec)
        move_exec_rows(m->exec, rows);
}

static const struct op_kind move_kind = {.name = "move",
                                         .start = move_start,
                                         .cancel = move_cancel,
                                         .refresh = move_refresh,
                                         .drop = move_free,
                                         .attend = move_attend,
                                         .report = move_report,
                                         .users = move_users,
                                         .is_uninterruptible = true};

static void move_finish(struct move *m)
{
    struct op *op = m->op;
    enum op_state state = m->is_lost                              ? OP_INTERRUPTED
                          : m->is_stopped && op->done < op->total ? OP_CANCELLED
                          : op->failed == 0                       ? OP_DONE
                          : op->failed == op->done                ? OP_FAILED
                                                                  : OP_PARTIAL;
    AUTO_FREE char *ends = m->plan.tally->told > 0 ? kill_tally_text(m->plan.tally) : NULL;
    op_end(op, state, "%s%llu moved, %llu there already%s%s%s%.*s",
           m->is_lost ? "nobody ran the commands (op resume): " : "",
           (unsigned long long)m->n_changed,
           (unsigned long long)(op->done - op->failed - m->n_changed), ends ? "; sessions: " : "",
           ends ? ends : "", m->failed.len > 0 ? "; failed: " : "", STR_ARG(buf_str(&m->failed)));
    if (m->exec)
        move_exec_free(STEAL(m->exec), op->text);
    move_free(m);
}

static void move_note_failure(struct move *m, const char *user, const char *text)
{
    m->op->failed++;
    if (m->failed.len < MOVE_FAILED_SHOWN)
        (void)!buf_printf(&m->failed, "%s%s (%s)", m->failed.len > 0 ? ", " : "", user, text);
}

/* ---- one after another, some at a time ---- */

/* What op users tells of it. */
static void move_note_row(struct move *m, const struct user_moved *u)
{
    const char *state = u->err == -ERR_CANCELLED ? "cancelled"
                        : u->err < 0             ? "failed"
                        : u->is_changed          ? "moved"
                                                 : "there";
    json_t *row = json_pack("{s:o, s:s}", "user", request_json(str_of(u->user)), "state", state);
    request_set_text(row, "from", u->from);
    request_set_text(row, "to", m->plan.backend);
    request_put_number(row, "held", u->held_ms);
    request_set_text(row, "reason", u->text);
    if (m->exec)
        move_exec_take(m->exec, u->user, row);
    op_note_user(m->op, row);
}

/* A user that was not moved because of the cancelling is not done; one whose mailbox nobody carried
 * any more is tried again when somebody does. */
static void on_moved(void *arg, const struct user_moved *u)
{
    struct move *m = arg;
    (void)map_del(&m->running, str_of(u->user));
    m->n_running--;
    if (u->err == -ERR_AGAIN && json_array_append_new(m->users, json_string(u->user)) == 0) {
        move_exec_take(m->exec, u->user, NULL);
        return;
    }
    if (m->gather.ended)
        m->gather.ended(m->gather.arg, u);
    m->n_changed += u->is_changed;
    m->op->done += u->err != -ERR_CANCELLED;
    if (u->err < 0 && u->err != -ERR_CANCELLED)
        move_note_failure(m, u->user, u->text);
    move_note_row(m, u);
    if (m->exec)
        move_exec_say(m->exec);
    loop_again(m->control->host->loop, &m->more);
}

/* ---- mailboxes ---- */

static void on_carry(void *arg, struct user_move_step *step, const char *user,
                     const struct user_place *from)
{
    struct move *m = arg;
    move_exec_begin(m->exec, step, user, from);
}

static bool on_carry_stop(void *arg, const char *user)
{
    struct move *m = arg;
    return move_exec_stop(m->exec, user);
}

static void on_gather(void *arg, struct user_move_step *step, const char *user)
{
    const struct move *m = arg;
    m->gather.ready(m->gather.arg, step, user);
}

static void on_attended(void *arg)
{
    struct move *m = arg;
    op_say(m->op, "runs");
    loop_again(m->control->host->loop, &m->more);
}

static void move_say_waiting(struct move *m)
{
    op_say(m->op, "waits for mailproxyctl: op resume %llu", (unsigned long long)m->op->id);
}

/* Nobody is held for a client that does not come back; the others wait for it, and not for ever. */
static void on_move_lost(void *arg, bool is_final)
{
    struct move *m = arg;
    move_exec_drop_all(m->exec);
    m->is_lost = is_final;
    m->is_stopped = m->is_stopped || is_final;
    if (is_final)
        loop_again(m->control->host->loop, &m->more);
    else
        move_say_waiting(m);
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
    const struct user_moved u = {.user = user,
                                 .err = err,
                                 .text =
                                     err == -ERR_BUSY ? "is being moved already" : err_text(err)};
    m->op->done++;
    if (m->gather.ended)
        m->gather.ended(m->gather.arg, &u);
    move_note_failure(m, u.user, u.text);
    move_note_row(m, &u);
}

static void on_move_more(struct loop_deferred *d)
{
    struct move *m = CONTAINER_OF(d, struct move, more);
    while (!m->is_stopped && m->n_running < m->parallel && m->next < json_array_size(m->users) &&
           (!m->exec || move_exec_is_attended(m->exec)))
        move_one(m, json_string_value(json_array_get(m->users, m->next++)));
    if (m->n_running == 0 && (m->is_stopped || m->next == json_array_size(m->users)))
        move_finish(m);
}

/* ---- the beginning ---- */

void user_move_plan_fini(struct user_move_plan *p)
{
    free(p->pool);
    free(p->backend);
    free(p->text);
    kill_tally_unref(p->tally);
    *p = (struct user_move_plan){0};
}

static int move_carry(struct move *m, const struct move_op_spec *from)
{
    const struct move_exec_spec spec = {.control = m->control,
                                        .op = m->op,
                                        .to_pool = m->plan.pool,
                                        .to = m->plan.backend,
                                        .to_host = from->to_host,
                                        .hold_ms = from->resume_ms,
                                        .attended = on_attended,
                                        .lost = on_move_lost,
                                        .arg = m};
    m->plan.carry = on_carry;
    m->plan.carry_stop = on_carry_stop;
    move_say_waiting(m);
    return move_exec_new(&spec, &m->exec);
}

int move_op_new(struct control *c, struct move_op_spec *spec, struct op **ret)
{
    struct move *m = calloc(1, sizeof(*m));
    const struct user_move_plan *to = spec->plan;
    AUTO_FREE char *target = to->backend ? str_printf("%s/%s", to->pool, to->backend)
                                         : str_dup_c(to->pool ? to->pool : "routes");
    if (!m || !target || op_begin(c, &move_kind, target, spec->peer, m, &m->op) < 0) {
        free(m);
        return -ERR_NOMEM;
    }
    m->control = c;
    m->plan = *spec->plan;
    *spec->plan = (struct user_move_plan){0};
    m->plan.done = on_moved;
    m->plan.arg = m;
    if (spec->gather) {
        m->gather = *spec->gather;
        m->plan.gather = on_gather;
    }
    m->users = json_incref(spec->users);
    m->parallel = spec->parallel;
    m->more.fn = on_move_more;
    list_init(&m->more.link);
    m->op->total = json_array_size(spec->users) + json_array_size(spec->unknown);
    size_t i;
    json_t *name;
    json_array_foreach (spec->unknown, i, name) {
        const struct user_moved u = {
            .user = json_string_value(name), .err = -ERR_NO_USER, .text = err_text(-ERR_NO_USER)};
        m->op->done++;
        if (m->gather.ended)
            m->gather.ended(m->gather.arg, &u);
        move_note_failure(m, u.user, u.text);
        move_note_row(m, &u);
    }
    *ret = m->op;
    if (!spec->to_host || move_carry(m, spec) == 0)
        return 0;
    op_end(m->op, OP_FAILED, "%s", err_text(-ERR_NOMEM));
    move_free(m);
    return -ERR_NOMEM;
}
