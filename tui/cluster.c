/* SPDX-License-Identifier: ISC */
/* One question to several daemons, and its answers. */
#include "tui/cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "tui/merge.h"

#define CLUSTER_WAIT_MS 1500 /* for those that have not answered what only looks */
/* For silent ones to answer a change, longer than its --grace, and that when it is not given. */
#define CLUSTER_CHANGE_MS 10000
#define CLUSTER_GRACE_MS 30000
#define CLUSTER_UNKNOWN "whether it was done is not known"
#define CLUSTER_WINDOWS 8 /* lists whose places are known */
#define CLUSTER_TEXT 256

enum part_state { PART_AWAY, PART_WAITING, PART_DONE, PART_FAILED };

struct cluster_request;

/* A daemon's share of a question. */
struct cluster_part {
    struct cluster_request *request;
    enum part_state state;
    bool is_overdue; /* the others were enough; it still owes its answer */
    json_t *result;
    enum err err;
    char text[CLUSTER_TEXT]; /* of a failure */
};

/* What a daemon has of a stream of all. */
struct cluster_share {
    struct cluster *cluster;
    size_t place;
    json_int_t id;          /* of its own stream; 0 = not open there */
    char why[CLUSTER_TEXT]; /* it refused: "mx2: too many streams"; "" = it did not */
};

/* A stream of all daemons. */
struct cluster_stream {
    struct cluster_stream *next;
    json_int_t id;
    char *method;
    json_t *params;
    struct cluster_share shares[MERGE_MAX];
};

struct cluster_request {
    struct cluster_request *next;
    struct cluster *cluster;
    const struct command *command;
    json_t *params;
    rpc_client_answer_fn *fn; /* NULL: answered, or nobody wants it any more */
    void *arg;
    uint64_t due_ms;        /* 0 = all are waited for, */
    uint64_t silent_due_ms; /* but those that are silent no longer than this; 0 = they, too */
    bool is_answered;
    struct merge_window *window;   /* borrowed */
    struct cluster_stream *stream; /* that it opens; borrowed */
    size_t n_waiting;
    struct merge_answer answers[MERGE_MAX];
    struct cluster_part parts[MERGE_MAX];
};

/* Where a list stands; a new question begins anew. */
struct cluster_window {
    char *question;
    struct merge_window window;
};

struct cluster {
    struct cluster_member members[MERGE_MAX];
    size_t n, n_overdue[MERGE_MAX]; /* answers that a daemon still owes after their time */
    struct cluster_request *requests;
    struct cluster_stream *streams;
    json_int_t last_stream;
    struct cluster_window windows[CLUSTER_WINDOWS]; /* a ring */
    size_t n_windows;
};

int cluster_new(const struct cluster_member *members, size_t n, struct cluster **ret)
{
    if (n > MERGE_MAX)
        return -ERR_TOO_MANY;
    struct cluster *c = calloc(1, sizeof(*c));
    if (!c)
        return -ERR_NOMEM;
    memcpy(c->members, members, n * sizeof(*members));
    c->n = n;
    *ret = c;
    return 0;
}

static void request_free(struct cluster_request *r)
{
    for (size_t i = 0; i < MERGE_MAX; i++)
        json_decref(r->parts[i].result);
    json_decref(r->params);
    free(r);
}

static void stream_free(struct cluster_stream *s)
{
    json_decref(s->params);
    free(s->method);
    free(s);
}

void cluster_free(struct cluster *c)
{
    if (!c)
        return;
    for (struct cluster_request *r; (r = c->requests);) {
        c->requests = r->next;
        request_free(r);
    }
    for (struct cluster_stream *s; (s = c->streams);) {
        c->streams = s->next;
        stream_free(s);
    }
    for (size_t i = 0; i < CLUSTER_WINDOWS; i++)
        free(c->windows[i].question);
    free(c);
}

bool cluster_is_silent(const struct cluster *c, size_t place)
{
    return c->n_overdue[place] > 0;
}

