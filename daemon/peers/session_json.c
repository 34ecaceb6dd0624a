/* SPDX-License-Identifier: ISC */
/* Questions about sessions and their answers, from structs to JSON and back. */
#include "peers/session_json.h"

#include "base/hex.h"
#include "proto/reply.h"
#include "rpc/json_text.h"

#define SESSION_JSON_TEXT_MAX 1024 /* of one value of another engine */
#define SESSION_JSON_FILTER_MAX (64 * (size_t)1024)

uint64_t json_number(const json_t *m, const char *name)
{
    const json_t *v = json_object_get(m, name);
    return json_is_integer(v) ? (uint64_t)json_integer_value(v) : 0;
}

static bool field_is_number(int f)
{
    enum filter_type type = session_filter_fields[f].type;
    return type != FILTER_TEXT && type != FILTER_IP;
}

/* ---- ids ---- */

static json_t *ids_json(const uint64_t *ids, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        char text[32];
        session_id_format(text, ids[i]);
        (void)json_array_append_new(list, json_string(text));
    }
    return list;
}

static int id_read(const json_t *v, uint64_t *ret)
{
    return json_is_string(v) ? session_id_parse(str_of(json_string_value(v)), ret) : -ERR_PROTOCOL;
}

static int ids_read(const json_t *list, uint64_t **ret, size_t *ret_n)
{
    size_t n = json_array_size(list);
    uint64_t *ids = calloc(n + 1, sizeof(*ids));
    int err = ids ? 0 : -ERR_NOMEM;
    for (size_t i = 0; i < n && err == 0; i++)
        err = id_read(json_array_get(list, i), &ids[i]) < 0 ? -ERR_PROTOCOL : 0;
    if (err < 0) {
        free(ids);
        return err;
    }
    *ret = ids;
    *ret_n = n;
    return 0;
}

/* ---- questions ---- */

static void put_text(json_t *m, const char *name, const char *text)
{
    if (text)
        (void)json_object_set_new(m, name, json_string(text));
}

static void put_number(json_t *m, const char *name, uint64_t v)
{
    if (v)
        (void)json_object_set_new(m, name, json_integer((json_int_t)v));
}

static void put_bool(json_t *m, const char *name, bool is_on)
{
    if (is_on)
        (void)json_object_set_new(m, name, json_true());
}

/* Filters cross the socket to another engine as text: it may be of another version, whose fields
 * have other numbers. Within an engine they are values (filter_make, filter_parse). */
static void put_filter(json_t *m, const struct filter *f)
{
    if (!f)
        return;
    put_text(m, "filter", filter_text(f));
    put_text(m, "node", filter_same_value(f));
}

json_t *session_query_json(const struct session_query_spec *spec)
{
    json_t *m = json_object();
    put_number(m, "n", spec->number);
    put_filter(m, spec->filter);
    if (spec->ids)
        (void)json_object_set_new(m, "ids", ids_json(spec->ids, spec->n_ids));
    if (spec->fields) {
        json_t *list = json_array();
        for (int f = 0; f < SESSION_FIELD_COUNT; f++)
            if ((spec->fields | SESSION_FIELD_BIT(SESSION_FIELD_ID)) & SESSION_FIELD_BIT(f))
                (void)json_array_append_new(list, json_string(session_filter_fields[f].name));
        (void)json_object_set_new(m, "fields", list);
    }
    if (spec->is_sorted)
        put_text(m, "sort", session_filter_fields[spec->order.by].name);
    put_bool(m, "keys", spec->is_keys);
    put_bool(m, "descending", spec->order.is_descending);
    put_bool(m, "from_end", spec->order.is_from_end);
    if (spec->after) {
        char id[32];
        session_id_format(id, spec->after->id);
        struct str text = spec->after->v.text;
        json_t *value = text.n > 0 ? json_stringn(text.p, text.n) : json_null();
        (void)json_object_set_new(
            m, "after", json_pack("[s, o, I]", id, value, (json_int_t)spec->after->v.number));
    }
    put_number(m, "limit", spec->limit);
    return m;
}

