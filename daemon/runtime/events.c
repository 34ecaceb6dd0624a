/* SPDX-License-Identifier: ISC */
/* What happens goes to those whose filter it matches. */
#include "runtime/events.h"

#include "base/clock.h"
#include "base/units.h"
#include "rpc/client.h"
#include "runtime/state.h"

#define EVENTS_STREAMS_MAX 16 /* of one client */
#define EVENTS_KEPT 1000      /* for those who come later */

struct watcher {
    struct client_link stream;
    struct list link;
    struct events *events;
    struct filter *filter; /* NULL = all */
};

/* An event at rest: each login makes two, and mostly nobody looks at them. */
struct event_kept {
    uint64_t time_ms;
    struct buf texts; /* in the order of event_columns, each with its NUL */
    bool is_end;      /* of a session: it has figures */
    uint64_t age_ms, in_bytes, out_bytes;
};

struct events {
    struct control *control;
    struct list watchers;
    struct event_kept kept[EVENTS_KEPT]; /* a ring; keeps its memory */
    uint64_t n_kept;                     /* ever */
};

static const char *const event_columns[] = {"type", "session", "proto", "user",
                                            "ip",   "backend", "text"};

int events_new(struct control *c, struct events **ret)
{
    struct events *e = calloc(1, sizeof(*e));
    if (!e)
        return -ERR_NOMEM;
    e->control = c;
    list_init(&e->watchers);
    *ret = e;
    return 0;
}

static void watcher_free(struct watcher *w)
{
    client_detach(&w->stream);
    list_del(&w->link);
    filter_unref(w->filter);
    free(w);
}

void events_free(struct events *e)
{
    if (!e)
        return;
    LIST_FOREACH_SAFE (it, &e->watchers)
        watcher_free(LIST_ITEM(it, struct watcher, link));
    for (size_t i = 0; i < EVENTS_KEPT; i++)
        buf_fini(&e->kept[i].texts);
    free(e);
}

static void events_tell_host(struct events *e, bool is_watched)
{
    const struct engine_api *h = e->control->host;
    h->set_watched(h->arg, is_watched);
}

/* Its client is gone, or has enough. */
static void watcher_end(struct client_link *l)
{
    struct watcher *w = CONTAINER_OF(l, struct watcher, stream);
    struct events *e = w->events;
    watcher_free(w);
    if (list_is_empty(&e->watchers))
        events_tell_host(e, false);
}

static size_t events_streams(const struct events *e, const struct client *client)
{
    size_t n = 0;
    LIST_FOREACH (it, &e->watchers)
        n += LIST_ITEM(it, struct watcher, link)->stream.client == client;
    return n;
}

static void watcher_send(const struct watcher *w, json_t *row)
{
    json_t *params = json_copy(row);
    if (!params)
        return;
    request_put_number(params, "stream", w->stream.stream);
    json_t *message =
        json_pack("{s:s, s:s, s:o}", "jsonrpc", "2.0", "method", "event", "params", params);
    if (message)
        client_send(w->stream.client, message);
    json_decref(message);
}

static bool watcher_wants(const struct watcher *w, const json_t *row)
{
    return !w->filter || filter_match(w->filter, command_row_get, row);
}

static struct watcher *events_find(struct events *e, uint64_t stream)
{
    LIST_FOREACH (it, &e->watchers) {
        struct watcher *w = LIST_ITEM(it, struct watcher, link);
        if (w->stream.stream == stream)
            return w;
    }
    return NULL;
}

/* The figures of an end are put into words only for those who read them. */
static void event_put_figures(json_t *row, const struct event_kept *k)
{
    const char *reason = json_string_value(json_object_get(row, "text"));
    char age[32], in[32], out[32], words[192];
    units_human_duration(age, k->age_ms);
    units_human_size(in, k->in_bytes);
    units_human_size(out, k->out_bytes);
    (void)snprintf(words, sizeof(words), "%s after %s, in %s, out %s", reason ? reason : "", age,
                   in, out);
    request_set_text(row, "text", words);
    request_put_number(row, "age", k->age_ms);
    request_put_number(row, "in", k->in_bytes);
    request_put_number(row, "out", k->out_bytes);
}

/* The row of an event, owned by the caller; NULL without memory. */
static json_t *event_row(const struct event_kept *k)
{
    const char *text = buf_str(&k->texts).p;
    json_t *row = text ? json_object() : NULL;
    if (!row)
        return NULL;
    request_put_number(row, "time", k->time_ms);
    for (size_t i = 0; i < ARRAY_LEN(event_columns); i++, text += strlen(text) + 1)
        request_set_text(row, event_columns[i], text);
    if (k->is_end)
        event_put_figures(row, k);
    return row;
}

