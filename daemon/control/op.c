/* SPDX-License-Identifier: ISC */
/* op: lists operations, shows and cancels one. */
#include "ops/ops.h"
#include "rpc/handlers.h"
#include "rpc/table_json.h"
#include "runtime/state.h"

void command_op_list(struct request *r)
{
    json_t *rows = json_array();
    struct list *all = ops_all(request_control(r)->ops);
    for (struct list *it = all->prev; it != all; it = it->prev) {
        struct op *op = LIST_ITEM(it, struct op, link);
        op_refresh(op);
        (void)json_array_append_new(rows, op_row(op));
    }
    table_answer(r, rows);
}

/* The operation of parameter "id"; answers when there is none. */
static struct op *op_named(struct request *r)
{
    const char *text = request_text(r, "id");
    uint64_t id;
    struct op *op = str_to_u64(str_of(text), INT64_MAX, &id) == 0
                        ? op_of_id(request_control(r)->ops, id)
                        : NULL;
    if (op)
        return op;
    request_fail(r, -ERR_NO_OP, NULL, "there is no operation %.64s", text);
    return NULL;
}

void command_op_show(struct request *r)
{
    struct op *op = op_named(r);
    if (!op)
        return;
    op_refresh(op);
    request_answer(r, op_row(op));
}

void command_op_cancel(struct request *r)
{
    struct op *op = op_named(r);
    if (!op)
        return;
    if (op->state == OP_RUNNING && op->kind && !op->kind->cancel) {
        request_fail(r, -ERR_UNSUPPORTED, NULL, "a %s cannot be cancelled", op->name);
        return;
    }
    /* That of another engine is told to it before the answer. */
    bool is_running = op_cancel(op);
    request_done(r, is_running, is_running, NULL);
}

/* ---- what clients do for an operation ---- */

void command_op_users(struct request *r)
{
    const struct op *op = op_named(r);
    if (!op)
        return;
    json_t *rows = op->users ? json_copy(op->users) : json_array();
    if (rows && op->state == OP_RUNNING && op->kind && op->kind->users)
        op->kind->users(op->arg, rows);
    table_answer(r, rows);
}

/* The operation of parameter "id", if a client may work for it; answers when it may not. */
static struct op *op_of_client(struct request *r)
{
    struct op *op = op_named(r);
    if (op && op->state == OP_RUNNING && op->kind && op->kind->attend)
        return op;
    if (op)
        request_fail(r, -ERR_UNSUPPORTED, NULL, "operation %llu needs nobody: %s",
                     (unsigned long long)op->id,
                     op->state == OP_RUNNING ? "it runs by itself" : "it is over");
    return NULL;
}

void command_op_resume(struct request *r)
{
    const struct op *op = op_of_client(r);
    if (op)
        op->kind->attend(op->arg, r);
}

void command_op_report(struct request *r)
{
    const struct op *op = op_of_client(r);
    if (op)
        op->kind->report(op->arg, r);
}