json_t *session_kill_json(const struct session_kill_spec *spec)
{
    json_t *m = json_object();
    put_number(m, "n", spec->number);
    (void)json_object_set_new(m, "ids", ids_json(spec->ids, spec->n));
    put_text(m, "kind", reply_name(spec->kind));
    put_text(m, "text", spec->text);
    put_number(m, "grace", spec->grace_ms);
    return m;
}

json_t *session_hold_json(const struct session_hold_spec *spec)
{
    json_t *m = json_object();
    put_number(m, "n", spec->number);
    put_text(m, "user", spec->user);
    put_bool(m, "on", spec->is_on);
    return m;
}

json_t *session_trace_json(const struct session_trace_spec *spec)
{
    json_t *m = json_object();
    put_number(m, "n", spec->number);
    put_filter(m, spec->filter);
    return m;
}

void session_asked_fini(struct session_asked *a)
{
    filter_unref(a->filter);
    free(a->ids);
}

static int filter_read(const json_t *m, const struct filter_field *fields, size_t n,
                       struct filter **ret)
{
    const json_t *v = json_object_get(m, "filter");
    AUTO_FREE char *error = NULL;
    if (!v)
        return 0;
    struct str text = str_n(json_string_value(v), json_string_length(v));
    if (!json_is_string(v) || text.n > SESSION_JSON_FILTER_MAX)
        return -ERR_PROTOCOL;
    const struct filter_same node = {"node", json_string_value(json_object_get(m, "node"))};
    int err = filter_parse_same(text, fields, n, node.value ? &node : NULL, ret, &error);
    return err < 0 && err != -ERR_NOMEM ? -ERR_PROTOCOL : err;
}

static int key_read(const json_t *v, struct session_key *ret)
{
    const json_t *text = json_array_get(v, 1), *number = json_array_get(v, 2);
    if (json_array_size(v) != 3 || id_read(json_array_get(v, 0), &ret->id) < 0 ||
        !(json_is_string(text) || json_is_null(text)) || !json_is_integer(number) ||
        json_string_length(text) > SESSION_JSON_TEXT_MAX)
        return -ERR_PROTOCOL;
    ret->v.number = (uint64_t)json_integer_value(number);
    ret->v.text = str_n(json_string_value(text), json_string_length(text));
    return 0;
}

int session_query_read(const json_t *m, struct session_query_spec *ret, struct session_asked *a)
{
    const json_t *sort = json_object_get(m, "sort"), *after = json_object_get(m, "after");
    const json_t *ids = json_object_get(m, "ids"), *fields = json_object_get(m, "fields");
    *a = (struct session_asked){0};
    *ret = (struct session_query_spec){
        .is_sorted = sort != NULL,
        .is_keys = json_is_true(json_object_get(m, "keys")),
        .order = {.is_descending = json_is_true(json_object_get(m, "descending")),
                  .is_from_end = json_is_true(json_object_get(m, "from_end"))},
        .limit = (size_t)json_number(m, "limit")};
    /* Fields that this program does not know would be missing in the rows in any case. */
    for (size_t i = 0; i < json_array_size(fields); i++) {
        const char *name = json_string_value(json_array_get(fields, i));
        enum session_field f;
        if (name && session_field_find(str_of(name), &f) == 0)
            ret->fields |= SESSION_FIELD_BIT(f);
    }
    int err = filter_read(m, session_filter_fields, SESSION_FIELD_COUNT, &a->filter);
    if (err == 0 && sort &&
        (!json_is_string(sort) ||
         session_field_find(str_of(json_string_value(sort)), &ret->order.by) < 0))
        err = -ERR_PROTOCOL;
    if (err == 0 && ids)
        err = ids_read(ids, &a->ids, &ret->n_ids);
    if (err == 0 && after)
        err = key_read(after, &a->after);
    ret->filter = a->filter;
    ret->ids = a->ids;
    ret->after = after ? &a->after : NULL;
    return err;
}

int session_kill_read(const json_t *m, struct session_kill_spec *ret, struct session_asked *a)
{
    const char *kind = json_string_value(json_object_get(m, "kind"));
    *a = (struct session_asked){0};
    *ret = (struct session_kill_spec){.kind = REPLY_KIND_COUNT,
                                      .text = json_string_value(json_object_get(m, "text")),
                                      .grace_ms = json_number(m, "grace")};
    for (int k = 0; kind && k < REPLY_KIND_COUNT; k++)
        if (strcmp(kind, reply_name((enum reply_kind)k)) == 0)
            ret->kind = (enum reply_kind)k;
    int err = ret->kind == REPLY_KIND_COUNT ? -ERR_PROTOCOL
                                            : ids_read(json_object_get(m, "ids"), &a->ids, &ret->n);
    ret->ids = a->ids;
    return err;
}

