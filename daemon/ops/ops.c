/* SPDX-License-Identifier: ISC */
/* The list of operations, and what the store has of it. */
#include "ops/ops.h"

#include "backend/backend.h"
#include "base/clock.h"
#include "base/log/log.h"
#include "rpc/json_text.h"
#include "runtime/state.h"

#define OPS_KIND "op"
#define OPS_KEPT_MS (24 * 3600 * UINT64_C(1000))
#define OPS_MAX 1000         /* that are over */
#define OP_USERS_MAX 10000   /* rows of op users */
#define OP_USERS_STORED 2000 /* of them that outlive this engine */
#define OPS_TICK_MS 2000     /* progress is stored so often, where there is some */
#define OPS_GAP 100          /* ids left to an engine that still runs */

struct ops {
    struct control *control;
    struct list list; /* oldest first */
    uint64_t last_id;
    bool is_retired;
    struct loop_timer tick;
};

static const char *const states[] = {
    [OP_RUNNING] = "running",     [OP_DONE] = "done",           [OP_FAILED] = "failed",
    [OP_PARTIAL] = "partly done", [OP_CANCELLED] = "cancelled", [OP_INTERRUPTED] = "interrupted",
};

static void op_free(struct op *op)
{
    if (!op)
        return;
    list_del(&op->link);
    free(op->name);
    free(op->target);
    free(op->text);
    json_decref(op->users);
    free(op);
}

static void op_id(const struct op *op, char dst[24])
{
    (void)snprintf(dst, 24, "%llu", (unsigned long long)op->id);
}

/* ---- JSON ---- */

json_t *op_row(const struct op *op)
{
    char id[24];
    json_t *row = json_object();
    op_id(op, id);
    request_set_text(row, "id", id);
    request_set_text(row, "kind", op->name);
    request_set_text(row, "target", op->target);
    request_set_text(row, "state", states[op->state]);
    request_put_number(row, "done", op->done);
    request_put_number(row, "total", op->total);
    request_put_number(row, "failed", op->failed);
    if (op->total > 0)
        request_put_number(row, "percent",
                           op->done >= op->total ? 100 : op->done * 100 / op->total);
    if (op->state == OP_RUNNING)
        request_set_number(row, "eta", op->eta_ms);
    request_put_number(row, "started", op->started_ms);
    request_set_number(row, "ended", op->ended_ms);
    request_set_text(row, "user", op->peer.user);
    request_set_text(row, "text", op->text);
    request_set_number(row, "engine", op->engine);
    return row;
}

static uint64_t row_number(const json_t *row, const char *name)
{
    json_int_t n = json_integer_value(json_object_get(row, name));
    return n > 0 ? (uint64_t)n : 0;
}

static char *row_text(const json_t *row, const char *name)
{
    const char *text = json_string_value(json_object_get(row, name));
    return str_dup_c(text ? text : "");
}

static enum op_state op_row_state(const json_t *row)
{
    const char *text = json_string_value(json_object_get(row, "state"));
    for (size_t i = 0; text && i < ARRAY_LEN(states); i++)
        if (strcmp(states[i], text) == 0)
            return (enum op_state)i;
    return OP_RUNNING;
}

/* ---- the store ---- */

static bool op_user_has_failed(const json_t *row)
{
    const char *state = json_string_value(json_object_get(row, "state"));
    return !state || (strcmp(state, "moved") != 0 && strcmp(state, "there") != 0);
}

/* What the store keeps of op users: those that failed, and then the others, as far as there is
 * room. */
static json_t *op_users_kept(const struct op *op)
{
    json_t *kept = json_array(), *row;
    size_t i;
    for (int pass = 0; pass < 2; pass++)
        json_array_foreach (op->users, i, row)
            if (op_user_has_failed(row) == (pass == 0) && json_array_size(kept) < OP_USERS_STORED)
                (void)json_array_append(kept, row);
    return kept;
}

