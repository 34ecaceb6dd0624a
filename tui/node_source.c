/* SPDX-License-Identifier: ISC */
/* Questions that are asked again and again: their parameters, and where the answers go. */
#include "tui/node_source.h"

#include <stdio.h>

#include "base/cleanup.h"
#include "base/clock.h"

#define SOURCE_REST 5 /* so many times as long as the answer took, a question rests */

/* ---- questions ---- */

/* A group has what its sessions have in common under that name, too, like a session. */
static void groups_take(const struct node *n, const json_t *result)
{
    size_t i;
    json_t *row;
    json_array_foreach (json_object_get(result, "rows"), i, row) {
        json_t *key = json_object_get(row, "key");
        json_object_set(row, n->groups_by, key);
        json_object_del(row, "by"); /* the title says it */
        if (strcmp(n->groups_by, "net") == 0)
            json_object_set(row, "ip", key);
    }
}

static json_t *pane_params(const struct node *n, enum pane p, struct row_table_part *ret_part)
{
    const struct row_table *t = &n->lists[p].table;
    struct row_table_part part = row_table_want(t);
    char sort[72];
    json_t *params = json_object();
    if (t->filter[0] && commands_arg(t->command, "filter"))
        json_object_set_new(params, "filter", json_string(t->filter));
    if (row_table_can_sort(t) && row_table_sort_text(t, sort)[0])
        json_object_set_new(params, "sort", json_string(sort));
    if (commands_arg(t->command, "limit"))
        json_object_set_new(params, "limit", json_integer((json_int_t)part.limit));
    /* Of a part of a list all rows are counted; an order is needed to begin somewhere. */
    if (row_table_can_skip(t) && (part.offset > 0 || p != PANE_SESSIONS))
        json_object_set_new(params, "offset", json_integer((json_int_t)part.offset));
    if (part.is_from_end)
        json_object_set_new(params, "from_end", json_true());
    if (p == PANE_GROUPS)
        json_object_set_new(params, "by", json_string(n->groups_by));
    if (p == PANE_FAILURES) {
        /* Of all events those that are failed logins, grouped. */
        AUTO_FREE char *text = str_printf("type=failure%s%s", t->filter[0] ? " " : "", t->filter);
        struct str rest = str_of(n->failures_by);
        json_t *by = json_array();
        for (struct str word; (word = str_word(&rest)).n;)
            json_array_append_new(by, json_stringn(word.p, word.n));
        json_object_set_new(params, "filter", json_string(text ? text : "type=failure"));
        json_object_set_new(params, "by", by);
    }
    *ret_part = part;
    return params;
}

/* The command behind a source. */
static const struct command *source_command(enum source_id id)
{
    static const char *const commands[SOURCE_PROTO][2] = {
        [SOURCE_STATUS] = {"system", "status"},   [SOURCE_OPS] = {"op", "list"},
        [SOURCE_HISTORY] = {"stats", "history"},  [SOURCE_STATS] = {"stats", "show"},
        [SOURCE_BACKENDS] = {"backend", "list"},  [SOURCE_LISTENERS] = {"listener", "list"},
        [SOURCE_TOP_USERS] = {"session", "top"},  [SOURCE_TOP_ADDRESSES] = {"session", "top"},
        [SOURCE_TOP_FAILURES] = {"event", "top"},
    };
    if (id >= SOURCE_PANE)
        return pane_command((enum pane)(id - SOURCE_PANE));
    if (id >= SOURCE_PROTO)
        return commands_find("stats", "show");
    return commands_find(commands[id][0], commands[id][1]);
}

static json_t *source_params(struct node *n, enum source_id id, struct row_table_part *ret_part)
{
    if (id >= SOURCE_PANE)
        return pane_params(n, (enum pane)(id - SOURCE_PANE), ret_part);
    if (id >= SOURCE_PROTO)
        return json_pack("{s:s}", "proto", n->overview.protos[id - SOURCE_PROTO].name);
    if (id == SOURCE_OPS)
        return json_pack("{s:s}", "filter", "state=running");
    if (id == SOURCE_TOP_USERS || id == SOURCE_TOP_ADDRESSES)
        return json_pack("{s:s, s:s, s:i}", "by", id == SOURCE_TOP_USERS ? "user" : "ip", "sort",
                         "-sessions", "limit", OVERVIEW_TOP);
    if (id == SOURCE_TOP_FAILURES)
        return json_pack("{s:s, s:[s,s,s], s:s, s:i}", "filter", "type=failure", "by", "ip", "user",
                         "text", "sort", "-last", "limit", OVERVIEW_TOP);
    if (id == SOURCE_HISTORY)
        return json_pack("{s:s, s:i}", "step", overview_span(&n->overview)->step, "limit",
                         (int)overview_wanted(&n->overview, clock_wall_ms()));
    return NULL;
}

/* ---- answers ---- */

static bool ops_have(const json_t *rows, const json_t *op)
{
    size_t i;
    const json_t *row;
    json_array_foreach (rows, i, row)
        if (merge_is_same(row, op, "id") && merge_is_same(row, op, MERGE_PLACE))
            return true;
    return false;
}

/* Those that ran before and do not run any more have ended: somebody may have waited for it. Of a
 * daemon that is away nobody knows: its operations are looked at when it is back. */
static void take_ops(struct node *n, const json_t *result)
{
    const json_t *rows = json_object_get(result, "rows");
    json_t *before = n->ops, *row;
    size_t i;
    n->ops = json_array();
    json_array_extend(n->ops, (json_t *)rows);
    json_array_foreach (before, i, row) {
        if (!json_is_string(json_object_get(row, "id")) || ops_have(rows, row))
            continue;
        if (!node_is_connected(node_of_row(n, row)))
            json_array_append(n->ops, row);
        else if (n->op_ended)
            n->op_ended(n->arg, n, row);
    }
    json_decref(before);
}

