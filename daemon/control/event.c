/* SPDX-License-Identifier: ISC */
/* event watch, list, top. */
#include "runtime/events.h"

#include "base/clock.h"
#include "rpc/handlers.h"
#include "rpc/page.h"
#include "rpc/table_json.h"
#include "runtime/state.h"

#define EVENT_ROWS 100
#define EVENT_ROWS_MAX 1000
#define EVENT_MINUTE_MS 60000

/* How many of the kept events are to be sent first, and from which on. */
struct event_watch {
    struct request *request;
    struct filter *filter; /* owned */
    uint64_t left, from, past;
};

static void event_watch_free(struct event_watch *w)
{
    filter_unref(w->filter);
    free(w);
}

static bool event_watch_one(void *arg, const struct event_view *e)
{
    struct event_watch *w = arg;
    w->from = e->number;
    w->past++;
    return --w->left > 0;
}

static void event_watch_done(void *arg, uint64_t seen)
{
    struct event_watch *w = arg;
    struct request *r = w->request;
    uint64_t stream;
    (void)seen;
    int err = r->client
                  ? events_watch(request_control(r)->events, r->client, w->filter, w->from, &stream)
                  : -ERR_CLOSED;
    if (err < 0)
        request_fail(r, err, NULL,
                     err == -ERR_TOO_MANY ? "this connection has too many streams" : NULL);
    else
        request_answer(
            r, json_pack("{s:I, s:I}", "stream", (json_int_t)stream, "past", (json_int_t)w->past));
    event_watch_free(w);
}

static void event_watch_drop(void *arg)
{
    struct event_watch *w = arg;
    request_abandon(w->request);
    event_watch_free(w);
}

void command_event_watch(struct request *r)
{
    struct filter *filter = NULL;
    if (!r->client) {
        request_fail(r, -ERR_UNSUPPORTED, NULL, NULL);
        return;
    }
    if (request_filter_rows(r, "event.watch", &filter) < 0)
        return;
    struct event_watch *w = calloc(1, sizeof(*w));
    if (!w) {
        filter_unref(filter);
        request_fail(r, -ERR_NOMEM, NULL, NULL);
        return;
    }
    *w = (struct event_watch){
        .request = r, .filter = filter, .left = request_number(r, "last", 0), .from = EVENTS_NOW};
    const struct event_scan scan = {.filter = filter ? filter_ref(filter) : NULL,
                                    .one = event_watch_one,
                                    .done = event_watch_done,
                                    .drop = event_watch_drop,
                                    .arg = w};
    if (w->left == 0) {
        filter_unref(scan.filter);
        event_watch_done(w, 0);
    } else if (events_scan(request_control(r)->events, &scan) < 0) {
        request_fail(r, -ERR_NOMEM, NULL, NULL);
        event_watch_free(w);
    }
}

/* ---- list ---- */

struct event_list {
    struct request *request;
    json_t *rows;
    size_t most;
};

static bool event_list_one(void *arg, const struct event_view *e)
{
    struct event_list *l = arg;
    json_t *row = json_object();
    event_put(row, e);
    (void)json_array_append_new(l->rows, row);
    return json_array_size(l->rows) < l->most;
}

static void event_list_done(void *arg, uint64_t seen)
{
    struct event_list *l = arg;
    const struct page page = {.seen = seen, .matched = json_array_size(l->rows)};
    page_answer(&page, l->request, l->rows, NULL);
    free(l);
}

static void event_list_drop(void *arg)
{
    struct event_list *l = arg;
    request_abandon(l->request);
    json_decref(l->rows);
    free(l);
}

static size_t event_limit(const struct request *r, const char *name)
{
    uint64_t n = request_number(r, name, EVENT_ROWS);
    return n == 0 || n > EVENT_ROWS_MAX ? EVENT_ROWS_MAX : (size_t)n;
}

void command_event_list(struct request *r)
{
    struct filter *filter = NULL;
    if (request_filter_rows(r, "event.watch", &filter) < 0)
        return;
    struct event_list *l = calloc(1, sizeof(*l));
    const struct event_scan scan = {.since_ms = request_number(r, "since", 0),
                                    .filter = filter,
                                    .one = event_list_one,
                                    .done = event_list_done,
                                    .drop = event_list_drop,
                                    .arg = l};
    if (!l) {
        filter_unref(filter);
        request_fail(r, -ERR_NOMEM, NULL, NULL);
        return;
    }
    *l = (struct event_list){r, json_array(), event_limit(r, "last")};
    if (events_scan(request_control(r)->events, &scan) == 0)
        return;
    request_fail(r, -ERR_NOMEM, NULL, NULL);
    json_decref(l->rows);
    free(l);
}

/* ---- top ---- */