struct op_write {
    struct work work;
    uint64_t id;
    char name[24];
    char *json;    /* NULL = remove */
    bool is_start; /* the work begins afterwards */
};

static int op_write_run(struct work *w)
{
    const struct op_write *x = CONTAINER_OF(w, struct op_write, work);
    return store_runtime_set(work_control(w)->host->store, OPS_KIND, x->name, x->json);
}

struct op *op_of_id(const struct ops *o, uint64_t id)
{
    LIST_FOREACH (it, &o->list) {
        struct op *op = LIST_ITEM(it, struct op, link);
        if (op->id == id)
            return op;
    }
    return NULL;
}

static void op_write_done(struct work *w)
{
    const struct op_write *x = CONTAINER_OF(w, struct op_write, work);
    struct op *op = x->is_start ? op_of_id(work_control(w)->ops, x->id) : NULL;
    if (w->err < 0)
        LOG_EVENT(LOG_LEVEL_ERROR, "op-not-stored", KV_STR("op", x->name), KV_ERR("error", w->err));
    if (op && op->state == OP_RUNNING && op->kind->start)
        op->kind->start(op->arg);
}

static void op_write_fini(struct work *w)
{
    free(CONTAINER_OF(w, struct op_write, work)->json);
}

/* One after another: an end is never overtaken by its beginning. */
static int op_write(struct op *op, bool is_kept, bool is_start)
{
    struct control *c = op->ops->control;
    struct op_write *x =
        work_new(&c->rpc, NULL, sizeof(*x), op_write_run, op_write_done, op_write_fini);
    json_t *row = is_kept ? op_row(op) : NULL;
    if (row && op->users && op->state != OP_RUNNING)
        (void)json_object_set_new(row, "users", op_users_kept(op));
    char *json = json_text_take(row);
    if (!x || (is_kept && !json)) {
        LOG_EVENT(LOG_LEVEL_ERROR, "op-not-stored", KV_U64("op", op->id),
                  KV_ERR("error", -ERR_NOMEM));
        free(json);
        work_free(x ? &x->work : NULL);
        return -ERR_NOMEM;
    }
    x->json = json;
    x->id = op->id;
    x->is_start = is_start;
    op_id(op, x->name);
    op->stored = op->done;
    work_post(&x->work, &c->op_queue);
    return 0;
}

static void op_store(struct op *op, bool is_kept)
{
    if (!op->is_unstored)
        (void)!op_write(op, is_kept, false);
}

void op_start(struct op *op)
{
    LOG_EVENT(LOG_LEVEL_NOTICE, "op-started", KV_U64("op", op->id), KV_STR("kind", op->name),
              KV_STR("target", op->target), KV_STR("operator", op->peer.user));
    if ((op->is_unstored || op_write(op, true, true) < 0) && op->kind->start)
        op->kind->start(op->arg);
}

/* ---- a day later ---- */

static void ops_expire(struct ops *o)
{
    uint64_t now = clock_wall_ms();
    size_t n = 0;
    LIST_FOREACH (it, &o->list)
        n += LIST_ITEM(it, struct op, link)->state != OP_RUNNING;
    LIST_FOREACH_SAFE (it, &o->list) {
        struct op *op = LIST_ITEM(it, struct op, link);
        bool is_old = op->ended_ms + OPS_KEPT_MS < now || n > OPS_MAX;
        /* The newest stays: the next id follows it. */
        if (op->state == OP_RUNNING || !is_old || op->id == o->last_id)
            continue;
        n--;
        op_store(op, false);
        op_free(op);
    }
}

uint64_t op_time_left(const struct op *op, uint64_t left)
{
    uint64_t now = clock_wall_ms();
    uint64_t elapsed = now > op->started_ms ? now - op->started_ms : 0;
    return op->done > 0 ? elapsed * left / op->done : 0;
}

void op_refresh(struct op *op)
{
    if (op->state == OP_RUNNING && op->kind && op->kind->refresh)
        op->kind->refresh(op->arg);
}

