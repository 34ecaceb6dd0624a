/* SPDX-License-Identifier: ISC */
/* Streams that were asked of this node: its own part, that of each other node, and what is said of
 * those that have none. */
#include "base/clock.h"
#include "base/zalloc.h"
#include "fleet/live/fleet_live_priv.h"
#include "rpc/client.h"
#include "runtime/state.h"
#include "session/trace.h"

#define FOLLOWS_MAX 32
#define FOLLOW_BACKLOG_MAX ((size_t)1024 * 1024) /* of a reader; beyond it loses lines */
#define FOLLOW_BEGIN_MS 8000 /* a node says so long nothing at all: it does not answer */

/* What one node has to do with it. */
struct follow_node {
    struct list link;
    char name[FLEET_HOLDER_SIZE];
    uint64_t asked_ms; /* monotonic: first */
    uint64_t count;    /* of its lines that came, or were lost */
    uint64_t lost;     /* lines, and not said yet */
    bool is_away, is_heard, is_over, is_silent;
};

struct follow {
    struct list link;
    struct fleet_live *live;
    char id[LIVE_ID_MAX];
    struct request *request; /* until it is answered; one reference */
    const struct command *command;
    json_t *params;
    char *only; /* the one node that is asked; NULL = all */
    struct peer peer;
    struct client_link stream;
    struct client *own; /* of this node's part; NULL = it has none, or it is over */
    bool is_own_over;   /* it is to be closed */
    struct list nodes;  /* struct follow_node: the others */
    uint64_t renewed_ms;
    const char *ends; /* why it ends with the next tick; NULL */
};

static void follow_free(struct follow *f)
{
    list_del(&f->link);
    client_detach(&f->stream);
    client_close_own(f->own);
    LIST_FOREACH_SAFE (it, &f->nodes)
        free(LIST_ITEM(it, struct follow_node, link));
    json_decref(f->params);
    free(f->only);
    free(f);
}

/* ---- to the client ---- */

/* A line, with the name of its node; false: the client does not read. */
static bool follow_pass(const struct follow *f, const char *node, const json_t *line)
{
    struct client *client = f->stream.client;
    if (!client || client_backlog(client) > FOLLOW_BACKLOG_MAX)
        return false;
    json_t *params = json_copy((json_t *)line);
    json_t *m =
        params ? json_pack("{s:s, s:s, s:O}", "jsonrpc", "2.0", "method", "event", "params", params)
               : NULL;
    request_set_text(params, "node", node);
    request_put_number(params, "stream", f->stream.stream);
    if (m)
        client_send(client, m);
    json_decref(params);
    json_decref(m);
    return m != NULL;
}

/* Something about a node, as a line of the stream. */
static bool follow_note(const struct follow *f, const char *node, const char *text)
{
    json_t *line = json_object();
    request_put_number(line, "time", clock_wall_ms());
    if (strcmp(f->command->method, "session.trace") == 0) {
        request_set_text(line, "mark", trace_direction_marker(TRACE_NOTE));
        request_set_text(line, "direction", trace_direction_name(TRACE_NOTE));
    } else {
        request_set_text(line, "type", "fleet");
    }
    request_set_text(line, "text", text);
    bool is_passed = follow_pass(f, node, line);
    json_decref(line);
    return is_passed;
}

/* What was lost is said before what follows it. */
static void follow_lost(struct follow *f, struct follow_node *n)
{
    AUTO_FREE char *text =
        n->lost ? str_printf("%llu lines of this node are missing: they were not read fast enough, "
                             "or did not come through",
                             (unsigned long long)n->lost)
                : NULL;
    if (text && follow_note(f, n->name, text))
        n->lost = 0;
}

static void follow_lose(struct follow *f, struct follow_node *n, uint64_t lines)
{
    n->lost += lines;
    f->live->lost += lines;
}

/* ---- the end ---- */

