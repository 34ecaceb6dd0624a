/* SPDX-License-Identifier: ISC */
/* Streams that other nodes wish: each is a client of this daemon, whose lines are counted, kept for
 * a moment, and sent together. What is too much is left out; the count tells who asked. */
#include "base/log/log.h"
#include "base/zalloc.h"
#include "fleet/live/fleet_live_priv.h"
#include "rpc/client.h"
#include "runtime/state.h"

#define FEEDS_MAX 64
#define FEED_LINES_MAX 2000           /* that wait */
#define FEED_BYTES_MAX (256 * 1024)   /* likewise, about */
#define FEED_BATCH_BYTES (128 * 1024) /* of a message, about */
#define FEED_BATCH_LINES 500

struct feed {
    struct list link;
    struct fleet_live *live;
    char id[LIVE_ID_MAX];
    char *node, *to; /* who asks, and the stream of its engine */
    struct client *client;
    uint64_t until_ms;
    json_t *lines; /* that wait */
    size_t bytes;
    uint64_t count;    /* of lines before those that wait, left out ones among them */
    uint64_t told;     /* of lines that the node that asked knows to have been */
    uint64_t left_out; /* behind those that wait: no room was left */
    char *end;         /* the stream is over: why; NULL */
    char *error;       /* name of the error, of one that did not begin; NULL */
    bool is_told;      /* the node that asked knows of it, or of its end */
};

static void feed_free(struct feed *f)
{
    list_del(&f->link);
    client_close_own(f->client);
    json_decref(f->lines);
    free(f->node);
    free(f->to);
    free(f->end);
    free(f->error);
    free(f);
}

static struct feed *feed_find(const struct fleet_live *l, const char *from, const json_t *m)
{
    const char *id = json_string_value(json_object_get(m, "id"));
    LIST_FOREACH (it, &l->feeds) {
        struct feed *f = LIST_ITEM(it, struct feed, link);
        if (id && strcmp(f->id, id) == 0 && strcmp(f->node, from) == 0)
            return f;
    }
    return NULL;
}

/* ---- what the daemon says ---- */

static void feed_end(struct feed *f, const char *why, const char *error)
{
    if (f->end)
        return;
    f->end = str_dup_c(why ? why : "it is over");
    f->error = str_dup_c(error);
}

/* Texts of a line, about as long as it gets. */
static size_t line_bytes(const json_t *line)
{
    size_t n = 0;
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)line, name, value)
        n += strlen(name) + json_string_length(value) + 16;
    return n;
}

static void feed_line(struct feed *f, const json_t *params)
{
    size_t n = line_bytes(params);
    bool has_room = f->left_out == 0 && json_array_size(f->lines) < FEED_LINES_MAX &&
                    f->bytes + n < FEED_BYTES_MAX;
    json_t *line = has_room ? json_copy((json_t *)params) : NULL;
    if (!line) {
        f->left_out++;
        return;
    }
    (void)json_object_del(line, "stream");
    f->bytes += n;
    (void)json_array_append_new(f->lines, line);
}

static void feed_send(void *arg, const json_t *m)
{
    struct feed *f = arg;
    const char *method = json_string_value(json_object_get(m, "method"));
    const json_t *params = json_object_get(m, "params"), *error = json_object_get(m, "error");
    if (error)
        feed_end(f, json_string_value(json_object_get(error, "message")),
                 json_string_value(json_object_get(json_object_get(error, "data"), "name")));
    else if (method && strcmp(method, "event") == 0)
        feed_line(f, params);
    else if (method && strcmp(method, "end") == 0)
        feed_end(f, json_string_value(json_object_get(params, "message")), NULL);
}

static size_t feed_backlog(void *arg)
{
    const struct feed *f = arg;
    return f->bytes;
}

static const struct client_sink feed_sink = {.send = feed_send, .backlog = feed_backlog};

/* ---- what goes out ---- */

static json_t *feed_batch(struct feed *f)
{
    json_t *batch = json_array();
    size_t n = 0;
    while (batch && json_array_size(f->lines) > 0 && n < FEED_BATCH_BYTES &&
           json_array_size(batch) < FEED_BATCH_LINES) {
        json_t *line = json_array_get(f->lines, 0);
        n += line_bytes(line);
        (void)json_array_append(batch, line);
        (void)json_array_remove(f->lines, 0);
    }
    f->bytes = f->bytes > n && json_array_size(f->lines) > 0 ? f->bytes - n : 0;
    return batch;
}

