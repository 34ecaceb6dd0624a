/* SPDX-License-Identifier: ISC */
/* Bans that are to be told. */
#include "fleet/limits/ban_queue.h"

#include "base/err.h"

int ban_queue_init(struct ban_queue *q)
{
    *q = (struct ban_queue){.rows = json_array()};
    return q->rows ? 0 : -ERR_NOMEM;
}

static void queue_end_walk(struct ban_queue *q)
{
    if (q->is_walking)
        safe_iter_end(&q->walk);
    q->is_walking = false;
}

void ban_queue_fini(struct ban_queue *q)
{
    queue_end_walk(q);
    json_decref(q->rows);
    q->rows = NULL;
}

static json_t *ban_row(const struct rule *r, bool is_lifted)
{
    struct limit_target target;
    char name[LIMIT_TARGET_TEXT_MAX];
    rule_subject(r, &target);
    limit_target_format(name, &target);
    return is_lifted
               ? json_pack("[s, I]", name, (json_int_t)r->created_ms)
               : json_pack("[s, I, I]", name, (json_int_t)r->created_ms, (json_int_t)r->until_ms);
}

/* A ban that was made then is told by a walk, once the others have been. */
static void queue_leave_out(struct ban_queue *q, uint64_t created_ms)
{
    if (!q->is_left_out || created_ms < q->left_out_since_ms)
        q->left_out_since_ms = created_ms;
    q->is_left_out = true;
}

void ban_queue_add(struct ban_queue *q, const struct rule *ban, bool is_lifted)
{
    if (json_array_size(q->rows) < (is_lifted ? BAN_QUEUE_LIFTED_MAX : BAN_QUEUE_MAX) &&
        json_array_append_new(q->rows, ban_row(ban, is_lifted)) == 0)
        return;
    q->left_out++;
    if (!is_lifted)
        queue_leave_out(q, ban->created_ms);
}

void ban_queue_return(struct ban_queue *q, const json_t *rows)
{
    for (size_t i = json_array_size(rows); i-- > 0;) { /* in front of the others, in their order */
        json_t *row = json_array_get(rows, i);
        bool is_lifted = json_array_size(row) < 3;
        if (json_array_size(q->rows) < (is_lifted ? BAN_QUEUE_LIFTED_MAX : BAN_QUEUE_MAX) &&
            json_array_insert(q->rows, 0, row) == 0)
            continue;
        q->left_out++;
        if (!is_lifted)
            queue_leave_out(q, (uint64_t)json_integer_value(json_array_get(row, 1)));
    }
}

static void queue_walk(struct ban_queue *q, struct rules *bans, uint64_t since_ms)
{
    queue_end_walk(q);
    safe_iter_begin(&q->walk, &bans->walks, &bans->all);
    q->is_walking = true;
    q->walk_since_ms = since_ms;
}

void ban_queue_again(struct ban_queue *q, struct rules *bans)
{
    queue_walk(q, bans, 0);
}

json_t *ban_queue_take(struct ban_queue *q, struct rules *bans, size_t most)
{
    json_t *rows = json_array();
    while (rows && json_array_size(q->rows) > 0 && json_array_size(rows) < most) {
        if (json_array_append(rows, json_array_get(q->rows, 0)) < 0)
            return rows;
        (void)json_array_remove(q->rows, 0);
    }
    if (!q->is_walking && q->is_left_out && json_array_size(q->rows) == 0) {
        q->is_left_out = false;
        queue_walk(q, bans, q->left_out_since_ms);
    }
    for (size_t n = 0; rows && q->is_walking && json_array_size(rows) < most; n++) {
        const struct list *it = n < BAN_QUEUE_LOOKED_AT ? safe_iter_next(&q->walk) : NULL;
        const struct rule *r = it ? LIST_ITEM(it, struct rule, link) : NULL;
        if (!r && n == BAN_QUEUE_LOOKED_AT)
            break;
        if (!r)
            queue_end_walk(q);
        else if (r->is_automatic && !r->by && r->created_ms >= q->walk_since_ms &&
                 json_array_append_new(rows, ban_row(r, false)) < 0)
            queue_leave_out(q, r->created_ms);
    }
    return rows;
}

bool ban_queue_has_more(const struct ban_queue *q)
{
    return json_array_size(q->rows) > 0 || q->is_walking || q->is_left_out;
}