static void on_ops_tick(struct loop_timer *t)
{
    struct ops *o = CONTAINER_OF(t, struct ops, tick);
    ops_expire(o);
    LIST_FOREACH (it, &o->list) {
        struct op *op = LIST_ITEM(it, struct op, link);
        op_refresh(op);
        if (op->state == OP_RUNNING && op->done != op->stored)
            op_store(op, true);
    }
    loop_timer_set(o->control->host->loop, t, OPS_TICK_MS);
}

/* ---- loading ---- */

struct ops_load {
    struct ops *ops;
    int err;
};

static void load_running(struct op *op)
{
    op->ended_ms = clock_wall_ms();
    free(op->text);
    if (op->ops->control->host->is_successor) {
        /* The engine that began it is still there and stores its end. */
        bool is_upgrade = op->name && strcmp(op->name, OP_UPGRADE) == 0;
        op->is_unstored = true;
        op->state = is_upgrade ? OP_DONE : OP_INTERRUPTED;
        op->text = str_dup_c(is_upgrade ? "the new program serves"
                                        : "it goes on in the program before the upgrade");
        return;
    }
    op->state = OP_INTERRUPTED;
    op->text = str_dup_c("the engine was restarted; what was done stays done, nothing goes on");
    LOG_EVENT(LOG_LEVEL_WARN, "op-interrupted", KV_U64("op", op->id), KV_STR("kind", op->name),
              KV_STR("target", op->target));
}

static struct op *load_op(struct ops *o, uint64_t id, const json_t *row)
{
    struct op *op = calloc(1, sizeof(*op));
    if (!op)
        return NULL;
    list_init(&op->link);
    op->ops = o;
    op->id = id;
    op->name = row_text(row, "kind");
    op->target = row_text(row, "target");
    op->text = row_text(row, "text");
    op->state = op_row_state(row);
    op->done = row_number(row, "done");
    op->total = row_number(row, "total");
    op->failed = row_number(row, "failed");
    op->started_ms = row_number(row, "started");
    op->ended_ms = row_number(row, "ended");
    const char *user = json_string_value(json_object_get(row, "user"));
    (void)str_copy(op->peer.user, sizeof(op->peer.user), str_of(user));
    if (json_is_array(json_object_get(row, "users")))
        op->users = json_incref(json_object_get(row, "users"));
    if (op->state == OP_RUNNING)
        load_running(op);
    if (op->name && op->target && op->text)
        return op;
    op_free(op);
    return NULL;
}

static bool op_load_row(void *arg, const char *kind, const char *name, const char *json,
                        uint64_t at_ms)
{
    struct ops_load *l = arg;
    uint64_t id;
    (void)at_ms;
    if (strcmp(kind, OPS_KIND) != 0)
        return true;
    json_t *row = json_loads(json, 0, NULL);
    if (str_to_u64(str_of(name), INT64_MAX, &id) < 0 || !json_is_object(row)) {
        LOG_EVENT(LOG_LEVEL_WARN, "op-unreadable", KV_STR("op", name));
        json_decref(row);
        return true;
    }
    struct op *op = load_op(l->ops, id, row);
    json_decref(row);
    if (!op) {
        l->err = -ERR_NOMEM;
        return false;
    }
    struct list *at = &l->ops->list; /* in the order of ids */
    while (at->prev != &l->ops->list && LIST_ITEM(at->prev, struct op, link)->id > id)
        at = at->prev;
    list_add_tail(at, &op->link);
    if (id > l->ops->last_id)
        l->ops->last_id = id;
    return true;
}