int session_trace_read(const json_t *m, struct session_trace_spec *ret, struct session_asked *a)
{
    size_t n;
    const struct filter_field *fields = session_trace_fields(&n);
    *a = (struct session_asked){0};
    int err = filter_read(m, fields, n, &a->filter);
    *ret = (struct session_trace_spec){.filter = a->filter};
    return err == 0 && !a->filter ? -ERR_PROTOCOL : err;
}

/* ---- rows ---- */

int session_row_append(struct buf *out, const struct session_row *row, uint64_t skip)
{
    bool is_first = true;
    int err = buf_append_char(out, '{');
    for (int f = 0; f < SESSION_FIELD_COUNT && err == 0; f++) {
        bool is_number = field_is_number(f);
        if (skip & SESSION_FIELD_BIT(f) || (!is_number && row->v[f].text.n == 0))
            continue;
        err = json_text_key(out, session_filter_fields[f].name, is_first);
        if (err == 0)
            err = is_number ? json_text_number(out, row->v[f].number)
                            : json_text_string(out, row->v[f].text);
        is_first = false;
    }
    return err == 0 ? buf_append_char(out, '}') : err;
}

/* A text of another engine, as an offset into texts until session_row_place. */
static int value_read(const json_t *v, struct buf *texts, struct session_value *ret)
{
    struct str text = str_n(json_string_value(v), json_string_length(v));
    text.n = text.n < SESSION_JSON_TEXT_MAX ? text.n : SESSION_JSON_TEXT_MAX;
    ret->number = texts->len;
    ret->text.n = text.n;
    return buf_append_str(texts, text);
}

static void session_value_place(struct session_value *v, const struct buf *texts)
{
    if (v->text.n > 0)
        v->text.p = texts->data + texts->start + v->number;
}

static int row_read(const json_t *m, struct buf *texts, struct session_row *ret)
{
    *ret = (struct session_row){0};
    if (id_read(json_object_get(m, "id"), &ret->id) < 0)
        return -ERR_PROTOCOL;
    for (int f = 0; f < SESSION_FIELD_COUNT; f++) {
        const json_t *v = json_object_get(m, session_filter_fields[f].name);
        if (field_is_number(f))
            ret->v[f].number = json_is_integer(v) ? (uint64_t)json_integer_value(v) : 0;
        else if (json_is_string(v) && value_read(v, texts, &ret->v[f]) < 0)
            return -ERR_NOMEM;
    }
    return 0;
}

/* ---- chunks ---- */

static int keys_append(struct buf *out, const struct session_chunk *c)
{
    int err = buf_append_str(out, STR(",\"keys\":["));
    for (size_t i = 0; i < c->n_keys && err == 0; i++) {
        const struct session_key *k = &c->keys[i];
        char id[32];
        session_id_format(id, k->id);
        err = buf_printf(out, "%s[\"%s\",", i ? "," : "", id);
        if (err == 0)
            err = k->v.text.n > 0 ? json_text_string(out, k->v.text)
                                  : buf_append_str(out, STR("null"));
        if (err == 0)
            err = buf_printf(out, ",%lld]", (long long)k->v.number);
    }
    return err == 0 ? buf_append_char(out, ']') : err;
}

int session_chunk_append(struct buf *out, const struct session_chunk *c, uint64_t number)
{
    int err = buf_printf(out,
                         "{\"n\":%llu,\"w\":%u,\"last\":%s,\"seen\":%llu,\"matched\":%llu,"
                         "\"passed\":%llu",
                         (unsigned long long)number, c->worker, c->is_last ? "true" : "false",
                         (unsigned long long)c->seen, (unsigned long long)c->matched,
                         (unsigned long long)c->passed);
    if (err == 0 && c->n > 0)
        err = buf_append_str(out, STR(",\"rows\":["));
    for (size_t i = 0; i < c->n && err == 0; i++) {
        err = i ? buf_append_char(out, ',') : 0;
        if (err == 0)
            err = session_row_append(out, &c->rows[i], 0);
    }
    if (err == 0 && c->n > 0)
        err = buf_append_char(out, ']');
    if (err == 0 && c->n_keys > 0)
        err = keys_append(out, c);
    return err == 0 ? buf_append_char(out, '}') : err;
}

