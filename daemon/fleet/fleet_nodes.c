/* SPDX-License-Identifier: ISC */
/* Reading who is in a fleet. */
#include "fleet/fleet_nodes.h"

#include <hiredis/hiredis.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/str.h"

static struct str reply_str(const redisReply *r)
{
    return r->type == REDIS_REPLY_STRING || r->type == REDIS_REPLY_STATUS ? str_n(r->str, r->len)
                                                                          : STR_NULL;
}

static uint64_t reply_u64(const redisReply *r)
{
    uint64_t v = 0;
    if (r->type == REDIS_REPLY_INTEGER)
        return r->integer > 0 ? (uint64_t)r->integer : 0;
    return str_to_u64(reply_str(r), INT64_MAX, &v) == 0 ? v : 0;
}

/* ---- one engine ---- */

#define TEXT(member)                                                                               \
    {                                                                                              \
#member, offsetof(struct fleet_node, member), sizeof(((struct fleet_node *)NULL)->member)  \
    }
#define NUMBER(name, member)                                                                       \
    {                                                                                              \
        name, offsetof(struct fleet_node, member), 0                                               \
    }
static const struct node_field {
    const char *name;
    size_t offset, size; /* size 0 = a number */
} node_fields[] = {
    TEXT(version),
    TEXT(address),
    TEXT(state),
    TEXT(load),
    TEXT(proof),
    TEXT(sync),
    NUMBER("started", started_ms),
    NUMBER("sessions", sessions),
    NUMBER("users", users),
    NUMBER("schema", schema),
};

static void node_set(struct fleet_node *n, struct str name, const redisReply *value)
{
    for (size_t i = 0; i < ARRAY_LEN(node_fields); i++) {
        const struct node_field *f = &node_fields[i];
        void *member = (char *)n + f->offset;
        if (!str_eq(name, str_of(f->name)))
            continue;
        if (f->size > 0) {
            struct str text = reply_str(value);
            (void)str_copy(member, f->size, str_is_utf8(text) ? text : STR("?"));
        } else {
            *(uint64_t *)member = reply_u64(value);
        }
    }
}

/* [holder, seen, field, value, ...]; false = it is none. */
static bool node_read(const redisReply *r, struct fleet_node *ret)
{
    *ret = (struct fleet_node){.seen_ms = 0};
    if (r->type != REDIS_REPLY_ARRAY || r->elements < 2)
        return false;
    struct str holder = reply_str(r->element[0]), rest = holder;
    if (holder.n == 0 || holder.n >= sizeof(ret->holder) || !str_is_utf8(holder) ||
        str_has_crlf_nul(holder))
        return false;
    (void)str_copy(ret->holder, sizeof(ret->holder), holder);
    (void)str_copy(ret->name, sizeof(ret->name), str_cut(&rest, '#'));
    ret->seen_ms = reply_u64(r->element[1]);
    for (size_t i = 2; i + 1 < r->elements; i += 2)
        node_set(ret, reply_str(r->element[i]), r->element[i + 1]);
    return *ret->name != '\0';
}

/* ---- all of them ---- */

static bool node_serves(const struct fleet_node *n)
{
    return strcmp(n->state, "finishing") != 0;
}

/* By name; of one name who serves, then who was heard of last. */
static int node_order(const void *x, const void *y)
{
    const struct fleet_node *a = x, *b = y;
    int order = strcmp(a->name, b->name);
    if (order == 0)
        order = (int)node_serves(b) - (int)node_serves(a);
    if (order == 0)
        order = (a->seen_ms < b->seen_ms) - (a->seen_ms > b->seen_ms);
    return order ? order : strcmp(a->holder, b->holder);
}

int fleet_nodes_read(const struct redisReply *reply, struct fleet_nodes *ret)
{
    *ret = (struct fleet_nodes){.n = 0};
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 3)
        return -ERR_PROTOCOL;
    ret->now_ms = reply_u64(reply->element[0]);
    (void)str_copy(ret->epoch, sizeof(ret->epoch), reply_str(reply->element[1]));
    ret->schema = reply_u64(reply->element[2]);
    size_t most = reply->elements - 3;
    most = most < FLEET_NODES_MAX ? most : FLEET_NODES_MAX;
    ret->v = calloc(most + 1, sizeof(*ret->v));
    if (!ret->v)
        return -ERR_NOMEM;
    for (size_t i = 0; i < most; i++)
        if (node_read(reply->element[i + 3], &ret->v[ret->n]))
            ret->n++;
    qsort(ret->v, ret->n, sizeof(*ret->v), node_order);
    return 0;
}

void fleet_nodes_fini(struct fleet_nodes *n)
{
    free(n->v);
    *n = (struct fleet_nodes){.n = 0};
}

void fleet_nodes_follow(struct fleet_nodes *n, const struct fleet_nodes *before,
                        uint64_t heartbeat_ms)
{
    bool is_gap = before->now_ms > 0 && n->now_ms > before->now_ms + 2 * heartbeat_ms;
    n->gap_from_ms = is_gap ? before->now_ms : before->gap_from_ms;
    n->gap_to_ms = is_gap ? n->now_ms : before->gap_to_ms;
}

uint64_t fleet_nodes_silence_ms(const struct fleet_nodes *n, const struct fleet_node *of)
{
    uint64_t silence_ms = of->seen_ms < n->now_ms ? n->now_ms - of->seen_ms : 0;
    uint64_t from_ms = of->seen_ms > n->gap_from_ms ? of->seen_ms : n->gap_from_ms;
    uint64_t gap_ms = n->gap_to_ms > from_ms ? n->gap_to_ms - from_ms : 0;
    return silence_ms > gap_ms ? silence_ms - gap_ms : 0;
}

const struct fleet_node *fleet_nodes_find(const struct fleet_nodes *n, const char *name)
{
    for (size_t i = 0; i < n->n; i++)
        if (strcmp(n->v[i].name, name) == 0)
            return &n->v[i];
    return NULL;
}

bool fleet_nodes_is_first(const struct fleet_nodes *n, size_t i)
{
    return i == 0 || strcmp(n->v[i - 1].name, n->v[i].name) != 0;
}