/* Event number `at` as a row, when the watcher wants it; else NULL. */
static json_t *events_row_for(const struct events *e, uint64_t at, const struct watcher *w)
{
    json_t *row = event_row(&e->kept[at % EVENTS_KEPT]);
    if (row && watcher_wants(w, row))
        return row;
    json_decref(row);
    return NULL;
}

/* A reader that is too slow is dropped on the way, and its watcher with it. */
void events_send_last(struct events *e, uint64_t stream, uint64_t n)
{
    const struct watcher *w = events_find(e, stream);
    uint64_t oldest = e->n_kept > EVENTS_KEPT ? e->n_kept - EVENTS_KEPT : 0, at = e->n_kept;
    while (w && at > oldest && n > 0) {
        json_t *row = events_row_for(e, --at, w);
        n -= row != NULL;
        json_decref(row);
    }
    for (; at < e->n_kept && (w = events_find(e, stream)); at++) {
        json_t *row = events_row_for(e, at, w);
        if (row)
            watcher_send(w, row);
        json_decref(row);
    }
}

int events_watch(struct events *e, struct client *client, struct filter *filter,
                 uint64_t *ret_stream)
{
    if (events_streams(e, client) >= EVENTS_STREAMS_MAX)
        return -ERR_TOO_MANY;
    struct watcher *w = calloc(1, sizeof(*w));
    if (!w)
        return -ERR_NOMEM;
    *w = (struct watcher){.stream = {.stream = rpc_next_number(&e->control->rpc),
                                     .cancel = watcher_end,
                                     .gone = watcher_end},
                          .events = e,
                          .filter = filter ? filter_ref(filter) : NULL};
    bool is_first = list_is_empty(&e->watchers);
    list_add_tail(&e->watchers, &w->link);
    client_attach(client, &w->stream);
    if (is_first)
        events_tell_host(e, true);
    *ret_stream = w->stream.stream;
    return 0;
}

/* Sends a row; the list of watchers may change meanwhile (a slow reader is dropped). */
static void events_send(struct events *e, json_t *row)
{
    size_t n = 0, i = 0;
    LIST_FOREACH (it, &e->watchers)
        n++;
    AUTO_FREE uint64_t *streams = calloc(n + 1, sizeof(*streams));
    if (streams)
        LIST_FOREACH (it, &e->watchers)
            streams[i++] = LIST_ITEM(it, struct watcher, link)->stream.stream;
    for (i = 0; streams && i < n; i++) {
        const struct watcher *w = events_find(e, streams[i]);
        if (w && watcher_wants(w, row))
            watcher_send(w, row);
    }
}

/* NULL without memory: the event is lost. */
static struct event_kept *events_keep(struct events *e, const char *const *texts)
{
    struct event_kept *k = &e->kept[e->n_kept % EVENTS_KEPT];
    buf_clear(&k->texts);
    int err = 0;
    for (size_t i = 0; err == 0 && i < ARRAY_LEN(event_columns); i++) {
        struct str text = texts[i] ? str_of(texts[i]) : STR("");
        err = buf_append_str(&k->texts, text);
        if (err == 0)
            err = buf_append_char(&k->texts, '\0');
    }
    if (err < 0) {
        buf_fini(&k->texts);
        return NULL;
    }
    k->time_ms = clock_wall_ms();
    k->is_end = false;
    e->n_kept++;
    return k;
}

/* k may be NULL: it could not be kept. */
static void events_tell(struct events *e, const struct event_kept *k)
{
    if (!k || list_is_empty(&e->watchers))
        return;
    json_t *row = event_row(k);
    if (row)
        events_send(e, row);
    json_decref(row);
}

void control_event(struct control *c, const char *type, const char *session, const char *proto,
                   const char *user, const char *ip, const char *backend, const char *text)
{
    const char *const texts[] = {type, session, proto, user, ip, backend, text};
    _Static_assert(ARRAY_LEN(texts) == ARRAY_LEN(event_columns), "one text for each column");
    if (c && c->events)
        events_tell(c->events, events_keep(c->events, texts));
}

void control_event_end(struct control *c, const struct control_end *end)
{
    const char *const texts[] = {"end",   end->session, end->proto, end->user,
                                 end->ip, end->backend, end->text};
    if (!c || !c->events)
        return;
    struct event_kept *k = events_keep(c->events, texts);
    if (k) {
        k->is_end = true;
        k->age_ms = end->age_ms;
        k->in_bytes = end->in_bytes;
        k->out_bytes = end->out_bytes;
    }
    events_tell(c->events, k);
}