static int chunk_read_keys(struct session_chunk *c, const json_t *keys, unsigned start)
{
    for (size_t i = 0; i < json_array_size(keys); i++) {
        struct session_key *k = &c->keys[c->n_keys];
        const json_t *v = json_array_get(keys, i);
        int err = key_read(v, k);
        bool is_text = err == 0 && k->v.text.n > 0;
        if (is_text)
            err = value_read(json_array_get(v, 1), &c->texts, &k->v);
        if (err < 0)
            return err;
        c->n_keys += session_id_start(k->id) == start;
    }
    return 0;
}

int session_chunk_read(const json_t *m, unsigned start, struct session_chunk **ret)
{
    const json_t *rows = json_object_get(m, "rows"), *keys = json_object_get(m, "keys");
    size_t n = json_array_size(rows), n_keys = json_array_size(keys);
    if (n > SESSION_SORT_MAX || n_keys > SESSION_SORT_MAX)
        return -ERR_PROTOCOL;
    struct session_chunk *c = session_chunk_new(n, n_keys);
    if (!c)
        return -ERR_NOMEM;
    c->is_last = json_is_true(json_object_get(m, "last"));
    c->seen = json_number(m, "seen");
    c->matched = json_number(m, "matched");
    c->passed = json_number(m, "passed");
    int err = 0;
    for (size_t i = 0; i < n && err == 0; i++) {
        err = row_read(json_array_get(rows, i), &c->texts, &c->rows[c->n]);
        c->n += err == 0 && session_id_start(c->rows[c->n].id) == start;
    }
    if (err == 0)
        err = chunk_read_keys(c, keys, start);
    if (err < 0) {
        session_chunk_free(c);
        return err;
    }
    for (size_t i = 0; i < c->n; i++)
        for (int f = 0; f < SESSION_FIELD_COUNT; f++)
            session_value_place(&c->rows[i].v[f], &c->texts);
    for (size_t i = 0; i < c->n_keys; i++)
        session_value_place(&c->keys[i].v, &c->texts);
    *ret = c;
    return 0;
}

/* ---- kills ---- */

int session_killed_append(struct buf *out, const struct session_killed *k, uint64_t number)
{
    int err =
        buf_printf(out, "{\"n\":%llu,\"w\":%u,\"told\":%s,\"last\":%s,\"n_told\":%zu,\"ended\":[",
                   (unsigned long long)number, k->worker, k->is_told ? "true" : "false",
                   k->is_last ? "true" : "false", k->n_told);
    for (size_t i = 0; i < k->n && err == 0; i++) {
        const struct session_outcome *o = &k->v[i].outcome;
        char id[32];
        session_id_format(id, o->id);
        err = buf_printf(out, "%s[%zu,\"%s\",%s,%u,", i ? "," : "", k->v[i].at, id,
                         o->is_clean ? "true" : "false", o->n_cut);
        if (err == 0)
            err = json_text_string(out, str_of(o->verb));
        if (err == 0)
            err = buf_append_char(out, ',');
        if (err == 0)
            err = json_text_string(out, str_of(o->user));
        if (err == 0)
            err = buf_append_char(out, ']');
    }
    return err == 0 ? buf_append_str(out, STR("]}")) : err;
}

static int ended_read(const json_t *v, unsigned start, size_t n_asked, struct session_ended *ret)
{
    const char *verb = json_string_value(json_array_get(v, 4));
    const char *user = json_string_value(json_array_get(v, 5));
    const json_t *at = json_array_get(v, 0);
    struct session_outcome *o = &ret->outcome;
    if (!json_is_integer(at) || json_integer_value(at) < 0 ||
        (uint64_t)json_integer_value(at) >= n_asked || id_read(json_array_get(v, 1), &o->id) < 0 ||
        session_id_start(o->id) != start || !verb || !user)
        return -ERR_PROTOCOL;
    ret->at = (size_t)json_integer_value(at);
    o->is_clean = json_is_true(json_array_get(v, 2));
    o->n_cut = (uint32_t)json_integer_value(json_array_get(v, 3));
    (void)str_copy(o->verb, sizeof(o->verb), str_of(verb));
    (void)str_copy(o->user, sizeof(o->user), str_of(user));
    return 0;
}

