/* SPDX-License-Identifier: ISC */
/* event watch: what happens goes to those whose filter it matches. */
#include "control/events.h"

#include "base/clock.h"
#include "control/control_priv.h"
#include "control/handlers.h"
#include "control/server.h"

#define EVENTS_STREAMS_MAX 16 /* of one client */
#define EVENTS_KEPT 1000      /* for those who come later */

struct watcher {
    struct list link;
    struct client *client;
    uint64_t stream;
    struct filter *filter; /* NULL = all */
};

struct events {
    struct control *control;
    struct list watchers;
    json_t *kept[EVENTS_KEPT]; /* a ring of rows */
    uint64_t n_kept;           /* ever */
};

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
        json_decref(e->kept[i]);
    free(e);
}

static void events_tell_host(struct events *e, bool is_watched)
{
    const struct control_host *h = e->control->host;
    h->set_watched(h->arg, is_watched);
}

/* stream 0 = all of the client's. */
static bool events_end(struct control *c, struct client *client, uint64_t stream)
{
    struct events *e = c->events;
    bool is_found = false;
    LIST_FOREACH_SAFE (it, &e->watchers) {
        struct watcher *w = LIST_ITEM(it, struct watcher, link);
        if (w->client != client || (stream && w->stream != stream))
            continue;
        watcher_free(w);
        client_add_streams(client, -1);
        is_found = true;
    }
    if (is_found && list_is_empty(&e->watchers))
        events_tell_host(e, false);
    return is_found;
}

bool events_cancel(struct control *c, struct client *client, uint64_t stream)
{
    return stream && events_end(c, client, stream);
}

void events_forget(struct control *c, struct client *client)
{
    (void)events_end(c, client, 0);
}

static size_t events_streams(const struct events *e, const struct client *client)
{
    size_t n = 0;
    LIST_FOREACH (it, &e->watchers)
        n += LIST_ITEM(it, struct watcher, link)->client == client;
    return n;
}

static void watcher_send(const struct watcher *w, json_t *row)
{
    json_t *params = json_copy(row);
    if (!params)
        return;
    request_put_number(params, "stream", w->stream);
    json_t *message =
        json_pack("{s:s, s:s, s:o}", "jsonrpc", "2.0", "method", "event", "params", params);
    if (message)
        client_send(w->client, message);
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
        if (w->stream == stream)
            return w;
    }
    return NULL;
}

/* The newest of the kept events that the filter matches, at most n, oldest first. A reader that is
 * too slow is dropped on the way, and its watcher with it. */
static void events_send_last(struct events *e, uint64_t stream, uint64_t n)
{
    const struct watcher *w = events_find(e, stream);
    uint64_t oldest = e->n_kept > EVENTS_KEPT ? e->n_kept - EVENTS_KEPT : 0, at = e->n_kept;
    while (w && at > oldest && n > 0)
        n -= watcher_wants(w, e->kept[--at % EVENTS_KEPT]);
    for (; at < e->n_kept && (w = events_find(e, stream)); at++)
        if (watcher_wants(w, e->kept[at % EVENTS_KEPT]))
            watcher_send(w, e->kept[at % EVENTS_KEPT]);
}

void command_event_watch(struct request *r)
{
    struct events *e = r->control->events;
    struct filter *filter = NULL;
    size_t n;
    const struct filter_field *fields = command_filter_fields(r->command, &n);
    if (!r->client) {
        request_fail(r, -ERR_UNSUPPORTED, NULL, NULL);
        return;
    }
    if (events_streams(e, r->client) >= EVENTS_STREAMS_MAX) {
        request_fail(r, -ERR_TOO_MANY, NULL, "this connection has too many streams");
        return;
    }
    if (request_filter(r, "filter", fields, n, &filter) < 0)
        return;
    struct watcher *w = calloc(1, sizeof(*w));
    if (!w) {
        filter_unref(filter);
        request_fail(r, -ERR_NOMEM, NULL, NULL);
        return;
    }
    *w = (struct watcher){
        .client = r->client, .stream = control_next_number(r->control), .filter = filter};
    bool is_first = list_is_empty(&e->watchers);
    list_add_tail(&e->watchers, &w->link);
    client_add_streams(w->client, 1);
    if (is_first)
        events_tell_host(e, true);
    uint64_t stream = w->stream, last = request_number(r, "last", 0);
    request_answer(r, json_pack("{s:I}", "stream", (json_int_t)stream));
    events_send_last(e, stream, last);
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
            streams[i++] = LIST_ITEM(it, struct watcher, link)->stream;
    for (i = 0; streams && i < n; i++) {
        const struct watcher *w = events_find(e, streams[i]);
        if (w && watcher_wants(w, row))
            watcher_send(w, row);
    }
}

static void events_keep(struct events *e, json_t *row)
{
    json_t **slot = &e->kept[e->n_kept++ % EVENTS_KEPT];
    json_decref(*slot);
    *slot = json_incref(row);
}

void control_event(struct control *c, const char *type, const char *session, const char *proto,
                   const char *user, const char *ip, const char *backend, const char *text)
{
    json_t *row = c && c->events ? json_object() : NULL;
    if (!row)
        return;
    request_put_number(row, "time", clock_wall_ms());
    request_set_text(row, "type", type);
    request_set_text(row, "session", session);
    request_set_text(row, "proto", proto);
    request_set_text(row, "user", user);
    request_set_text(row, "ip", ip);
    request_set_text(row, "backend", backend);
    request_set_text(row, "text", text);
    events_keep(c->events, row);
    events_send(c->events, row);
    json_decref(row);
}