void node_expect_op(struct node *n, const struct node *owner, json_t *id)
{
    json_t *row = json_pack("{s:O}", "id", id);
    if (owner != n)
        merge_tag(row, owner->place, owner->label);
    if (!n->ops)
        n->ops = json_array();
    if (ops_have(n->ops, row))
        json_decref(row);
    else
        json_array_append_new(n->ops, row);
}

static void source_take(struct node *n, enum source_id id, const struct node_source *s,
                        const json_t *result)
{
    struct overview *o = &n->overview;
    if (id == SOURCE_PANE + PANE_GROUPS)
        groups_take(n, result);
    if (id >= SOURCE_PANE) {
        row_table_take(&n->lists[id - SOURCE_PANE].table, result, &s->part);
    } else if (id >= SOURCE_PROTO) {
        overview_take(&o->protos[id - SOURCE_PROTO].stats, result);
    } else if (id == SOURCE_HISTORY) {
        overview_take_history(o, result);
    } else if (id == SOURCE_LISTENERS) {
        overview_take_listeners(o, result);
        /* The protocols are known with the listeners: new ones are asked about at once. */
        for (size_t i = 0; i < o->n_protos; i++)
            if (!o->protos[i].stats)
                source_ask(n, (enum source_id)(SOURCE_PROTO + i));
    } else if (id == SOURCE_OPS) {
        take_ops(n, result);
    } else {
        overview_take(id == SOURCE_STATUS          ? &o->status
                      : id == SOURCE_STATS         ? &o->stats
                      : id == SOURCE_TOP_USERS     ? &o->top_users
                      : id == SOURCE_TOP_ADDRESSES ? &o->top_addresses
                      : id == SOURCE_TOP_FAILURES  ? &o->top_failures
                                                   : &o->backends,
                      result);
    }
}

void source_fail(struct node *n, struct node_source *s, const struct command *c,
                 const struct control_client_error *e)
{
    char text[256];
    s->is_absent = e->err == ERR_NO_COMMAND;
    if (s->is_absent)
        snprintf(s->why, sizeof(s->why),
                 "the daemon (version %s) does not know \"%s %s\"; this program is %s", n->version,
                 c->noun, c->verb, MAILPROXY_VERSION);
    else
        (void)str_copy(s->why, sizeof(s->why), str_of(node_error_text(e, text)));
}

/* "mx2: not connected; engine 1234: does not answer" */
static void source_note_unreached(struct node_source *s, const json_t *list)
{
    AUTO_BUF text = BUF_INIT;
    size_t i;
    const json_t *v;
    json_array_foreach (list, i, v) {
        const char *name = json_string_value(json_object_get(v, "name"));
        const char *why = json_string_value(json_object_get(v, "text"));
        (void)!buf_printf(&text, "%s%s: %s", i ? "; " : "", name ? name : "engine",
                          why ? why : "does not answer");
    }
    (void)str_copy(s->unreached, sizeof(s->unreached), buf_str(&text));
}

static void on_source(void *arg, const json_t *result, const struct control_client_error *error)
{
    struct node_source *s = arg;
    struct node *n = s->node;
    enum source_id id = (enum source_id)(s - n->sources);
    bool is_again = s->is_again;
    s->is_waiting = s->is_again = false;
    s->took_ms = clock_ms() - s->asked_ms;
    /* An answer to what is not asked any more: the filter was typed on, the order changed. */
    if (id >= SOURCE_PANE && id < SOURCE_COUNT &&
        n->lists[id - SOURCE_PANE].table.question != n->sources[id].question) {
        is_again = true;
    } else if (json_is_true(json_object_get(result, "again"))) {
        /* The rows of several daemons are not together yet: the next answer is nearer. */
        is_again = true;
    } else if (!result) {
        source_fail(n, s, source_command(id), error);
    } else {
        s->why[0] = '\0';
        source_note_unreached(s, json_object_get(result, "unreached"));
        source_take(n, id, s, result);
        n->refreshed_ms = clock_ms();
        n->refreshed_wall_ms = clock_wall_ms();
    }
    if (is_again)
        source_ask(n, id);
}

void source_ask(struct node *n, enum source_id id)
{
    struct node_source *s = &n->sources[id];
    const struct command *c = source_command(id);
    struct row_table_part part = {0};
    if (s->is_waiting || s->is_absent)
        return;
    if (id >= SOURCE_PANE)
        s->question = n->lists[id - SOURCE_PANE].table.question;
    if (!c) {
        snprintf(s->why, sizeof(s->why), "this program (version %s) knows no such list",
                 MAILPROXY_VERSION);
        return;
    }
    if (c->role > n->role) {
        snprintf(s->why, sizeof(s->why),
                 "to see this needs the role %s; the daemon takes you for %s", role_name(c->role),
                 role_name(n->role));
        return;
    }
    json_t *params = source_params(n, id, &part);
    s->part = part;
    s->asked_ms = clock_ms();
    s->is_urgent = false;
    s->is_waiting = node_ask(n, c->method, params, on_source, s);
}

/* Asks for what is costly: not before some time has gone, and the longer it took, the more. */
void source_ask_again(struct node *n, enum source_id id, uint64_t rest_ms)
{
    const struct node_source *s = &n->sources[id];
    rest_ms = rest_ms > SOURCE_REST * s->took_ms ? rest_ms : SOURCE_REST * s->took_ms;
    if (s->is_urgent || clock_ms() >= s->asked_ms + rest_ms)
        source_ask(n, id);
}