/* why: for the client; NULL: it is gone, or does not want to hear more. */
static void follow_end(struct follow *f, const char *why)
{
    struct client *client = f->stream.client;
    const struct fleet_nodes *nodes = fleet_nodes(f->live->fleet);
    for (size_t i = 0; i < nodes->n; i++) {
        AUTO_FREE char *to =
            str_printf("%slive:%s", fleet_prefix(f->live->fleet), nodes->v[i].holder);
        if (to && strcmp(nodes->v[i].name, f->live->node) != 0 &&
            (!f->only || strcmp(f->only, nodes->v[i].name) == 0))
            fleet_live_send(f->live, to, json_pack("{s:s, s:s}", "kind", "stop", "id", f->id));
    }
    client_detach(&f->stream);
    json_t *end = why && client
                      ? json_pack("{s:s, s:s, s:{s:I, s:s}}", "jsonrpc", "2.0", "method", "end",
                                  "params", "stream", (json_int_t)f->stream.stream, "message", why)
                      : NULL;
    if (end)
        client_send(client, end);
    json_decref(end);
    follow_free(f);
}

static void on_cancel(struct client_link *link)
{
    follow_end(CONTAINER_OF(link, struct follow, stream), "cancelled");
}

/* The client may be gone while it is being told something. */
static void on_gone(struct client_link *link)
{
    struct follow *f = CONTAINER_OF(link, struct follow, stream);
    f->ends = "who asked for it is gone";
    fleet_live_wake(f->live);
}

/* All that have a part in it are done. */
static bool follow_is_over(const struct follow *f)
{
    if (f->request || (f->own && !f->is_own_over))
        return false;
    LIST_FOREACH (it, &f->nodes) {
        const struct follow_node *n = LIST_ITEM(it, struct follow_node, link);
        if (!n->is_over && !n->is_away && !n->is_silent)
            return false;
    }
    return true;
}

/* ---- the own part ---- */

static void follow_answer(struct follow *f)
{
    struct request *r = STEAL(f->request);
    if (!r->client)
        f->ends = "who asked for it is gone";
    else
        client_attach(r->client, &f->stream);
    request_answer(r, json_pack("{s:I}", "stream", (json_int_t)f->stream.stream));
    request_unref(r);
    fleet_follows_check(f->live);
    fleet_live_wake(f->live);
}

/* Wrong parameters are wrong everywhere. */
static void follow_refuse(struct follow *f, const json_t *error)
{
    struct request *r = STEAL(f->request);
    const json_t *data = json_object_get(error, "data");
    const char *name = json_string_value(json_object_get(data, "name"));
    const char *text = json_string_value(json_object_get(error, "message"));
    int err = name ? err_from_name(name) : ERR_OK;
    request_fail(r, err ? err : ERR_INTERNAL, json_string_value(json_object_get(data, "hint")),
                 "%s", text ? text : "it did not begin");
    request_unref(r);
    f->ends = "it did not begin";
    fleet_live_wake(f->live);
}

static void own_send(void *arg, const json_t *m)
{
    struct follow *f = arg;
    const char *method = json_string_value(json_object_get(m, "method"));
    const json_t *error = json_object_get(m, "error");
    if (error && f->request)
        follow_refuse(f, error);
    else if (json_object_get(m, "result") && f->request)
        follow_answer(f);
    else if (method && strcmp(method, "event") == 0)
        (void)follow_pass(f, f->live->node, json_object_get(m, "params"));
    else if (method && strcmp(method, "end") == 0)
        f->is_own_over = true;
}

static size_t own_backlog(void *arg)
{
    const struct follow *f = arg;
    return f->stream.client ? client_backlog(f->stream.client) : 0;
}

static const struct client_sink own_sink = {.send = own_send, .backlog = own_backlog};

/* ---- the others ---- */

static struct follow_node *follow_find(const struct follow *f, const char *name)
{
    LIST_FOREACH (it, &f->nodes) {
        struct follow_node *n = LIST_ITEM(it, struct follow_node, link);
        if (strcmp(n->name, name) == 0)
            return n;
    }
    return NULL;
}

