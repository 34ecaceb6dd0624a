/* SPDX-License-Identifier: ISC */
/* event watch: what happens goes to those whose filter it matches. */
#include "control/events.h"

#include "base/clock.h"
#include "control/control_priv.h"
#include "control/handlers.h"
#include "control/server.h"

#define EVENTS_STREAMS_MAX 16 /* of one client */

struct watcher {
    struct list link;
    struct client *client;
    uint64_t stream;
    struct filter *filter; /* NULL = all */
};

struct events {
    struct control *control;
    struct list watchers;
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
    request_answer(r, json_pack("{s:I}", "stream", (json_int_t)w->stream));
}

/* Sends a row; the list of watchers may change meanwhile (a slow reader is dropped). */
static void events_send(struct events *e, json_t *row)
{
    json_t *message = json_pack("{s:s, s:s, s:o}", "jsonrpc", "2.0", "method", "event", "params",
                                json_incref(row));
    size_t n = 0, i = 0;
    LIST_FOREACH (it, &e->watchers)
        n++;
    AUTO_FREE uint64_t *streams = calloc(n + 1, sizeof(*streams));
    if (streams)
        LIST_FOREACH (it, &e->watchers)
            streams[i++] = LIST_ITEM(it, struct watcher, link)->stream;
    for (i = 0; message && streams && i < n; i++) {
        struct watcher *w = NULL;
        LIST_FOREACH (it, &e->watchers)
            if (LIST_ITEM(it, struct watcher, link)->stream == streams[i])
                w = LIST_ITEM(it, struct watcher, link);
        if (!w || (w->filter && !filter_match(w->filter, command_row_get, row)))
            continue;
        request_put_number(row, "stream", w->stream);
        client_send(w->client, message);
    }
    json_decref(message);
}

void control_event(struct control *c, const char *type, const char *session, const char *proto,
                   const char *user, const char *ip, const char *backend, const char *text)
{
    if (!c || !c->events || list_is_empty(&c->events->watchers))
        return;
    json_t *row = json_object();
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
    events_send(c->events, row);
    json_decref(row);
}