size_t cluster_connected(const struct cluster *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++)
        n += rpc_client_hello(c->members[i].rpc) != NULL;
    return n;
}

size_t cluster_pending(const struct cluster *c)
{
    size_t n = 0;
    for (const struct cluster_request *r = c->requests; r; r = r->next)
        n += !r->is_answered;
    return n;
}

void cluster_forget(struct cluster *c, rpc_client_answer_fn *fn, const void *arg)
{
    for (struct cluster_request *r = c->requests; r; r = r->next)
        if (r->fn == fn && r->arg == arg)
            r->fn = NULL;
}

/* ---- streams ---- */

static void stream_cancel(struct cluster *c, size_t place, json_int_t id)
{
    if (id)
        (void)rpc_client_ask(c->members[place].rpc, "stream.cancel",
                             json_pack("{s:I}", "stream", id), NULL, NULL);
}

/* Cuts what snprintf may have cut within a character. */
static void text_trim(char *text)
{
    for (size_t n = strlen(text); n > 0 && !str_is_utf8(str_n(text, n)); n--)
        text[n - 1] = '\0';
}

static const char *error_words(const struct control_client_error *error)
{
    return error->text && error->text[0] ? error->text : "failed";
}

static void share_take(struct cluster_share *share, const json_t *result,
                       const struct control_client_error *error)
{
    share->id = json_integer_value(json_object_get(result, "stream"));
    share->why[0] = '\0';
    if (result)
        return;
    snprintf(share->why, sizeof(share->why), "%s: %s", share->cluster->members[share->place].name,
             error_words(error));
    text_trim(share->why);
}

static void on_stream_again(void *arg, const json_t *result,
                            const struct control_client_error *error)
{
    share_take(arg, result, error);
}

static struct cluster_stream *cluster_open_stream(struct cluster *c, const char *method,
                                                  const json_t *params)
{
    struct cluster_stream *s = calloc(1, sizeof(*s));
    if (!s || !(s->method = str_dup_c(method))) {
        free(s);
        return NULL;
    }
    s->id = ++c->last_stream;
    for (size_t i = 0; i < c->n; i++)
        s->shares[i] = (struct cluster_share){.cluster = c, .place = i};
    s->params = json_copy((json_t *)params);
    s->next = c->streams;
    c->streams = s;
    return s;
}

static void cluster_close_stream(struct cluster *c, json_int_t id)
{
    struct cluster_stream **at = &c->streams;
    while (*at && (*at)->id != id)
        at = &(*at)->next;
    struct cluster_stream *s = *at;
    if (!s)
        return;
    *at = s->next;
    for (size_t i = 0; i < c->n; i++) {
        rpc_client_forget(c->members[i].rpc, on_stream_again, &s->shares[i]);
        stream_cancel(c, i, s->shares[i].id);
    }
    for (struct cluster_request *r = c->requests; r; r = r->next)
        if (r->stream == s)
            r->stream = NULL;
    stream_free(s);
}

/* ---- the answer ---- */

static void unreached_add(json_t *list, const char *name, const char *text)
{
    json_array_append_new(list, json_pack("{s:s, s:s}", "name", name, "text", text));
}

/* Who had no part in it: daemons, and engines that daemons say did not answer them. */
static json_t *request_unreached(const struct cluster_request *r)
{
    const struct cluster *c = r->cluster;
    json_t *list = json_array();
    for (size_t i = 0; i < c->n; i++) {
        const struct cluster_part *p = &r->parts[i];
        const json_t *own = json_object_get(p->result, "unreached"), *engine;
        size_t k;
        if (p->state == PART_AWAY)
            unreached_add(list, c->members[i].name,
                          cluster_is_silent(c, i) ? "does not answer" : "not connected");
        else if (p->state == PART_WAITING)
            unreached_add(list, c->members[i].name, "does not answer");
        else if (p->state == PART_FAILED)
            unreached_add(list, c->members[i].name, p->text);
        json_array_foreach (own, k, engine) {
            const char *name = json_string_value(json_object_get(engine, "name"));
            const char *text = json_string_value(json_object_get(engine, "text"));
            AUTO_FREE char *whole = str_printf("%s %s", c->members[i].name, name ? name : "");
            unreached_add(list, whole ? whole : "", text ? text : "does not answer");
        }
    }
    return list;
}