/* What events can have in common. */
static const struct {
    const char *name;
    enum event_text text;
} event_kinds[] = {{"type", EVENT_TYPE},       {"ip", EVENT_IP},
                   {"user", EVENT_USER},       {"proto", EVENT_PROTO},
                   {"backend", EVENT_BACKEND}, {"text", EVENT_TEXT},
                   {"session", EVENT_SESSION}, {"listener", EVENT_LISTENER},
                   {"cause", EVENT_CAUSE},     {"source", EVENT_SOURCE}};

struct event_top {
    struct request *request;
    bool by[EVENT_TEXTS];
    struct map groups; /* rows by what they have in common; borrowed from rows */
    json_t *rows;
    uint64_t now_ms;
};

static void event_add(json_t *row, const char *name, uint64_t n)
{
    json_int_t old = json_integer_value(json_object_get(row, name));
    request_put_number(row, name, (uint64_t)old + n);
}

/* The newest event of a group comes first. */
static json_t *event_group(struct event_top *t, const struct event_view *e)
{
    AUTO_BUF key = BUF_INIT;
    for (size_t i = 0; i < EVENT_TEXTS; i++)
        if (t->by[i] && (buf_append_c(&key, e->texts[i]) < 0 || buf_append_char(&key, '\0') < 0))
            return NULL;
    json_t *row = map_get(&t->groups, buf_str(&key));
    if (row)
        return row;
    row = json_object();
    if (!row || json_array_append_new(t->rows, row) != 0 ||
        map_put(&t->groups, buf_str(&key), row, NULL) < 0)
        return NULL;
    for (size_t i = 0; i < ARRAY_LEN(event_kinds); i++)
        if (t->by[event_kinds[i].text])
            request_set_text(row, event_kinds[i].name, e->texts[event_kinds[i].text]);
    request_put_number(row, "last", e->time_ms);
    request_put_number(row, "minute", 0);
    return row;
}

static bool event_top_one(void *arg, const struct event_view *e)
{
    struct event_top *t = arg;
    json_t *row = event_group(t, e);
    if (!row)
        return true;
    event_add(row, "count", 1);
    event_add(row, "minute", e->time_ms + EVENT_MINUTE_MS > t->now_ms);
    request_put_number(row, "first", e->time_ms);
    return true;
}

static void event_top_free(struct event_top *t)
{
    map_fini(&t->groups);
    json_decref(t->rows);
    free(t);
}

static void event_top_done(void *arg, uint64_t seen)
{
    struct event_top *t = arg;
    struct request *r = t->request;
    const char *sort = request_text(r, "sort");
    const struct page page = {.seen = seen, .matched = json_array_size(t->rows)};
    if (table_sort(t->rows, sort ? sort : "-last") < 0) {
        event_top_free(t);
        request_fail(r, -ERR_NOMEM, NULL, NULL);
        return;
    }
    table_cut(t->rows, event_limit(r, "limit"));
    page_answer(&page, r, STEAL(t->rows), NULL);
    event_top_free(t);
}

static void event_top_drop(void *arg)
{
    struct event_top *t = arg;
    request_abandon(t->request);
    event_top_free(t);
}

static int event_top_by(struct event_top *t, const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(event_kinds); i++)
        if (strcmp(event_kinds[i].name, name) == 0) {
            t->by[event_kinds[i].text] = true;
            return 0;
        }
    AUTO_BUF hint = BUF_INIT;
    for (size_t i = 0; i < ARRAY_LEN(event_kinds); i++)
        (void)!BUF_APPEND(&hint, i ? ", " : "", event_kinds[i].name);
    request_fail(t->request, -ERR_BAD_PARAM, buf_cstr(&hint),
                 "events cannot be grouped by \"%.64s\"", name);
    return -ERR_BAD_PARAM;
}

void command_event_top(struct request *r)
{
    struct filter *filter = NULL;
    const json_t *by = request_list(r, "by"), *name;
    size_t i;
    if (request_filter_rows(r, "event.watch", &filter) < 0)
        return;
    struct event_top *t = calloc(1, sizeof(*t));
    if (!t) {
        filter_unref(filter);
        request_fail(r, -ERR_NOMEM, NULL, NULL);
        return;
    }
    *t = (struct event_top){.request = r, .rows = json_array(), .now_ms = clock_wall_ms()};
    if (!by)
        t->by[EVENT_IP] = t->by[EVENT_USER] = t->by[EVENT_TEXT] = true;
    json_array_foreach (by, i, name)
        if (event_top_by(t, json_string_value(name)) < 0) {
            filter_unref(filter);
            event_top_free(t);
            return;
        }
    const struct event_scan scan = {.since_ms = request_number(r, "since", 0),
                                    .filter = filter,
                                    .one = event_top_one,
                                    .done = event_top_done,
                                    .drop = event_top_drop,
                                    .arg = t};
    if (events_scan(request_control(r)->events, &scan) == 0)
        return;
    request_fail(r, -ERR_NOMEM, NULL, NULL);
    event_top_free(t);
}
