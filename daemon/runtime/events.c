/* SPDX-License-Identifier: ISC */
/* What happens goes to those whose filter it matches. */
#include "runtime/events.h"

#include "base/clock.h"
#include "base/units.h"
#include "rpc/client.h"
#include "runtime/state.h"

#define EVENTS_STREAMS_MAX 16        /* of one client */
#define EVENTS_KEPT 10000            /* for those who come later */
#define EVENTS_LOOKED 64             /* of these at once */
#define EVENTS_BACKLOG (1024 * 1024) /* unread bytes with which kept events wait */
#define EVENTS_BACKLOG_MS 250

struct watcher {
    struct client_link stream;
    struct list link;
    struct events *events;
    struct filter *filter; /* NULL = all */
    struct loop_slice slice;
    struct loop_timer pause; /* until the reader has caught up */
    bool is_behind;          /* kept events are being sent: what happens meanwhile follows them */
    uint64_t at;             /* the next of these */
};

/* An event at rest: each login makes two, and mostly nobody looks at them. */
struct event_kept {
    uint64_t time_ms;
    struct buf texts; /* in the order of event_columns, each with its NUL */
    bool is_end;      /* of a session: it has figures */
    uint64_t age_ms, in_bytes, out_bytes;
};

/* Somebody looks at what is kept. */
struct events_job {
    struct list link;
    struct loop_slice slice;
    struct events *events;
    struct event_scan scan;
    uint64_t at, seen; /* event that was looked at last; how many */
};

struct events {
    struct control *control;
    struct list watchers, jobs;
    struct event_kept kept[EVENTS_KEPT]; /* a ring; keeps its memory */
    uint64_t n_kept;                     /* ever */
    void (*forward)(struct control *c, const struct event_view *v);
    void (*on_watched)(struct control *c, bool is_watched);
    bool is_watched_elsewhere;
};

static const char *const event_columns[EVENT_TEXTS] = {
    [EVENT_TYPE] = "type",         [EVENT_SESSION] = "session", [EVENT_PROTO] = "proto",
    [EVENT_USER] = "user",         [EVENT_IP] = "ip",           [EVENT_BACKEND] = "backend",
    [EVENT_TEXT] = "text",         [EVENT_CAUSE] = "cause",     [EVENT_SOURCE] = "source",
    [EVENT_LISTENER] = "listener", [EVENT_ENGINE] = "engine",
};

int events_new(struct control *c, struct events **ret)
{
    struct events *e = calloc(1, sizeof(*e));
    if (!e)
        return -ERR_NOMEM;
    e->control = c;
    list_init(&e->watchers);
    list_init(&e->jobs);
    *ret = e;
    return 0;
}

static void watcher_free(struct watcher *w)
{
    client_detach(&w->stream);
    loop_unslice(&w->slice);
    loop_timer_cancel(w->events->control->host->loop, &w->pause);
    list_del(&w->link);
    filter_unref(w->filter);
    free(w);
}

static void events_job_free(struct events_job *j)
{
    loop_unslice(&j->slice);
    list_del(&j->link);
    filter_unref(j->scan.filter);
    free(j);
}

void events_free(struct events *e)
{
    if (!e)
        return;
    LIST_FOREACH_SAFE (it, &e->watchers)
        watcher_free(LIST_ITEM(it, struct watcher, link));
    LIST_FOREACH_SAFE (it, &e->jobs) {
        struct events_job *j = LIST_ITEM(it, struct events_job, link);
        j->scan.drop(j->scan.arg);
        events_job_free(j);
    }
    for (size_t i = 0; i < EVENTS_KEPT; i++)
        buf_fini(&e->kept[i].texts);
    free(e);
}

static void events_tell_host(struct events *e, bool is_watched)
{
    const struct engine_api *h = e->control->host;
    h->set_watched(h->arg, is_watched || e->is_watched_elsewhere);
    if (e->on_watched)
        e->on_watched(e->control, is_watched);
}

bool events_are_watched(const struct events *e)
{
    return !list_is_empty(&e->watchers);
}

void events_on_watched(struct events *e, void (*fn)(struct control *c, bool is_watched))
{
    e->on_watched = fn;
}

void events_watch_elsewhere(struct events *e, bool is_watched)
{
    const struct engine_api *h = e->control->host;
    e->is_watched_elsewhere = is_watched;
    h->set_watched(h->arg, is_watched || events_are_watched(e));
}

