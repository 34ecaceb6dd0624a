/* SPDX-License-Identifier: ISC */
/* Asking one daemon for what is on the screen. */
#include "tui/node.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/clock.h"

#define NODE_HIDDEN_MS 5000
#define NODE_RARELY_MS 5000
#define NODE_EVENTS_JOINED 500 /* an end joins a failure that is among so many before it */
#define NODE_REST 5            /* so many times as long as the answer took, a question rests */

/* ---- roles ---- */

bool node_may(const struct node *n, enum role role)
{
    return role == ROLE_VIEWER || (!n->is_read_only && role <= n->role);
}

const char *node_may_not(const struct node *n, enum role role, char dst[128])
{
    if (n->is_read_only)
        snprintf(dst, 128, "started with -r: nothing is changed from here");
    else
        snprintf(dst, 128, "this needs the role %s; the daemon takes you for %s", role_name(role),
                 role_name(n->role));
    return dst;
}

const char *node_error_text(const struct client_error *e, char dst[256])
{
    snprintf(dst, 256, "%s%s%s%s", e->text ? e->text : "failed", e->hint ? " (" : "",
             e->hint ? e->hint : "", e->hint ? ")" : "");
    return dst;
}

/* ---- one daemon or several ---- */

bool node_ask(struct node *n, const char *method, json_t *params, rpc_client_answer_fn *fn,
              void *arg)
{
    return n->cluster ? cluster_ask(n->cluster, method, params, fn, arg)
                      : rpc_client_ask(n->rpc, method, params, fn, arg);
}

void node_forget(struct node *n, rpc_client_answer_fn *fn, const void *arg)
{
    if (n->cluster)
        cluster_forget(n->cluster, fn, arg);
    else
        rpc_client_forget(n->rpc, fn, arg);
}

size_t node_pending(const struct node *n)
{
    return n->cluster ? cluster_pending(n->cluster) : rpc_client_pending(n->rpc);
}

bool node_is_connected(const struct node *n)
{
    return n->cluster ? cluster_connected(n->cluster) > 0 : rpc_client_hello(n->rpc) != NULL;
}

struct node *node_of_row(struct node *n, const json_t *row)
{
    const json_t *place = json_object_get(row, MERGE_PLACE);
    size_t i = (size_t)json_integer_value(place);
    return n->cluster && json_is_integer(place) && i < n->n_members ? &n->members[i] : n;
}

/* ---- questions ---- */

/* Of all events those that are failed logins, grouped. */
static void failures_params(const struct node *n, json_t *params, const char *filter)
{
    AUTO_FREE char *text = str_printf("type=failure%s%s", filter[0] ? " " : "", filter);
    struct str rest = str_of(n->failures_by);
    json_t *by = json_array();
    for (struct str word; (word = str_word(&rest)).n;)
        json_array_append_new(by, json_stringn(word.p, word.n));
    json_object_set_new(params, "filter", json_string(text ? text : "type=failure"));
    json_object_set_new(params, "by", by);
}

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