int ops_new(struct control *c, struct ops **ret, char **ret_error)
{
    struct ops *o = calloc(1, sizeof(*o));
    if (!o)
        return -ERR_NOMEM;
    struct ops_load l = {.ops = o};
    o->control = c;
    list_init(&o->list);
    loop_timer_init(&o->tick, on_ops_tick);
    int err = store_runtime_each(c->host->store, op_load_row, &l);
    if (err == 0)
        err = l.err;
    if (err < 0) {
        *ret_error = str_printf("operations cannot be read: %s", err_text(err));
        ops_free(o);
        return err;
    }
    LIST_FOREACH (it, &o->list) {
        struct op *op = LIST_ITEM(it, struct op, link);
        if (op->state == OP_INTERRUPTED)
            op_store(op, true);
    }
    if (c->host->is_successor)
        o->last_id += OPS_GAP;
    loop_timer_set(c->host->loop, &o->tick, OPS_TICK_MS);
    *ret = o;
    return 0;
}

void ops_free(struct ops *o)
{
    if (!o)
        return;
    loop_timer_cancel(o->control->host->loop, &o->tick);
    LIST_FOREACH_SAFE (it, &o->list) {
        struct op *op = LIST_ITEM(it, struct op, link);
        if (op->state == OP_RUNNING && op->kind)
            op->kind->drop(op->arg);
        op_free(op);
    }
    free(o);
}

void ops_retire(struct ops *o)
{
    o->is_retired = true;
}

const struct op *op_uninterruptible(const struct control *c)
{
    LIST_FOREACH (it, &c->ops->list) {
        const struct op *op = LIST_ITEM(it, struct op, link);
        if (op->state == OP_RUNNING && op->kind && op->kind->is_uninterruptible)
            return op;
    }
    return NULL;
}

/* ---- of other engines ---- */

static void op_take(struct op *op, uint32_t pid, const json_t *row)
{
    char *text = row_text(row, "text");
    op->state = op_row_state(row);
    op->engine = op->state == OP_RUNNING ? pid : 0;
    op->done = row_number(row, "done");
    op->total = row_number(row, "total");
    op->failed = row_number(row, "failed");
    op->eta_ms = row_number(row, "eta");
    op->ended_ms = row_number(row, "ended");
    if (!text)
        return;
    free(op->text);
    op->text = text;
}

void ops_take(struct ops *o, uint32_t pid, const json_t *rows)
{
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        const char *text = json_string_value(json_object_get(row, "id"));
        uint64_t id;
        struct op *op =
            text && str_to_u64(str_of(text), INT64_MAX, &id) == 0 ? op_of_id(o, id) : NULL;
        if (op && !op->kind)
            op_take(op, pid, row);
    }
}

void ops_lose(struct ops *o, uint32_t pid)
{
    LIST_FOREACH (it, &o->list) {
        struct op *op = LIST_ITEM(it, struct op, link);
        if (op->engine != pid)
            continue;
        op->engine = 0;
        op->state = OP_INTERRUPTED;
        op->ended_ms = clock_wall_ms();
        op_say(op, "the program before the upgrade has ended; what was done stays done");
    }
}

json_t *ops_own(struct ops *o, bool is_anew)
{
    json_t *rows = NULL;
    LIST_FOREACH (it, &o->list) {
        struct op *op = LIST_ITEM(it, struct op, link);
        bool is_upgrade = op->name && strcmp(op->name, OP_UPGRADE) == 0;
        if (!op->kind || is_upgrade || op->is_unstored) /* what began since is its own alone */
            continue;
        if (op->is_end_told && !is_anew)
            continue;
        op_refresh(op);
        op->is_end_told = op->state != OP_RUNNING;
        rows = rows ? rows : json_array();
        (void)json_array_append_new(rows, op_row(op));
    }
    return rows;
}

bool op_cancel(struct op *op)
{
    bool is_running = op->state == OP_RUNNING && !op->is_cancelled;
    if (is_running && op->kind && !op->kind->cancel)
        return false;
    if (is_running) {
        op->is_cancelled = true;
        if (op->kind)
            op->kind->cancel(op->arg);
    }
    return is_running;
}

/* ---- for those who run them ---- */

