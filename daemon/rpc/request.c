/* SPDX-License-Identifier: ISC */
/* Requests from the check of their parameters to their answer. */
#include "rpc/request.h"

#include "base/clock.h"
#include "proto/reply.h"
#include "rpc/json_text.h"
#include "rpc/rpc.h"

#define REQUEST_SHOWN_MAX 100 /* bytes of a wrong method repeated in the error */

struct request *request_ref(struct request *r)
{
    r->refs++;
    return r;
}

void request_unref(struct request *r)
{
    if (!r || --r->refs > 0)
        return;
    json_decref(r->id);
    json_decref(r->params);
    json_decref(r->held);
    free(r->held_text);
    list_del(&r->wait);
    free(r->masked);
    free(r);
}

/* ---- parameters ---- */

bool request_has(const struct request *r, const char *name)
{
    return json_object_get(r->params, name) != NULL;
}

const char *request_text(const struct request *r, const char *name)
{
    return json_string_value(json_object_get(r->params, name));
}

bool request_bool(const struct request *r, const char *name)
{
    return json_is_true(json_object_get(r->params, name));
}

uint64_t request_number(const struct request *r, const char *name, uint64_t other)
{
    const json_t *v = json_object_get(r->params, name);
    return json_is_integer(v) ? (uint64_t)json_integer_value(v) : other;
}

const json_t *request_list(const struct request *r, const char *name)
{
    return json_object_get(r->params, name);
}

int request_filter(struct request *r, const char *name, const struct filter_field *fields,
                   size_t n_fields, struct filter **ret_filter)
{
    const char *text = request_text(r, name);
    AUTO_FREE char *error = NULL;
    struct filter *f = NULL;
    if (!text || !*text) {
        *ret_filter = NULL;
        return 0;
    }
    /* One filter picks rows of several daemons by their names, too. */
    const struct filter_same node = {"node", r->rpc->config(r->rpc)->node};
    int err = filter_parse_same(str_of(text), fields, n_fields, &node, &f, &error);
    if (err < 0) {
        request_fail(r, err == -ERR_NOMEM ? err : -ERR_BAD_PARAM, NULL, "%s",
                     error ? error : err_text(err));
        return err;
    }
    if (filter_is_empty(f)) {
        filter_unref(f);
        f = NULL;
    }
    *ret_filter = f;
    return 0;
}

int request_filter_rows(struct request *r, const char *method, struct filter **ret_filter)
{
    size_t n;
    const struct command *list = method ? commands_find_method(method) : r->command;
    const struct filter_field *fields = command_filter_fields(list, &n);
    return request_filter(r, "filter", fields, n, ret_filter);
}

/* ---- answers ---- */

json_t *request_json(struct str s)
{
    AUTO_BUF clean = BUF_INIT;
    json_t *v = json_stringn(s.p ? s.p : "", s.n);
    if (v || reply_append_clean(&clean, s, s.n) < 0)
        return v;
    return json_stringn(clean.len ? clean.data + clean.start : "", clean.len);
}

void request_set_text(json_t *row, const char *name, const char *text)
{
    if (text && *text)
        (void)json_object_set_new(row, name, request_json(str_of(text)));
}

void request_set_number(json_t *row, const char *name, uint64_t v)
{
    if (v > 0)
        request_put_number(row, name, v);
}

void request_put_number(json_t *row, const char *name, uint64_t v)
{
    (void)json_object_set_new(row, name, json_integer(v > INT64_MAX ? INT64_MAX : (json_int_t)v));
}

/* Records the answer, and tells who asked within the daemon. False: it was answered before. */
static bool request_note_answer(struct request *r, const struct request_outcome *o,
                                const char *result)
{
    if (r->is_answered)
        return false;
    r->is_answered = true;
    if (r->command && (r->command->flags & COMMANDS_CHANGES) && !request_bool(r, "dry_run") &&
        !r->is_quiet)
        r->rpc->on_change_answered(r->rpc, r, result);
    if (r->answered)
        r->answered(r->answered_arg, o);
    return true;
}

