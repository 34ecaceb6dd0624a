/* SPDX-License-Identifier: ISC */
/* The stream of events: opened, joined with what is known, held back during a pause. */
#include "tui/node_events.h"

#include "tui/node_source.h"

#define NODE_EVENTS_JOINED 500 /* an end joins a failure that is among so many before it */

static struct row_table *node_events(struct node *n)
{
    return &n->lists[PANE_EVENTS].table;
}

/* Those of several daemons are ordered by time, those of one stand as they came. */
static const char *event_order(const json_t *event)
{
    return json_object_get(event, MERGE_PLACE) ? "time" : NULL;
}

/* Past events come again when a stream is opened once more. */
static bool event_is_known(const struct row_table *t, const json_t *event)
{
    json_int_t time = json_integer_value(json_object_get(event, "time"));
    for (size_t i = row_table_behind(t, event, event_order(event)); i > 0; i--) {
        json_t *row = json_array_get(t->rows, i - 1);
        if (json_integer_value(json_object_get(row, "time")) < time)
            return false;
        bool is_same = merge_is_same(row, event, MERGE_PLACE);
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
static json_t *event_failure_of(const struct row_table *t, const json_t *end)
{
    const char *session = json_string_value(json_object_get(end, "session"));
    size_t n = row_table_behind(t, end, event_order(end));
    bool is_end = event_text_is(end, "type", "end") && event_text_is(end, "user", "");
    for (size_t i = n; is_end && session && i > 0 && n - i < NODE_EVENTS_JOINED; i--) {
        json_t *row = json_array_get(t->rows, i - 1);
        if (event_text_is(row, "session", session) && merge_is_same(row, end, MERGE_PLACE))
            return event_text_is(row, "type", "failure") ? row : NULL;
    }
    return NULL;
}

static void node_add_event(struct node *n, const json_t *params)
{
    json_t *failure = event_failure_of(node_events(n), params);
    if (failure) {
        /* The row keeps its own words apart, to be known when it comes again. */
        const char *own = json_string_value(json_object_get(failure, "text"));
        const char *words = json_string_value(json_object_get(params, "text"));
        if (!json_object_get(failure, "own_text")) {
            json_object_set(failure, "own_text", json_object_get(failure, "text"));
            json_object_set_new(failure, "text",
                                json_sprintf("%s; %s", own ? own : "", words ? words : "ended"));
        }
    } else if (!event_is_known(node_events(n), params)) {
        row_table_append(node_events(n), json_copy((json_t *)params), event_order(params),
                         NODE_EVENTS_MAX);
    }
}

void node_on_event(void *arg, const json_t *params)
{
    struct node *n = arg;
    /* Those of the streams of all go to the whole. */
    json_t *event = n->whole ? cluster_event(n->whole->cluster, n->place, params) : NULL;
    if (event) {
        node_on_event(n->whole, event);
        json_decref(event);
        return;
    }
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

static void on_watch(void *arg, const json_t *result, const struct control_client_error *error)
{
    struct node *n = arg;
    struct node_source *s = &n->sources[SOURCE_PANE + PANE_EVENTS];
    s->is_waiting = false;
    if (!result) {
        source_fail(n, s, pane_command(PANE_EVENTS), error);
        return;
    }
    s->why[0] = '\0';
    if (n->has_old_events)
        row_table_clear(node_events(n));
    n->has_old_events = false;
    n->stream = json_integer_value(json_object_get(result, "stream"));
    n->n_past = (uint64_t)json_integer_value(json_object_get(result, "past")); /* they follow */
    if (!node_events(n)->rows)
        node_events(n)->rows = json_array();
}

void node_watch(struct node *n)
{
    struct node_source *s = &n->sources[SOURCE_PANE + PANE_EVENTS];
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

void node_unwatch(struct node *n)
{
    if (n->stream)
        (void)node_ask(n, "stream.cancel", json_pack("{s:I}", "stream", n->stream), NULL, NULL);
    n->stream = 0;
    n->n_past = 0;
    n->is_watching = false;
}

void node_restart_events(struct node *n)
{
    struct node_source *s = &n->sources[SOURCE_PANE + PANE_EVENTS];
    node_unwatch(n);
    node_forget(n, on_watch, n);
    s->is_waiting = false;
    s->why[0] = '\0';
    n->has_old_events = true;
    json_array_clear(n->held);
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