static json_t *pane_params(const struct node *n, enum pane p, struct table_part *ret_part)
{
    const struct table *t = &n->lists[p].table;
    struct table_part part = table_want(t);
    char sort[72];
    json_t *params = json_object();
    if (t->filter[0] && commands_arg(t->command, "filter"))
        json_object_set_new(params, "filter", json_string(t->filter));
    if (table_can_sort(t) && table_sort_text(t, sort)[0])
        json_object_set_new(params, "sort", json_string(sort));
    if (commands_arg(t->command, "limit"))
        json_object_set_new(params, "limit", json_integer((json_int_t)part.limit));
    /* Of a part of a list all rows are counted; an order is needed to begin somewhere. */
    if (table_can_skip(t) && (part.offset > 0 || p != PANE_SESSIONS))
        json_object_set_new(params, "offset", json_integer((json_int_t)part.offset));
    if (part.is_from_end)
        json_object_set_new(params, "from_end", json_true());
    if (p == PANE_GROUPS)
        json_object_set_new(params, "by", json_string(n->groups_by));
    if (p == PANE_FAILURES)
        failures_params(n, params, t->filter);
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

static json_t *source_params(struct node *n, enum source_id id, struct table_part *ret_part)
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

static void source_ask(struct node *n, enum source_id id);

/* ---- answers ---- */

/* Whether two rows have the same in a member; nothing is the same as nothing. */
static bool row_is_same(const json_t *a, const json_t *b, const char *member)
{
    const json_t *here = json_object_get(a, member), *there = json_object_get(b, member);
    return json_equal(here, there) || (!here && !there);
}

static bool ops_have(const json_t *rows, const json_t *op)
{
    size_t i;
    const json_t *row;
    json_array_foreach (rows, i, row)
        if (row_is_same(row, op, "id") && row_is_same(row, op, MERGE_PLACE))
            return true;
    return false;
}

/* Those that ran before and do not run any more have ended: somebody may have waited for it. */
static void take_ops(struct node *n, const json_t *result)
{
    const json_t *rows = json_object_get(result, "rows");
    size_t i;
    const json_t *row;
    json_array_foreach (n->ops, i, row)
        if (json_is_string(json_object_get(row, "id")) && n->op_ended && !ops_have(rows, row))
            n->op_ended(n->arg, n, row);
    overview_take(&n->ops, result);
}

static void source_take(struct node *n, enum source_id id, const struct source *s,
                        const json_t *result)
{
    struct overview *o = &n->overview;
    if (id == SOURCE_PANE + PANE_GROUPS)
        groups_take(n, result);
    if (id >= SOURCE_PANE) {
        table_take(&n->lists[id - SOURCE_PANE].table, result, &s->part);
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

static void source_fail(struct node *n, struct source *s, const struct command *c,
                        const struct client_error *e)
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

bool node_is_looking(const struct node *n, enum pane p)
{
    const struct source *s = &n->sources[SOURCE_PANE + p];
    const struct table *t = &n->lists[p].table;
    if (!s->is_waiting)
        return p == PANE_EVENTS && (n->has_old_events || n->n_past > 0);
    return p == PANE_EVENTS || !t->rows || t->is_changed || !table_has_visible(t);
}

/* "mx2: not connected; engine 1234: does not answer" */
static void source_note_unreached(struct source *s, const json_t *list)
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

static void on_source(void *arg, const json_t *result, const struct client_error *error)
{
    struct source *s = arg;
    struct node *n = s->node;
    enum source_id id = (enum source_id)(s - n->sources);
    bool is_again = s->is_again;
    s->is_waiting = s->is_again = false;
    s->took_ms = clock_ms() - s->asked_ms;
    /* An answer to what is not asked any more: the filter was typed on, the order changed. */
    if (id >= SOURCE_PANE && id < SOURCE_COUNT &&
        n->lists[id - SOURCE_PANE].table.question != n->sources[id].question) {
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

static void source_ask(struct node *n, enum source_id id)
{
    struct source *s = &n->sources[id];
    const struct command *c = source_command(id);
    struct table_part part = {0};
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

/* ---- events ---- */

static struct table *node_events(struct node *n)
{
    return &n->lists[PANE_EVENTS].table;
}

/* Those of several daemons are ordered by time, those of one stand as they came. */
static const char *event_order(const json_t *event)
{
    return json_object_get(event, MERGE_PLACE) ? "time" : NULL;
}

/* Past events come again when a stream is opened once more. */
static bool event_is_known(const struct table *t, const json_t *event)
{
    json_int_t time = json_integer_value(json_object_get(event, "time"));
    for (size_t i = table_behind(t, event, event_order(event)); i > 0; i--) {
        json_t *row = json_array_get(t->rows, i - 1);
        if (json_integer_value(json_object_get(row, "time")) < time)
            return false;
        bool is_same = row_is_same(row, event, MERGE_PLACE);
        for (size_t c = 0; is_same && c < t->n_columns; c++) {
            const char *name = t->columns[c].name;
            const json_t *own = strcmp(name, "text") == 0 ? json_object_get(row, "own_text") : NULL;
            const json_t *here = own ? own : json_object_get(row, name);
            const json_t *there = json_object_get(event, name);
            is_same = json_equal(here, there) || (!here && !there);
        }
        if (is_same)
            return true;
    }
    return false;
}

static bool event_text_is(const json_t *event, const char *member, const char *text)
{
    const char *value = json_string_value(json_object_get(event, member));
    return strcmp(value ? value : "", text) == 0;
}

/* The failed login whose session an end ends without any login: the two are one row. NULL = none
 * lately. */
static json_t *event_failure_of(const struct table *t, const json_t *end)
{
    const char *session = json_string_value(json_object_get(end, "session"));
    size_t n = table_behind(t, end, event_order(end));
    bool is_end = event_text_is(end, "type", "end") && event_text_is(end, "user", "");
    for (size_t i = n; is_end && session && i > 0 && n - i < NODE_EVENTS_JOINED; i--) {
        json_t *row = json_array_get(t->rows, i - 1);
        if (event_text_is(row, "session", session) && row_is_same(row, end, MERGE_PLACE))
            return event_text_is(row, "type", "failure") ? row : NULL;
    }
    return NULL;
}

/* The row keeps its own words apart, to be known when it comes again. */
static void event_join(json_t *failure, const json_t *end)
{
    const char *own = json_string_value(json_object_get(failure, "text"));
    const char *words = json_string_value(json_object_get(end, "text"));
    if (json_object_get(failure, "own_text"))
        return;
    json_object_set(failure, "own_text", json_object_get(failure, "text"));
    json_object_set_new(failure, "text",
                        json_sprintf("%s; %s", own ? own : "", words ? words : "ended"));
}

static void node_add_event(struct node *n, const json_t *params)
{
    json_t *failure = event_failure_of(node_events(n), params);
    if (failure)
        event_join(failure, params);
    else if (!event_is_known(node_events(n), params))
        table_append(node_events(n), json_copy((json_t *)params), event_order(params),
                     NODE_EVENTS_MAX);
}

static void on_event(void *arg, const json_t *params);

/* Those of the streams of all go to the whole. */
static bool event_is_of_whole(struct node *n, const json_t *params)
{
    json_t *event = n->whole ? cluster_event(n->whole->cluster, n->place, params) : NULL;
    if (event)
        on_event(n->whole, event);
    json_decref(event);
    return event != NULL;
}

static void on_event(void *arg, const json_t *params)
{
    struct node *n = arg;
    if (event_is_of_whole(n, params))
        return;
    json_int_t stream = json_integer_value(json_object_get(params, "stream"));
    if (stream != n->stream && n->other_event) {
        n->other_event(n->arg, n, params);
        return;
    }
    if (stream != n->stream)
        return;
    n->n_past -= n->n_past > 0;
    if (!n->is_paused) {
        node_add_event(n, params);
        return;
    }
    json_array_append(n->held, (json_t *)params);
    if (json_array_size(n->held) > NODE_EVENTS_MAX)
        json_array_remove(n->held, 0);
}

static void on_watch(void *arg, const json_t *result, const struct client_error *error)
{
    struct node *n = arg;
    struct source *s = &n->sources[SOURCE_PANE + PANE_EVENTS];
    s->is_waiting = false;
    if (!result) {
        source_fail(n, s, pane_command(PANE_EVENTS), error);
        return;
    }
    s->why[0] = '\0';
    if (n->has_old_events)
        table_clear(node_events(n));
    n->has_old_events = false;
    n->stream = json_integer_value(json_object_get(result, "stream"));
    n->n_past = (uint64_t)json_integer_value(json_object_get(result, "past")); /* they follow */
    if (!node_events(n)->rows)
        node_events(n)->rows = json_array();
}

static void node_watch(struct node *n)
{
    struct source *s = &n->sources[SOURCE_PANE + PANE_EVENTS];
    const struct command *c = pane_command(PANE_EVENTS);
    if (!c || n->stream || s->is_waiting || s->is_absent || (s->why[0] && n->is_watching))
        return;
    json_t *params = json_object();
    if (node_events(n)->filter[0])
        json_object_set_new(params, "filter", json_string(node_events(n)->filter));
    if (commands_arg(c, "last"))
        json_object_set_new(
            params, "last",
            json_integer(node_events(n)->filter[0] ? NODE_EVENTS_KEPT : NODE_EVENTS_LAST));
    n->is_watching = true;
    s->is_waiting = node_ask(n, c->method, params, on_watch, n);
}

static void node_unwatch(struct node *n)
{
    if (n->stream)
        (void)node_ask(n, "stream.cancel", json_pack("{s:I}", "stream", n->stream), NULL, NULL);
    n->stream = 0;
    n->n_past = 0;
    n->is_watching = false;
}

void node_restart_events(struct node *n)
{
    struct source *s = &n->sources[SOURCE_PANE + PANE_EVENTS];
    node_unwatch(n);
    node_forget(n, on_watch, n);
    s->is_waiting = false;
    s->why[0] = '\0';
    n->has_old_events = true;
    json_array_clear(n->held);
}

void node_group(struct node *n, enum pane p, const char *by)
{
    *(p == PANE_GROUPS ? &n->groups_by : &n->failures_by) = by;
    table_clear(&n->lists[p].table);
    n->lists[p].table.is_changed = true;
    n->lists[p].table.question++;
    list_reset_widths(&n->lists[p]);
    node_refresh(n);
}

void node_pause(struct node *n, bool is_paused)
{
    size_t i;
    const json_t *event;
    n->is_paused = is_paused;
    if (is_paused)
        return;
    json_array_foreach (n->held, i, event)
        node_add_event(n, event);
    json_array_clear(n->held);
    node_refresh(n);
}

/* ---- the connection ---- */

/* Names of daemons; of two that have the same the socket is named, too. */
static void whole_name(struct node *whole)
{
    for (size_t i = 0; i < whole->n_members; i++) {
        struct node *n = &whole->members[i];
        bool is_same = false;
        for (size_t k = 0; k < whole->n_members; k++)
            is_same = is_same || (k != i && strcmp(whole->members[k].name, n->name) == 0);
        if (!n->name[0])
            continue;
        snprintf(n->label, sizeof(n->label), "%s%s%s%s", n->name, is_same ? " (" : "",
                 is_same ? n->path : "", is_same ? ")" : "");
    }
}

/* The highest role that a daemon grants: what another one refuses it says itself. */
static void whole_greeted(struct node *whole, size_t place)
{
    whole_name(whole);
    whole->is_lost = false;
    whole->lost_ms = 0;
    whole->role = ROLE_VIEWER;
    for (size_t i = 0; i < whole->n_members; i++)
        if (node_is_connected(&whole->members[i]) && whole->members[i].role > whole->role)
            whole->role = whole->members[i].role;
    (void)str_copy(whole->version, sizeof(whole->version), str_of(whole->members[place].version));
    for (size_t i = 0; i < SOURCE_COUNT; i++)
        whole->sources[i].is_absent = false;
    /* The past of this daemon is part of the sums, too. */
    overview_take(&whole->overview.history, NULL);
    cluster_greeted(whole->cluster, place);
    node_refresh(whole);
}

static void node_forget_questions(struct node *n);

static void whole_lost(struct node *whole, size_t place)
{
    const struct node *n = &whole->members[place];
    cluster_lost(whole->cluster, place);
    node_refresh(whole);
    if (cluster_connected(whole->cluster) > 0)
        return;
    (void)str_copy(whole->why, sizeof(whole->why), str_of(n->why));
    (void)str_copy(whole->hint, sizeof(whole->hint), str_of(n->hint));
    for (size_t i = 0; i < whole->n_members; i++)
        if (!whole->members[i].is_lost)
            return; /* it may still come */
    if (!whole->is_lost)
        whole->lost_ms = clock_ms();
    whole->is_lost = true;
    node_unwatch(whole); /* else it would be opened again at each daemon, beside the new one */
    node_forget_questions(whole);
}

static void on_connected(void *arg)
{
    struct node *n = arg;
    const struct client_hello *h = rpc_client_hello(n->rpc);
    n->is_lost = false;
    n->lost_ms = 0;
    (void)str_copy(n->name, sizeof(n->name), str_of(h->node));
    (void)str_copy(n->version, sizeof(n->version), str_of(h->version));
    n->role = ROLE_VIEWER;
    for (int r = ROLE_VIEWER; r <= ROLE_ADMIN; r++)
        if (strcmp(h->role, role_name((enum role)r)) == 0)
            n->role = (enum role)r;
    for (size_t i = 0; i < SOURCE_COUNT; i++)
        n->sources[i].is_absent = false;
    /* Counters of another daemon would make nonsense with the old ones. */
    overview_clear(&n->overview);
    node_refresh(n);
    if (n->whole)
        whole_greeted(n->whole, n->place);
}

static void on_lost(void *arg, const char *why, const char *hint)
{
    struct node *n = arg;
    (void)str_copy(n->why, sizeof(n->why), str_of(why));
    (void)str_copy(n->hint, sizeof(n->hint), str_of(hint));
    if (!n->is_lost) {
        n->lost_ms = clock_ms();
        n->losses++;
    }
    n->is_lost = true;
    node_forget_questions(n);
    if (n->whole)
        whole_lost(n->whole, n->place);
}

static void node_forget_questions(struct node *n)
{
    n->stream = 0;
    n->n_past = 0;
    n->is_watching = false;
    for (size_t i = 0; i < SOURCE_COUNT; i++)
        n->sources[i].is_waiting = n->sources[i].is_again = false;
}

static int node_begin(struct node *n)
{
    *n = (struct node){.held = json_array(),
                       .role = ROLE_VIEWER,
                       .groups_by = "user",
                       .failures_by = "ip user text"};
    for (size_t i = 0; i < SOURCE_COUNT; i++)
        n->sources[i].node = n;
    for (int p = 0; p < PANE_COUNT; p++)
        list_init(&n->lists[p], pane_command((enum pane)p), pane_rows[p].identity,
                  pane_rows[p].sort, pane_rows[p].empty);
    return n->held ? 0 : -ERR_NOMEM;
}

int node_init(struct node *n, const char *path)
{
    int err = node_begin(n);
    n->path = str_dup_c(path);
    if (err < 0 || !n->path)
        return -ERR_NOMEM;
    (void)str_copy(n->label, sizeof(n->label), str_of(path));
    const struct rpc_client_ops ops = {
        .connected = on_connected, .lost = on_lost, .event = on_event, .arg = n};
    return rpc_client_new(path, &ops, &n->rpc);
}

int node_init_whole(struct node *n, struct node *members, size_t n_members)
{
    struct cluster_member m[MERGE_MAX];
    int err = node_begin(n);
    if (err < 0 || n_members > MERGE_MAX)
        return err < 0 ? err : -ERR_TOO_MANY;
    n->members = members;
    n->n_members = n_members;
    (void)str_copy(n->label, sizeof(n->label), STR("all"));
    for (size_t i = 0; i < n_members; i++) {
        m[i] = (struct cluster_member){members[i].rpc, members[i].label};
        members[i].whole = n;
        members[i].place = i;
    }
    /* The same name may be known to each daemon: rows are told apart by both. Groups are of all. */
    for (int p = 0; p < PANE_COUNT; p++) {
        struct list *l = &n->lists[p];
        l->has_node = l->table.command && p != PANE_GROUPS && p != PANE_FAILURES;
        if (!l->has_node || !l->table.identity[0])
            continue;
        n->identities[p] = str_printf("%s %s", MERGE_PLACE, l->table.identity);
        if (!n->identities[p])
            return -ERR_NOMEM;
        l->table.identity = n->identities[p];
    }
    return cluster_new(m, n_members, &n->cluster);
}

void node_fini(struct node *n)
{
    rpc_client_free(n->rpc);
    cluster_free(n->cluster);
    for (int p = 0; p < PANE_COUNT; p++)
        free(n->identities[p]);
    for (int p = 0; p < PANE_COUNT; p++)
        list_fini(&n->lists[p]);
    overview_fini(&n->overview);
    json_decref(n->ops);
    json_decref(n->held);
    free(n->path);
    *n = (struct node){0};
}

/* ---- time ---- */

void node_refresh(struct node *n)
{
    n->next_ms = 0;
    for (size_t i = 0; i < SOURCE_COUNT; i++) {
        n->sources[i].is_again = n->sources[i].is_waiting;
        n->sources[i].is_urgent = true;
    }
}

/* Asks for what is costly: not before some time has gone, and the longer it took, the more. */
static void source_ask_again(struct node *n, enum source_id id, uint64_t rest_ms)
{
    const struct source *s = &n->sources[id];
    rest_ms = rest_ms > NODE_REST * s->took_ms ? rest_ms : NODE_REST * s->took_ms;
    if (s->is_urgent || clock_ms() >= s->asked_ms + rest_ms)
        source_ask(n, id);
}

static void node_ask_screen(struct node *n, enum screen_id screen)
{
    source_ask(n, SOURCE_STATUS);
    source_ask(n, SOURCE_OPS);
    for (int i = 0; i < 2; i++) {
        enum pane p = screen_rows[screen].panes[i];
        if (i == 1 && p == screen_rows[screen].panes[0])
            break;
        if (p == PANE_OVERVIEW) {
            source_ask(n, SOURCE_HISTORY);
            source_ask(n, SOURCE_STATS);
            source_ask(n, SOURCE_BACKENDS);
            source_ask(n, SOURCE_LISTENERS);
            source_ask_again(n, SOURCE_TOP_USERS, NODE_RARELY_MS);
            source_ask_again(n, SOURCE_TOP_ADDRESSES, NODE_RARELY_MS);
            source_ask_again(n, SOURCE_TOP_FAILURES, NODE_RARELY_MS);
            for (size_t k = 0; k < n->overview.n_protos; k++)
                source_ask(n, (enum source_id)(SOURCE_PROTO + k));
        } else if (p == PANE_EVENTS) {
            node_watch(n);
        } else {
            source_ask_again(n, (enum source_id)(SOURCE_PANE + p), 0);
        }
    }
}

static int node_sooner(int a, int b)
{
    return a < 0 ? b : b < 0 ? a : a < b ? a : b;
}

/* Reads, writes, and returns ms until that is due again. */
static int node_run(struct node *n)
{
    if (n->cluster)
        return cluster_tick(n->cluster);
    rpc_client_run(n->rpc);
    return rpc_client_timeout_ms(n->rpc);
}

int node_tick(struct node *n, enum screen_id screen, uint64_t interval_ms)
{
    int ms = node_run(n);
    uint64_t now = clock_ms();
    if (!node_is_connected(n))
        return ms;
    if (screen != SCREEN_EVENTS)
        node_unwatch(n);
    if (now >= n->next_ms && (!n->is_paused || n->next_ms == 0)) {
        n->next_ms = now + interval_ms;
        node_ask_screen(n, screen);
    }
    int due = n->is_paused ? -1 : (int)(n->next_ms - now);
    return node_sooner(due, ms);
}

int node_tick_hidden(struct node *n)
{
    int ms = node_run(n);
    uint64_t now = clock_ms();
    if (!node_is_connected(n))
        return ms;
    node_unwatch(n);
    /* Several as one are nothing that could be away. */
    if (n->cluster)
        return ms;
    if (now >= n->next_ms) {
        n->next_ms = now + NODE_HIDDEN_MS;
        source_ask(n, SOURCE_STATUS);
    }
    return node_sooner((int)(n->next_ms - now), ms);
}

const char *node_unreached(const struct node *n, enum screen_id screen)
{
    const enum pane *p = screen_rows[screen].panes;
    const enum source_id ids[] = {SOURCE_STATUS, (enum source_id)(SOURCE_PANE + p[0]),
                                  (enum source_id)(SOURCE_PANE + p[1])};
    if (screen == SCREEN_EVENTS && n->cluster && n->stream &&
        cluster_stream_failure(n->cluster, n->stream)[0])
        return cluster_stream_failure(n->cluster, n->stream);
    for (int i = SOURCE_HISTORY; p[0] == PANE_OVERVIEW && i < SOURCE_PANE; i++)
        if (n->sources[i].unreached[0])
            return n->sources[i].unreached;
    for (size_t i = 0; i < ARRAY_LEN(ids); i++)
        if (n->sources[ids[i]].unreached[0])
            return n->sources[ids[i]].unreached;
    return "";
}