/* One message of a tick. False: it was the last. */
static bool feed_flush(struct feed *f)
{
    size_t n = json_array_size(f->lines);
    if (n == 0 && f->is_told && f->told == f->count && !f->end)
        return true;
    json_t *batch = feed_batch(f);
    json_t *m = json_pack("{s:s, s:s, s:I, s:O}", "kind", "lines", "id", f->id, "at",
                          (json_int_t)f->count, "lines", batch);
    bool is_last = json_array_size(f->lines) == 0;
    f->count += json_array_size(batch);
    f->told = f->count;
    if (is_last) {
        f->count += f->left_out;
        f->left_out = 0;
    }
    if (m && is_last && f->end) {
        request_set_text(m, "end", f->end);
        request_set_text(m, "error", f->error);
        request_put_number(m, "count", f->count);
    }
    fleet_live_send(f->live, f->to, m);
    json_decref(batch);
    f->is_told = true;
    return !is_last || !f->end;
}

bool fleet_feeds_tick(struct fleet_live *l)
{
    uint64_t now = loop_now_ms(l->loop);
    LIST_FOREACH_SAFE (it, &l->feeds) {
        struct feed *f = LIST_ITEM(it, struct feed, link);
        if (now >= f->until_ms || !feed_flush(f))
            feed_free(f);
    }
    return !list_is_empty(&l->feeds);
}

/* ---- what is wished ---- */

static int feed_begin(struct feed *f, const char *from, const char *to, const json_t *m)
{
    /* Who asks, as it is in the audit here. */
    const char *user = json_string_value(json_object_get(m, "user"));
    json_int_t role = json_integer_value(json_object_get(m, "role"));
    struct peer peer = {.uid = UINT32_MAX,
                        .role = role < ROLE_VIEWER  ? ROLE_VIEWER
                                : role > ROLE_ADMIN ? ROLE_ADMIN
                                                    : (enum role)role};
    (void)snprintf(peer.user, sizeof(peer.user), "%.63s@%.64s", user ? user : "?", from);
    (void)str_copy(f->id, sizeof(f->id), str_of(json_string_value(json_object_get(m, "id"))));
    f->node = str_dup_c(from);
    f->to = str_dup_c(to);
    f->lines = json_array();
    if (!f->node || !f->to || !f->lines)
        return -ERR_NOMEM;
    return client_open_own(&f->live->control->rpc, &peer, &feed_sink, f, &f->client);
}

void fleet_feed_wished(struct fleet_live *l, const char *from, const json_t *m)
{
    const char *id = json_string_value(json_object_get(m, "id"));
    const char *method = json_string_value(json_object_get(m, "method"));
    const json_t *params = json_object_get(m, "params");
    const struct command *c = method ? commands_find_method(method) : NULL;
    struct feed *f = feed_find(l, from, m);
    size_t n = 0;
    LIST_FOREACH (it, &l->feeds)
        n++;
    if (f) {
        f->until_ms = loop_now_ms(l->loop) + l->life_ms;
        return;
    }
    /* The engine of that node which serves: the only one that may ask. */
    const struct fleet_node *asking = fleet_nodes_find(fleet_nodes(l->fleet), from);
    AUTO_FREE char *to =
        asking ? str_printf("%slive:%s", fleet_prefix(l->fleet), asking->holder) : NULL;
    if (!id || strlen(id) >= LIVE_ID_MAX || !c || !(c->flags & COMMANDS_STREAM) ||
        strcmp(c->noun, "fleet") == 0 || !to || strcmp(from, l->node) == 0 || n >= FEEDS_MAX ||
        !(f = zalloc(sizeof(*f))))
        return; /* who asked says that nothing comes */
    list_init(&f->link);
    f->live = l;
    f->until_ms = loop_now_ms(l->loop) + l->life_ms;
    if (feed_begin(f, from, to, m) < 0) {
        feed_free(f);
        return;
    }
    list_add_tail(&l->feeds, &f->link);
    LOG_EVENT(LOG_LEVEL_INFO, "fleet-stream", KV_STR("node", from), KV_STR("command", method));
    client_ask(f->client, method, params);
    fleet_live_wake(l);
}

void fleet_feed_stopped(struct fleet_live *l, const char *from, const json_t *m)
{
    struct feed *f = feed_find(l, from, m);
    if (f)
        feed_free(f);
}

void fleet_feeds_fini(struct fleet_live *l)
{
    while (!list_is_empty(&l->feeds))
        feed_free(LIST_ITEM(l->feeds.next, struct feed, link));
}