char *op_target(struct backend *const *backends, size_t n)
{
    AUTO_BUF text = BUF_INIT;
    int err = 0;
    for (size_t i = 0; i < n && err == 0; i++)
        err = buf_printf(&text, "%s%s/%s", i > 0 ? ", " : "", backends[i]->pool, backends[i]->name);
    return err == 0 && buf_cstr(&text) ? buf_steal(&text) : NULL;
}

int op_begin(struct control *c, const struct op_kind *kind, const char *target,
             const struct peer *peer, void *arg, struct op **ret)
{
    struct op *op = calloc(1, sizeof(*op));
    if (!op)
        return -ERR_NOMEM;
    list_init(&op->link);
    op->ops = c->ops;
    op->kind = kind;
    op->arg = arg;
    op->name = str_dup_c(kind->name);
    op->target = str_dup_c(target);
    op->text = str_dup_c("");
    op->peer = *peer;
    op->started_ms = clock_wall_ms();
    if (!op->name || !op->target || !op->text) {
        op_free(op);
        return -ERR_NOMEM;
    }
    op->is_unstored = c->ops->is_retired;
    op->id = ++c->ops->last_id;
    list_add_tail(&c->ops->list, &op->link);
    *ret = op;
    return 0;
}

struct op *op_find(struct control *c, const struct op_kind *kind, const char *target)
{
    LIST_FOREACH (it, &c->ops->list) {
        struct op *op = LIST_ITEM(it, struct op, link);
        if (op->state == OP_RUNNING && op->kind == kind && strcmp(op->target, target) == 0)
            return op;
    }
    return NULL;
}

static void op_set_text(struct op *op, const char *fmt, va_list ap)
{
    AUTO_BUF text = BUF_INIT;
    char *copy = buf_vprintf(&text, fmt, ap) == 0 ? buf_steal(&text) : NULL;
    if (!copy)
        return;
    free(op->text);
    op->text = copy;
}

void op_say(struct op *op, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    op_set_text(op, fmt, ap);
    va_end(ap);
}

void op_note_user(struct op *op, json_t *row)
{
    bool is_good = !op_user_has_failed(row);
    size_t n = json_array_size(op->users);
    if (!op->users)
        op->users = json_array();
    /* Those that failed are what is looked for afterwards: some room is theirs alone. */
    if (n < (is_good ? OP_USERS_MAX : 2 * OP_USERS_MAX))
        (void)json_array_append(op->users, row);
    json_decref(row);
}

void op_end(struct op *op, enum op_state state, const char *fmt, ...)
{
    va_list ap;
    op_refresh(op);
    va_start(ap, fmt);
    op_set_text(op, fmt, ap);
    va_end(ap);
    op->state = state;
    op->ended_ms = clock_wall_ms();
    op->arg = NULL;
    LOG_EVENT(LOG_LEVEL_NOTICE, "op-ended", KV_U64("op", op->id), KV_STR("kind", op->name),
              KV_STR("target", op->target), KV_STR("state", states[state]),
              KV_U64("done", op->done), KV_U64("total", op->total), KV_U64("failed", op->failed),
              KV_STR("text", op->text));
    AUTO_FREE char *words =
        str_printf("%s %s: %s: %s", op->name, op->target, states[state], op->text);
    control_event(op->ops->control, "op", NULL, NULL, NULL, NULL, NULL, words);
    op_store(op, true);
}

void op_answer(const struct op *op, struct request *r, uint64_t count, bool is_changed,
               const char *note)
{
    char id[24];
    op_id(op, id);
    AUTO_FREE char *text = str_printf("operation %s%s%s", id, note ? "; " : "", note ? note : "");
    json_t *result = json_pack("{s:I, s:b, s:s}", "count", (json_int_t)count, "changed",
                               (int)is_changed, "op", id);
    request_set_text(result, "message", text);
    r->count = count;
    request_answer(r, result);
}

struct list *ops_all(struct ops *o)
{
    return &o->list;
}