/* Must others be told first? Then the answer waits with the request. */
static bool request_is_spread(struct request *r)
{
    if (r->is_spread || r->is_answered || !r->command || !(r->command->flags & COMMANDS_CHANGES) ||
        request_bool(r, "dry_run") || !r->rpc->spread)
        return true;
    r->is_spread = true;
    return !r->rpc->spread(r->rpc, r);
}

/* The same for a text that is an object. Owned; NULL = it stays as it is. */
static char *request_text_unreached(const struct request *r, struct str result)
{
    json_t *list = r->command && r->rpc->unreached ? r->rpc->unreached(r->rpc, r) : NULL;
    AUTO_BUF text = BUF_INIT;
    if (!list)
        return NULL;
    bool is_empty = result.n == 2;
    int err = result.n >= 2 && result.p[result.n - 1] == '}'
                  ? buf_append(&text, result.p, result.n - 1)
                  : -ERR_SYNTAX;
    if (err == 0)
        err = json_text_key(&text, "unreached", is_empty);
    if (err == 0)
        err = json_text_value(&text, list);
    if (err == 0)
        err = buf_append_char(&text, '}');
    json_decref(list);
    return err == 0 ? buf_steal(&text) : NULL;
}

/* Lets the client's next request run. */
static void request_over(struct request *r)
{
    if (r->client)
        r->origin->done(r->client, r);
    request_unref(r);
}

/* Sends the answer {key: body}. */
static void request_finish(struct request *r, const char *key, json_t *body, const char *result)
{
    bool is_error = strcmp(key, "error") == 0;
    if (!is_error && !request_is_spread(r)) {
        r->held = body;
        return;
    }
    json_t *unreached = r->command && r->rpc->unreached ? r->rpc->unreached(r->rpc, r) : NULL;
    if (unreached) /* names those that had no part in it */
        (void)json_object_set_new(is_error ? json_object_get(body, "data") : body, "unreached",
                                  unreached);
    const char *text = json_string_value(json_object_get(body, "message"));
    const struct request_outcome outcome = {.error = !is_error ? NULL
                                                     : text    ? text
                                                               : result,
                                            .body = body};
    if (!request_note_answer(r, &outcome, result)) {
        json_decref(body);
        return;
    }
    if (r->client && r->id) {
        json_t *answer = json_pack("{s:s, s:O}", "jsonrpc", "2.0", "id", r->id);
        if (answer && json_object_set_new(answer, key, body) == 0)
            r->origin->send(r->client, answer);
        json_decref(answer);
    } else {
        json_decref(body);
    }
    request_over(r);
}

void request_answer_text(struct request *r, struct str result)
{
    if (!request_is_spread(r)) {
        r->held_text = str_dup(result);
        return;
    }
    AUTO_FREE char *longer = request_text_unreached(r, result);
    const struct request_outcome outcome = {.text = longer ? str_of(longer) : result};
    if (!request_note_answer(r, &outcome, "ok"))
        return;
    if (r->client && r->id)
        r->origin->send_result(r->client, r->id, outcome.text);
    request_over(r);
}

void request_release(struct request *r)
{
    json_t *body = STEAL(r->held);
    AUTO_FREE char *text = STEAL(r->held_text);
    if (text)
        request_answer_text(r, str_of(text));
    else
        request_answer(r, body);
}

void request_answer(struct request *r, json_t *result)
{
    if (!result) {
        request_fail(r, -ERR_NOMEM, NULL, NULL);
        return;
    }
    request_finish(r, "result", result, "ok");
}

void request_rows(struct request *r, json_t *rows, const char *cursor)
{
    json_t *result = rows ? json_pack("{s:o, s:b}", "rows", rows, "more", cursor != NULL) : NULL;
    if (result && cursor)
        request_set_text(result, "cursor", cursor);
    request_answer(r, result);
}

void request_done(struct request *r, uint64_t count, bool is_changed, const char *fmt, ...)
{
    json_t *result =
        json_pack("{s:I, s:b}", "count", (json_int_t)count, "changed", (int)is_changed);
    r->count = count;
    if (result && fmt) {
        AUTO_BUF text = BUF_INIT;
        va_list ap;
        va_start(ap, fmt);
        if (buf_vprintf(&text, fmt, ap) == 0)
            (void)json_object_set_new(result, "message", request_json(buf_str(&text)));
        va_end(ap);
    }
    request_answer(r, result);
}