/* "mx2: no such user (done by mx1)" */
static char *request_failure(const struct cluster_request *r)
{
    const struct cluster *c = r->cluster;
    AUTO_BUF text = BUF_INIT, done = BUF_INIT;
    const char *same = NULL; /* what all say is said once */
    size_t n_same = 0;
    int err = 0;
    for (size_t i = 0; i < c->n; i++) {
        const char *why = r->parts[i].text;
        same = same ? same : why[0] ? why : NULL;
        n_same += why[0] && strcmp(same, why) == 0;
    }
    if (n_same == c->n)
        return str_dup_c(same);
    for (size_t i = 0; i < c->n && err == 0; i++) {
        const struct cluster_part *p = &r->parts[i];
        const char *why = p->text[0] ? p->text : "not connected";
        if (p->state == PART_DONE)
            err = buf_printf(&done, "%s%s", done.len ? ", " : "", c->members[i].name);
        else
            err = buf_printf(&text, "%s%s: %s", text.len ? "; " : "", c->members[i].name, why);
    }
    if (err == 0 && done.len)
        err = buf_printf(&text, " (done by %.*s)", (int)done.len, buf_str(&done).p);
    return err < 0 ? NULL : buf_steal(&text);
}

static void cluster_request_answer(struct cluster_request *r)
{
    struct cluster *c = r->cluster;
    rpc_client_answer_fn *fn = r->fn;
    size_t n_done = 0, n_failed = 0;
    enum err err = ERR_CLOSED;
    r->is_answered = true;
    for (size_t i = 0; i < c->n; i++) {
        const struct cluster_part *p = &r->parts[i];
        r->answers[i].name = c->members[i].name;
        r->answers[i].result = p->state == PART_DONE ? p->result : NULL;
        n_done += p->state == PART_DONE;
        n_failed += p->state != PART_DONE;
        if (p->state == PART_FAILED)
            err = p->err;
    }
    r->fn = NULL;
    if (r->stream && (n_done == 0 || !fn)) /* nobody would close it */
        cluster_close_stream(c, r->stream->id);
    if (!fn)
        return;
    bool is_change = merge_kind(r->command) == MERGE_CHANGE;
    json_t *result = n_done && !(is_change && n_failed)
                         ? merge_answers(r->command, r->params, r->window, r->answers, c->n)
                         : NULL;
    AUTO_FREE char *failure = result ? NULL : request_failure(r);
    const struct control_client_error error = {.err = err,
                                               .text = failure ? failure : "out of memory"};
    json_t *unreached = request_unreached(r);
    if (result && r->stream)
        json_object_set_new(result, "stream", json_integer(r->stream->id));
    if (result && json_array_size(unreached))
        json_object_set(result, "unreached", unreached);
    else if (result)
        json_object_del(result, "unreached");
    json_decref(unreached);
    fn(r->arg, result, result ? NULL : &error);
    json_decref(result);
}

/* A daemon's share is known; the first of a stream is enough to begin. */
static void part_end(struct cluster_part *p, enum part_state state)
{
    struct cluster_request *r = p->request;
    size_t place = (size_t)(p - r->parts);
    if (p->is_overdue && r->cluster->n_overdue[place])
        r->cluster->n_overdue[place]--;
    p->state = state;
    r->n_waiting--;
    if (!r->is_answered && (r->n_waiting == 0 || (r->stream && state == PART_DONE)))
        cluster_request_answer(r);
    if (r->n_waiting == 0) {
        struct cluster_request **at = &r->cluster->requests;
        while (*at && *at != r)
            at = &(*at)->next;
        if (*at)
            *at = r->next;
        request_free(r);
    }
}