int session_killed_read(const json_t *m, unsigned start, size_t n_asked,
                        struct session_killed **ret)
{
    const json_t *ended = json_object_get(m, "ended");
    size_t n = json_array_size(ended);
    uint64_t n_told = json_number(m, "n_told");
    if (n > SESSION_KILLED_MAX || n > n_asked || n_told > n_asked)
        return -ERR_PROTOCOL;
    struct session_killed *k = calloc(1, sizeof(*k) + n * sizeof(k->v[0]));
    if (!k)
        return -ERR_NOMEM;
    k->is_told = json_is_true(json_object_get(m, "told"));
    k->is_last = json_is_true(json_object_get(m, "last"));
    k->n_told = (size_t)n_told;
    for (; k->n < n; k->n++) {
        int err = ended_read(json_array_get(ended, k->n), start, n_asked, &k->v[k->n]);
        if (err == 0)
            continue;
        free(k);
        return err;
    }
    *ret = k;
    return 0;
}

/* ---- traces ---- */

int session_trace_event_append(struct buf *out, const struct session_trace_event *e,
                               uint64_t number)
{
    char id[32];
    session_id_format(id, e->session);
    int err =
        buf_printf(out,
                   "{\"n\":%llu,\"w\":%u,\"at\":%llu,\"direction\":\"%s\",\"masked\":%s,"
                   "\"left_out\":%llu,\"lost\":%llu,\"weight\":%zu,\"session\":\"%s\","
                   "\"bytes\":\"",
                   (unsigned long long)number, e->worker, (unsigned long long)e->at_ms,
                   trace_direction_name(e->direction), e->is_masked ? "true" : "false",
                   (unsigned long long)e->left_out, (unsigned long long)e->lost, e->weight, id);
    if (err == 0)
        err = buf_reserve(out, 2 * e->n + 3);
    if (err == 0) {
        str_hex(buf_tail(out), e->bytes, e->n);
        buf_commit(out, 2 * e->n);
    }
    return err == 0 ? buf_append_str(out, STR("\"}")) : err;
}

int session_trace_event_read(const json_t *m, unsigned start, struct session_trace_event **ret)
{
    const json_t *bytes = json_object_get(m, "bytes");
    struct str hex = str_n(json_string_value(bytes), json_string_length(bytes));
    uint64_t id = 0;
    const char *word = json_string_value(json_object_get(m, "direction"));
    enum trace_direction direction = 0;
    while (word && direction < TRACE_DIRECTION_COUNT &&
           strcmp(trace_direction_name(direction), word) != 0)
        direction++;
    if (!json_is_string(bytes) || hex.n % 2 || hex.n / 2 > TRACE_BYTES_MAX || !word ||
        direction == TRACE_DIRECTION_COUNT || id_read(json_object_get(m, "session"), &id) < 0 ||
        (id && session_id_start(id) != start))
        return -ERR_PROTOCOL;
    struct session_trace_event *e = calloc(1, sizeof(*e) + hex.n / 2 + 1);
    if (!e)
        return -ERR_NOMEM;
    e->session = id;
    e->at_ms = json_number(m, "at");
    e->direction = direction;
    e->is_masked = json_is_true(json_object_get(m, "masked"));
    e->left_out = json_number(m, "left_out");
    e->lost = json_number(m, "lost");
    e->weight = (size_t)json_number(m, "weight");
    e->n = hex.n / 2;
    for (size_t i = 0; i + 1 < hex.n; i += 2) {
        int high = hex_digit(hex.p[i]), low = hex_digit(hex.p[i + 1]);
        if (high < 0 || low < 0) {
            free(e);
            return -ERR_PROTOCOL;
        }
        e->bytes[i / 2] = (char)(high << 4 | low);
    }
    *ret = e;
    return 0;
}