void request_hit(struct request *r, uint64_t count, bool is_changed, json_t *rows)
{
    json_t *result = json_pack("{s:I, s:b, s:o}", "count", (json_int_t)count, "changed",
                               (int)is_changed, "rows", rows);
    r->count = count;
    request_answer(r, result);
}

void request_hit_text(struct request *r, uint64_t count, bool is_changed, struct str rows,
                      json_t *more)
{
    AUTO_BUF result = BUF_INIT;
    AUTO_FREE char *members =
        more && json_object_size(more) > 0 ? json_dumps(more, JSON_COMPACT | JSON_EMBED) : NULL;
    r->count = count;
    json_decref(more);
    if (buf_printf(&result, "{\"count\":%llu,\"changed\":%s,%s%s\"rows\":[",
                   (unsigned long long)count, is_changed ? "true" : "false", members ? members : "",
                   members ? "," : "") < 0 ||
        buf_append_str(&result, rows) < 0 || buf_append_str(&result, STR("]}")) < 0)
        request_fail(r, -ERR_NOMEM, NULL, NULL);
    else
        request_answer_text(r, buf_str(&result));
}

void request_abandon(struct request *r)
{
    if (r->is_answered)
        return;
    r->is_answered = true;
    request_unref(r);
}

static int request_code(int err)
{
    switch (err < 0 ? -err : err) {
    case ERR_NO_COMMAND:
        return -32601;
    case ERR_NO_PARAM:
    case ERR_MISSING_PARAM:
    case ERR_BAD_PARAM:
        return -32602;
    default:
        return -32000;
    }
}

json_t *request_error(int code, int err, const char *hint, struct str text)
{
    json_t *data = json_pack("{s:s}", "name", err_name(err));
    if (hint && data)
        request_set_text(data, "hint", hint);
    return json_pack("{s:i, s:o, s:o}", "code", code, "message", request_json(text), "data", data);
}

void request_fail(struct request *r, int err, const char *hint, const char *fmt, ...)
{
    AUTO_BUF text = BUF_INIT;
    int filled = -1;
    if (fmt) {
        va_list ap;
        va_start(ap, fmt);
        filled = buf_vprintf(&text, fmt, ap);
        va_end(ap);
    }
    struct str s = filled == 0 ? buf_str(&text) : str_of(err_text(err));
    AUTO_FREE char *gone = err == -ERR_STORE_GONE && !hint
                               ? str_printf("put %s back, or start the daemon again",
                                            r->rpc->config(r->rpc)->store.path)
                               : NULL;
    request_finish(r, "error", request_error(request_code(err), err, gone ? gone : hint, s),
                   err_name(err));
}

/* ---- the way in ---- */

bool request_is_wanted(const struct request *r)
{
    return r->client || r->answered;
}

/* The one place where roles are checked. */
bool request_is_permitted(struct request *r, const struct command *c)
{
    if (r->peer.role >= c->role)
        return true;
    request_fail(r, -ERR_PERM, NULL, "%s needs the role %s, yours is %s", c->method,
                 role_name(c->role), role_name(r->peer.role));
    return false;
}

/* Arguments for the audit: as they were asked for, and what of them is this node's share. */
static void request_mask(struct request *r, const json_t *params, const json_t *asked)
{
    AUTO_BUF masked = BUF_INIT;
    json_t *said = json_copy((json_t *)params), *share = json_object(), *value;
    const char *key;
    json_object_foreach ((json_t *)asked, key, value) {
        (void)json_object_set(share, key, json_object_get(params, key));
        (void)(json_is_null(value) ? json_object_del(said, key)
                                   : json_object_set(said, key, value));
    }
    int err = command_mask(r->command, said, &masked);
    if (err == 0 && json_object_size(share) > 0)
        err = buf_append_c(&masked, masked.len > 0 ? " here:" : "here:");
    if (err == 0 && json_object_size(share) > 0)
        err = command_mask(r->command, share, &masked);
    if (err == 0)
        r->masked = buf_steal(&masked);
    json_decref(said);
    json_decref(share);
}