/* Notes who has gone and who is back. True: it is to be told the wish now. */
static bool follow_look(struct follow *f, const struct fleet_node *node)
{
    struct follow_node *n = follow_find(f, node->name);
    if (!n && (n = zalloc(sizeof(*n)))) {
        (void)str_copy(n->name, sizeof(n->name), str_of(node->name));
        list_add_tail(&f->nodes, &n->link);
    }
    bool is_alive = fleet_is_alive(f->live->fleet, node);
    uint64_t now = loop_now_ms(f->live->loop);
    if (!n || n->is_over)
        return false;
    bool is_new = n->asked_ms == 0, was_away = n->is_away;
    n->asked_ms = is_new || was_away ? now : n->asked_ms;
    n->is_away = !is_alive;
    if (n->is_away && (is_new || !was_away))
        (void)follow_note(f, n->name, "this node is away: what happens there is missing");
    else if (is_alive && was_away)
        (void)follow_note(f, n->name, "this node is there again");
    bool is_silent = is_alive && !n->is_heard && now >= n->asked_ms + FOLLOW_BEGIN_MS;
    if (is_silent && !n->is_silent)
        (void)follow_note(f, n->name, "this node does not answer: what happens there is missing");
    n->is_silent = is_silent;
    return is_alive && (is_new || was_away);
}

/* all: the wish is told again to everybody. */
static void follow_check(struct follow *f, bool is_for_all)
{
    const struct fleet_nodes *nodes = fleet_nodes(f->live->fleet);
    for (size_t i = 0; i < nodes->n; i++) {
        const struct fleet_node *node = &nodes->v[i];
        bool is_meant = fleet_nodes_is_first(nodes, i) && strcmp(node->name, f->live->node) != 0 &&
                        (!f->only || strcmp(f->only, node->name) == 0);
        if (!is_meant)
            continue;
        bool is_due = follow_look(f, node);
        const struct follow_node *n = follow_find(f, node->name);
        if (!n || n->is_over || n->is_away || !(is_due || is_for_all))
            continue;
        AUTO_FREE char *to = str_printf("%slive:%s", fleet_prefix(f->live->fleet), node->holder);
        if (to)
            fleet_live_send(f->live, to,
                            json_pack("{s:s, s:s, s:s, s:O, s:s, s:i}", "kind", "wish", "id", f->id,
                                      "method", f->command->method, "params", f->params, "user",
                                      f->peer.user, "role", (int)f->peer.role));
    }
}

void fleet_follows_check(struct fleet_live *l)
{
    LIST_FOREACH (it, &l->follows) {
        struct follow *f = LIST_ITEM(it, struct follow, link);
        if (!f->request && !f->ends)
            follow_check(f, false);
    }
}

void fleet_follow_heard(struct fleet_live *l, const char *from, const json_t *m)
{
    const char *id = json_string_value(json_object_get(m, "id"));
    const json_t *lines = json_object_get(m, "lines"), *line, *end = json_object_get(m, "end");
    struct follow *f = NULL;
    size_t i;
    LIST_FOREACH (it, &l->follows)
        if (id && strcmp(LIST_ITEM(it, struct follow, link)->id, id) == 0)
            f = LIST_ITEM(it, struct follow, link);
    struct follow_node *n = f && !f->request ? follow_find(f, from) : NULL;
    json_int_t at = json_integer_value(json_object_get(m, "at"));
    if (!n || n->is_over || f->ends || at < 0)
        return;
    if ((uint64_t)at < n->count) /* it has begun anew */
        n->count = 0;
    follow_lose(f, n, (uint64_t)at - n->count);
    n->count = (uint64_t)at + json_array_size(lines);
    n->is_heard = true;
    n->is_silent = false;
    json_array_foreach (lines, i, line) {
        follow_lost(f, n);
        if (n->lost > 0 || !follow_pass(f, n->name, line))
            follow_lose(f, n, 1);
    }
    if (!end)
        return;
    json_int_t count = json_integer_value(json_object_get(m, "count"));
    if (count > 0 && (uint64_t)count > n->count)
        follow_lose(f, n, (uint64_t)count - n->count);
    follow_lost(f, n);
    AUTO_FREE char *text = str_printf("the stream of this node has ended: %s",
                                      json_string_length(end) ? json_string_value(end) : "?");
    n->is_over = true;
    (void)follow_note(f, n->name, text);
}