static void on_part(void *arg, const json_t *result, const struct control_client_error *error)
{
    struct cluster_part *p = arg;
    struct cluster_stream *s = p->request->stream;
    p->result = json_incref((json_t *)result);
    json_int_t id = json_integer_value(json_object_get(result, "stream"));
    size_t place = (size_t)(p - p->request->parts);
    if (s)
        share_take(&s->shares[place], result, error);
    else /* it was closed meanwhile */
        stream_cancel(p->request->cluster, place, id);
    if (!result) {
        /* What a daemon says of its failure. */
        p->err = (enum err)error->err;
        snprintf(p->text, sizeof(p->text), "%s%s%s%s", error_words(error), error->hint ? " (" : "",
                 error->hint ? error->hint : "", error->hint ? ")" : "");
        text_trim(p->text);
    }
    part_end(p, result ? PART_DONE : PART_FAILED);
}

/* ---- the question ---- */

/* Where the list of these parameters stands; NULL = it has no places, or no memory. */
static struct merge_window *cluster_window(struct cluster *c, const struct command *command,
                                           const json_t *params)
{
    if (!merge_is_window(command))
        return NULL;
    const char *filter = json_string_value(json_object_get(params, "filter"));
    const char *sort = json_string_value(json_object_get(params, "sort"));
    AUTO_FREE char *question =
        str_printf("%s %s %s", command->method, sort ? sort : "", filter ? filter : "");
    if (!question)
        return NULL;
    for (size_t i = 0; i < CLUSTER_WINDOWS; i++)
        if (c->windows[i].question && strcmp(c->windows[i].question, question) == 0)
            return &c->windows[i].window;
    /* One that a question of now uses stays, so many questions are never under way. */
    struct cluster_window *w = &c->windows[c->n_windows++ % CLUSTER_WINDOWS];
    free(w->question);
    *w = (struct cluster_window){.question = STEAL(question)};
    return &w->window;
}

/* Sends the shares to those that are there; what is waited for goes to silent ones, too. */
static void request_send(struct cluster_request *r)
{
    struct cluster *c = r->cluster;
    json_t *params[MERGE_MAX] = {0};
    for (size_t i = 0; i < c->n; i++)
        r->answers[i].name = c->members[i].name;
    merge_params(r->command, r->params, r->window, r->answers, c->n, params);
    for (size_t i = 0; i < c->n; i++) {
        struct cluster_part *p = &r->parts[i];
        p->request = r;
        if (r->due_ms && cluster_is_silent(c, i))
            json_decref(params[i]);
        else if (rpc_client_ask(c->members[i].rpc, r->command->method, params[i], on_part, p)) {
            p->state = PART_WAITING;
            r->n_waiting++;
        }
    }
}

bool cluster_ask(struct cluster *c, const char *method, json_t *params, rpc_client_answer_fn *fn,
                 void *arg)
{
    if (strcmp(method, "stream.cancel") == 0) {
        cluster_close_stream(c, json_integer_value(json_object_get(params, "stream")));
        json_decref(params);
        return true;
    }
    const struct command *command = commands_find_method(method);
    struct cluster_request *r = command ? calloc(1, sizeof(*r)) : NULL;
    if (!r) {
        json_decref(params);
        return false;
    }
    enum merge_kind kind = merge_kind(command);
    *r = (struct cluster_request){.cluster = c,
                                  .command = command,
                                  .params = params,
                                  .fn = fn,
                                  .arg = arg,
                                  .window = cluster_window(c, command, params)};
    if (kind == MERGE_CHANGE) {
        /* A daemon may wait that long for its clients before it answers. */
        const json_t *grace = json_object_get(params, "grace");
        uint64_t grace_ms = commands_arg(command, "grace") ? CLUSTER_GRACE_MS : 0;
        if (json_is_integer(grace) && json_integer_value(grace) >= 0)
            grace_ms = (uint64_t)json_integer_value(grace);
        r->silent_due_ms = clock_ms() + CLUSTER_CHANGE_MS + grace_ms;
    } else if (kind == MERGE_STREAM) {
        r->stream = cluster_open_stream(c, method, params);
    } else {
        r->due_ms = clock_ms() + CLUSTER_WAIT_MS;
    }
    request_send(r);
    if (r->n_waiting == 0) {
        if (r->stream)
            cluster_close_stream(c, r->stream->id);
        request_free(r);
        return false;
    }
    r->next = c->requests;
    c->requests = r;
    return true;
}