static void request_dispatch(struct request *r, const char *method, const json_t *params,
                             const json_t *asked)
{
    struct command_failure failure = {0};
    r->command = commands_find_method(method);
    if (!r->command) {
        AUTO_BUF shown = BUF_INIT;
        if (reply_append_clean(&shown, str_of(method), REQUEST_SHOWN_MAX) < 0)
            buf_clear(&shown);
        request_fail(r, -ERR_NO_COMMAND, command_nearest(method), "there is no command %.*s",
                     STR_ARG(buf_str(&shown)));
        return;
    }
    unsigned flags = r->command->flags;
    if (flags & COMMANDS_CHANGES)
        request_mask(r, params, asked);
    if (!request_is_permitted(r, r->command))
        return;
    /* What a retired engine would change, the one that serves would not see. */
    if ((flags & COMMANDS_CHANGES) && !(flags & COMMANDS_OLD) && r->rpc->is_retired(r->rpc)) {
        request_fail(r, -ERR_SHUTDOWN, "its control socket has no .old at the end",
                     "another program serves since the upgrade: %s belongs there",
                     r->command->method);
        return;
    }
    if (params && !json_is_object(params)) {
        request_fail(r, -ERR_BAD_PARAM, NULL, "params has to be an object");
        return;
    }
    if (command_check(r->command, params, &r->params, &failure) < 0) {
        request_fail(r, failure.err, failure.hint, "%s",
                     failure.text ? failure.text : err_text(failure.err));
        command_failure_fini(&failure);
        return;
    }
    if (!r->rpc->hold_back || !r->rpc->hold_back(r->rpc, r))
        request_run(r);
}

void request_run(struct request *r)
{
    r->rpc->functions[commands_index(r->command)](r);
}

void request_start(struct rpc *rpc, const struct request_origin *origin, const char *method,
                   json_t *id, const json_t *params)
{
    struct request *r = calloc(1, sizeof(*r));
    if (!r) {
        json_decref(id);
        origin->ops->drop(origin->client, "out of memory");
        return;
    }
    /* One reference is the command's until it answers. */
    *r = (struct request){.refs = 1,
                          .rpc = rpc,
                          .client = origin->client,
                          .origin = origin->ops,
                          .upload = origin->upload,
                          .id = id,
                          .peer = origin->peer};
    list_init(&r->wait);
    origin->ops->begun(origin->client, r);
    request_dispatch(r, method, params, NULL);
}

uint64_t request_until_ms(const struct request *r, uint64_t for_ms)
{
    uint64_t said_ms = r->said_ms ? r->said_ms : clock_wall_ms();
    return for_ms ? said_ms + for_ms : 0;
}

bool request_is_over(struct request *r, uint64_t for_ms)
{
    if (!r->said_ms || !for_ms || request_until_ms(r, for_ms) > clock_wall_ms())
        return false;
    request_done(r, 0, false, "the time for which it was asked is over");
    return true;
}

int request_start_part(struct rpc *rpc, const struct request_part *part)
{
    struct request *r = calloc(1, sizeof(*r));
    if (!r || !part->params) {
        free(r);
        json_decref(part->params);
        return -ERR_NOMEM;
    }
    *r = (struct request){.refs = 1,
                          .rpc = rpc,
                          .peer = *part->peer,
                          .said_ms = part->said_ms,
                          .answered = part->answered,
                          .answered_arg = part->arg};
    list_init(&r->wait);
    request_dispatch(r, part->method, part->params, part->asked);
    json_decref(part->params);
    return 0;
}

int request_start_own(struct rpc *rpc, const struct peer *peer, const char *method, json_t *params,
                      uint64_t said_ms,
                      void (*answered)(void *arg, const struct request_outcome *o), void *arg)
{
    return request_start_part(rpc, &(struct request_part){.peer = peer,
                                                          .method = method,
                                                          .params = params,
                                                          .said_ms = said_ms,
                                                          .answered = answered,
                                                          .arg = arg});
}