/* ---- when ---- */

bool fleet_follows_tick(struct fleet_live *l)
{
    uint64_t now = loop_now_ms(l->loop);
    LIST_FOREACH_SAFE (it, &l->follows) {
        struct follow *f = LIST_ITEM(it, struct follow, link);
        if (f->is_own_over) {
            client_close_own(STEAL(f->own));
            f->is_own_over = false;
        }
        if (f->ends || follow_is_over(f)) {
            follow_end(f, f->ends ? f->ends : "all nodes have ended theirs");
            continue;
        }
        if (f->request)
            continue;
        bool is_due = now >= f->renewed_ms + l->life_ms / 3;
        f->renewed_ms = is_due ? now : f->renewed_ms;
        follow_check(f, is_due);
        LIST_FOREACH (n, &f->nodes)
            follow_lost(f, LIST_ITEM(n, struct follow_node, link));
    }
    return !list_is_empty(&l->follows);
}

/* ---- the beginning ---- */

static int follow_begin(struct fleet_live *l, struct request *r, const struct command *c,
                        const json_t *params, const char *node, struct follow **ret)
{
    struct follow *f = zalloc(sizeof(*f));
    if (!f)
        return -ERR_NOMEM;
    list_init(&f->link);
    list_init(&f->nodes);
    f->live = l;
    f->command = c;
    f->params = json_deep_copy(params);
    f->only = str_dup_c(node);
    f->peer = r->peer;
    f->stream = (struct client_link){
        .stream = rpc_next_number(&l->control->rpc), .cancel = on_cancel, .gone = on_gone};
    l->number = fleet_message_number(l->number, clock_wall_ms());
    (void)snprintf(f->id, sizeof(f->id), "%.24s-%llx", l->node, (unsigned long long)l->number);
    bool is_here = !node || strcmp(node, l->node) == 0;
    int err = f->params && (f->only || !node) ? 0 : -ERR_NOMEM;
    if (err == 0 && is_here)
        err = client_open_own(&l->control->rpc, &r->peer, &own_sink, f, &f->own);
    if (err < 0) {
        follow_free(f);
        return err;
    }
    *ret = f;
    return 0;
}

void fleet_live_watch(struct fleet_live *l, struct request *r, const struct command *c,
                      const json_t *params, const char *node)
{
    struct follow *f = NULL;
    size_t n = 0;
    bool is_known =
        !node || strcmp(node, l->node) == 0 || fleet_nodes_find(fleet_nodes(l->fleet), node);
    LIST_FOREACH (it, &l->follows)
        n++;
    if (!is_known) {
        request_fail(r, -ERR_NOT_FOUND, "fleet list", "the fleet has no node %.64s", node);
        return;
    }
    int err = n < FOLLOWS_MAX ? follow_begin(l, r, c, params, node, &f) : -ERR_TOO_MANY;
    if (err < 0) {
        request_fail(r, err, NULL, NULL);
        return;
    }
    f->request = request_ref(r);
    f->renewed_ms = loop_now_ms(l->loop);
    list_add_tail(&l->follows, &f->link);
    if (f->own)
        client_ask(f->own, c->method, f->params);
    else
        follow_answer(f); /* what is wrong the other node says */
    fleet_live_wake(l);
}

void fleet_follows_fini(struct fleet_live *l)
{
    while (!list_is_empty(&l->follows)) {
        struct follow *f = LIST_ITEM(l->follows.next, struct follow, link);
        if (f->request) {
            struct request *r = STEAL(f->request);
            request_abandon(r);
            request_unref(r);
        }
        follow_free(f);
    }
}