/* ---- connections ---- */

void cluster_greeted(struct cluster *c, size_t place)
{
    c->n_overdue[place] = 0;
    for (struct cluster_stream *s = c->streams; s; s = s->next)
        if (!s->shares[place].id)
            (void)rpc_client_ask(c->members[place].rpc, s->method, json_copy(s->params),
                                 on_stream_again, &s->shares[place]);
}

void cluster_lost(struct cluster *c, size_t place)
{
    struct cluster_request *r = c->requests;
    for (struct cluster_stream *s = c->streams; s; s = s->next) {
        s->shares[place].id = 0;
        s->shares[place].why[0] = '\0';
    }
    /* An answer may bring new questions, and the end of this one. */
    while (r) {
        struct cluster_part *p = &r->parts[place];
        if (p->state != PART_WAITING) {
            r = r->next;
            continue;
        }
        bool is_change = merge_kind(r->command) == MERGE_CHANGE;
        snprintf(p->text, sizeof(p->text),
                 is_change ? "the connection was lost: " CLUSTER_UNKNOWN
                           : "the connection was lost");
        p->err = ERR_CLOSED;
        part_end(p, PART_FAILED);
        r = c->requests;
    }
    c->n_overdue[place] = 0;
}

json_t *cluster_event(struct cluster *c, size_t place, const json_t *params)
{
    json_int_t id = json_integer_value(json_object_get(params, "stream"));
    for (struct cluster_stream *s = c->streams; s && id; s = s->next) {
        if (s->shares[place].id != id)
            continue;
        json_t *event = json_copy((json_t *)params);
        json_object_set_new(event, "stream", json_integer(s->id));
        merge_tag(event, place, c->members[place].name);
        return event;
    }
    return NULL;
}

const char *cluster_stream_failure(const struct cluster *c, json_int_t stream)
{
    for (const struct cluster_stream *s = c->streams; s; s = s->next)
        for (size_t i = 0; s->id == stream && i < c->n; i++)
            if (s->shares[i].why[0])
                return s->shares[i].why;
    return "";
}

/* When it is answered without those that owe theirs; 0 = it is not. */
static uint64_t request_due_ms(const struct cluster_request *r)
{
    if (r->is_answered)
        return 0;
    for (size_t i = 0; i < r->cluster->n && !r->due_ms; i++)
        if (r->parts[i].state == PART_WAITING && !cluster_is_silent(r->cluster, i))
            return 0;
    return r->due_ms ? r->due_ms : r->silent_due_ms;
}

static void request_expire(struct cluster_request *r)
{
    bool is_change = merge_kind(r->command) == MERGE_CHANGE;
    for (size_t i = 0; i < r->cluster->n; i++) {
        struct cluster_part *p = &r->parts[i];
        if (p->state != PART_WAITING)
            continue;
        p->is_overdue = true;
        r->cluster->n_overdue[i]++;
        snprintf(p->text, sizeof(p->text), "does not answer%s",
                 is_change ? ": " CLUSTER_UNKNOWN : "");
    }
    cluster_request_answer(r);
}

int cluster_tick(struct cluster *c)
{
    uint64_t now = clock_ms();
    int next = -1;
    struct cluster_request *r = c->requests;
    while (r) {
        uint64_t due_ms = request_due_ms(r);
        if (!due_ms || now < due_ms) {
            int ms = due_ms ? (int)(due_ms - now) : -1;
            next = next < 0 || (ms >= 0 && ms < next) ? ms : next;
            r = r->next;
            continue;
        }
        request_expire(r);
        r = c->requests; /* what was answered may have brought new ones */
    }
    return next;
}