void events_forward(struct events *e, void (*fn)(struct control *c, const struct event_view *v))
{
    e->forward = fn;
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

static bool event_view(const struct event_kept *k, struct event_view *ret)
{
    const char *text = buf_str(&k->texts).p;
    *ret = (struct event_view){.time_ms = k->time_ms,
                               .is_end = k->is_end,
                               .age_ms = k->age_ms,
                               .in_bytes = k->in_bytes,
                               .out_bytes = k->out_bytes};
    for (size_t i = 0; text && i < EVENT_TEXTS; i++, text += strlen(text) + 1)
        ret->texts[i] = text;
    return text != NULL;
}

void event_put(json_t *row, const struct event_view *e)
{
    char age[32], in[32], out[32], words[192];
    request_put_number(row, "time", e->time_ms);
    for (size_t i = 0; i < EVENT_TEXTS; i++)
        request_set_text(row, event_columns[i], e->texts[i]);
    if (e->is_end) {
        /* The figures of an end are put into words only for those who read them. */
        units_human_duration(age, e->age_ms);
        units_human_size(in, e->in_bytes);
        units_human_size(out, e->out_bytes);
        (void)snprintf(words, sizeof(words), "%s after %s, in %s, out %s", e->texts[EVENT_TEXT],
                       age, in, out);
        request_set_text(row, "text", words);
        request_put_number(row, "age", e->age_ms);
        request_put_number(row, "in", e->in_bytes);
        request_put_number(row, "out", e->out_bytes);
    }
}

/* The row of an event, owned by the caller; NULL without memory. */
static json_t *event_row(const struct event_kept *k)
{
    struct event_view view;
    json_t *row = event_view(k, &view) ? json_object() : NULL;
    if (row)
        event_put(row, &view);
    return row;
}

static void on_watcher_pause(struct loop_timer *t)
{
    struct watcher *w = CONTAINER_OF(t, struct watcher, pause);
    loop_slice(w->events->control->host->loop, &w->slice);
}

/* Kept events of a stream that is behind, as fast as its reader takes them. */
static void on_watcher_slice(struct loop_slice *s)
{
    struct watcher *w = CONTAINER_OF(s, struct watcher, slice);
    struct events *e = w->events;
    uint64_t stream = w->stream.stream;
    if (client_backlog(w->stream.client) > EVENTS_BACKLOG) {
        loop_unslice(&w->slice);
        loop_timer_set(e->control->host->loop, &w->pause, EVENTS_BACKLOG_MS);
        return;
    }
    for (int i = 0; i < EVENTS_LOOKED && w && w->at < e->n_kept; i++) {
        uint64_t oldest = e->n_kept > EVENTS_KEPT ? e->n_kept - EVENTS_KEPT : 0;
        w->at = w->at < oldest ? oldest : w->at;
        json_t *row = event_row(&e->kept[w->at++ % EVENTS_KEPT]);
        bool is_wanted = row && watcher_wants(w, row);
        if (is_wanted)
            watcher_send(w, row);
        json_decref(row);
        w = is_wanted ? events_find(e, stream) : w;
    }
    if (!w || w->at < e->n_kept)
        return;
    w->is_behind = false;
    loop_unslice(&w->slice);
}

int events_watch(struct events *e, struct client *client, struct filter *filter, uint64_t from,
                 uint64_t *ret_stream)
{
    size_t n = 0;
    LIST_FOREACH (it, &e->watchers)
        n += LIST_ITEM(it, struct watcher, link)->stream.client == client;
    if (n >= EVENTS_STREAMS_MAX)
        return -ERR_TOO_MANY;
    struct watcher *w = calloc(1, sizeof(*w));
    if (!w)
        return -ERR_NOMEM;
    *w = (struct watcher){.stream = {.stream = rpc_next_number(&e->control->rpc),
                                     .cancel = watcher_end,
                                     .gone = watcher_end},
                          .events = e,
                          .filter = filter ? filter_ref(filter) : NULL,
                          .slice = {.step = on_watcher_slice},
                          .is_behind = from < e->n_kept,
                          .at = from};
    list_init(&w->slice.link);
    loop_timer_init(&w->pause, on_watcher_pause);
    if (w->is_behind)
        loop_slice(e->control->host->loop, &w->slice);
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
        if (w && !w->is_behind && watcher_wants(w, row))
            watcher_send(w, row);
    }
}

/* NULL without memory: the event is lost. */
static struct event_kept *events_keep(struct events *e, const char *const *texts)
{
    struct event_kept *k = &e->kept[e->n_kept % EVENTS_KEPT];
    size_t sizes[EVENT_TEXTS], n = 0;
    for (size_t i = 0; i < EVENT_TEXTS; i++)
        n += sizes[i] = 1 + (texts[i] ? strlen(texts[i]) : 0);
    buf_clear(&k->texts);
    if (buf_reserve(&k->texts, n) < 0) {
        buf_fini(&k->texts);
        return NULL;
    }
    char *at = buf_tail(&k->texts);
    for (size_t i = 0; i < EVENT_TEXTS; at += sizes[i++])
        if (texts[i])
            memcpy(at, texts[i], sizes[i]);
        else
            *at = '\0';
    buf_commit(&k->texts, n);
    k->time_ms = clock_wall_ms();
    k->is_end = false;
    e->n_kept++;
    return k;
}

/* k may be NULL: it could not be kept. */
static void events_tell(struct events *e, const struct event_kept *k)
{
    struct event_view view;
    if (k && e->forward && event_view(k, &view))
        e->forward(e->control, &view);
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
    const char *const texts[EVENT_TEXTS] = {
        [EVENT_TYPE] = type, [EVENT_SESSION] = session, [EVENT_PROTO] = proto, [EVENT_USER] = user,
        [EVENT_IP] = ip,     [EVENT_BACKEND] = backend, [EVENT_TEXT] = text};
    if (c && c->events)
        events_tell(c->events, events_keep(c->events, texts));
}

void control_event_failure(struct control *c, const struct control_failure *f)
{
    const char *const texts[EVENT_TEXTS] = {
        [EVENT_TYPE] = "failure",       [EVENT_SESSION] = f->session, [EVENT_PROTO] = f->proto,
        [EVENT_USER] = f->user,         [EVENT_IP] = f->ip,           [EVENT_BACKEND] = f->backend,
        [EVENT_TEXT] = f->text,         [EVENT_CAUSE] = f->cause,     [EVENT_SOURCE] = f->source,
        [EVENT_LISTENER] = f->listener,
    };
    if (c && c->events)
        events_tell(c->events, events_keep(c->events, texts));
}

void control_event_end(struct control *c, const struct control_end *end)
{
    const char *const texts[EVENT_TEXTS] = {"end",   end->session, end->proto, end->user,
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

void events_take(struct events *e, const struct event_view *v)
{
    struct event_kept *k = events_keep(e, v->texts);
    if (k) {
        k->time_ms = v->time_ms;
        k->is_end = v->is_end;
        k->age_ms = v->age_ms;
        k->in_bytes = v->in_bytes;
        k->out_bytes = v->out_bytes;
    }
    events_tell(e, k);
}

/* ---- what is kept ---- */

/* Whether there is more to look at. */
static bool events_look(struct events_job *j)
{
    struct events *e = j->events;
    uint64_t oldest = e->n_kept > EVENTS_KEPT ? e->n_kept - EVENTS_KEPT : 0;
    uint64_t now = clock_wall_ms();
    struct event_view view;
    if (j->at <= oldest)
        return false;
    const struct event_kept *k = &e->kept[--j->at % EVENTS_KEPT];
    if (j->scan.since_ms && k->time_ms + j->scan.since_ms < now)
        return false;
    if (!event_view(k, &view))
        return true;
    view.number = j->at;
    j->seen++;
    json_t *row = j->scan.filter ? event_row(k) : NULL;
    bool is_match = !j->scan.filter || (row && filter_match(j->scan.filter, command_row_get, row));
    json_decref(row);
    return !is_match || j->scan.one(j->scan.arg, &view);
}

static void on_events_slice(struct loop_slice *s)
{
    struct events_job *j = CONTAINER_OF(s, struct events_job, slice);
    bool has_more = true;
    for (int i = 0; i < EVENTS_LOOKED && has_more; i++)
        has_more = events_look(j);
    if (has_more)
        return;
    const struct event_scan scan = j->scan;
    uint64_t seen = j->seen;
    j->scan.filter = NULL;
    events_job_free(j);
    scan.done(scan.arg, seen);
    filter_unref(scan.filter);
}

int events_scan(struct events *e, const struct event_scan *scan)
{
    struct events_job *j = calloc(1, sizeof(*j));
    if (!j) {
        filter_unref(scan->filter);
        return -ERR_NOMEM;
    }
    *j = (struct events_job){.events = e, .scan = *scan, .at = e->n_kept};
    list_add_tail(&e->jobs, &j->link);
    list_init(&j->slice.link);
    j->slice.step = on_events_slice;
    loop_slice(e->control->host->loop, &j->slice);
    return 0;
}
