/* SPDX-License-Identifier: ISC */
/* The edits of one backend as a value: copy, comparison, JSON. */
#include "proto/registry/registry.h"
#include "runtime/runtime.h"

void runtime_edit_fini(struct runtime_edit *e)
{
    free(e->edit.pool);
    free(e->edit.name);
    free(e->edit.host);
    free(e->reason);
    *e = (struct runtime_edit){.edit.weight = -1};
}

void runtime_edit_clear(struct runtime_edit *e)
{
    char *pool = STEAL(e->edit.pool), *name = STEAL(e->edit.name);
    runtime_edit_fini(e);
    e->edit.pool = pool;
    e->edit.name = name;
}

static int edit_copy_text(char **dst, const char *src)
{
    *dst = str_dup_c(src);
    return src && !*dst ? -ERR_NOMEM : 0;
}

int runtime_edit_copy(struct runtime_edit *dst, const struct runtime_edit *src)
{
    *dst = *src;
    dst->edit.pool = dst->edit.name = dst->edit.host = dst->reason = NULL;
    int err = edit_copy_text(&dst->edit.pool, src->edit.pool);
    if (err == 0)
        err = edit_copy_text(&dst->edit.name, src->edit.name);
    if (err == 0)
        err = edit_copy_text(&dst->edit.host, src->edit.host);
    if (err == 0)
        err = edit_copy_text(&dst->reason, src->reason);
    if (err < 0)
        runtime_edit_fini(dst);
    return err;
}

bool runtime_edit_has_ports(const struct pool_edit *e)
{
    for (size_t i = 0; i < ARRAY_LEN(e->ports); i++)
        if (e->ports[i] != 0)
            return true;
    return false;
}

bool runtime_edit_is_empty(const struct runtime_edit *e)
{
    const struct pool_edit *p = &e->edit;
    return !p->host && p->weight < 0 && !p->has_tls && !p->has_max_sessions &&
           !runtime_edit_has_ports(p) && !p->is_added && !p->is_removed && !p->admin[0];
}

bool runtime_edit_keeps(const struct runtime_edit *now, const struct runtime_edit *stored,
                        enum runtime_value which)
{
    const struct pool_edit *p = &now->edit, *q = &stored->edit;
    const bool kept[] = {
        [RUNTIME_ADDED] = p->is_added == q->is_added,
        [RUNTIME_REMOVED] = p->is_removed == q->is_removed,
        [RUNTIME_HOST] = str_eq(str_of(p->host), str_of(q->host)),
        [RUNTIME_PORTS] = memcmp(p->ports, q->ports, sizeof(p->ports)) == 0,
        [RUNTIME_TLS] = p->has_tls == q->has_tls && (!p->has_tls || p->tls == q->tls),
        [RUNTIME_WEIGHT] = p->weight == q->weight,
        [RUNTIME_MAX_SESSIONS] = p->has_max_sessions == q->has_max_sessions &&
                                 (!p->has_max_sessions || p->max_sessions == q->max_sessions),
        [RUNTIME_ADMIN] = strcmp(p->admin, q->admin) == 0,
    };
    return kept[which];
}

bool runtime_edit_is_equal(const struct runtime_edit *a, const struct runtime_edit *b)
{
    bool is_equal = true;
    for (int i = 0; i < RUNTIME_VALUES; i++)
        is_equal = is_equal && runtime_edit_keeps(a, b, i);
    return is_equal;
}

int runtime_edit_describe(const struct runtime_edit *e, const struct runtime_edit *stored,
                          struct buf *out)
{
    const struct pool_edit *p = &e->edit;
    const struct {
        bool is_set;
        const char *text;
    } parts[] = {
        [RUNTIME_ADDED] = {p->is_added, "added"},
        [RUNTIME_REMOVED] = {p->is_removed, "removed"},
        [RUNTIME_HOST] = {p->host != NULL, "host"},
        [RUNTIME_PORTS] = {runtime_edit_has_ports(p), "ports"},
        [RUNTIME_TLS] = {p->has_tls, "tls"},
        [RUNTIME_WEIGHT] = {p->weight >= 0, "weight"},
        [RUNTIME_MAX_SESSIONS] = {p->has_max_sessions, "max_sessions"},
        [RUNTIME_ADMIN] = {p->admin[0] != 0, p->admin},
    };
    size_t before = out->len;
    int err = 0;
    for (int i = 0; i < RUNTIME_VALUES && err == 0; i++)
        if (parts[i].is_set)
            err = buf_printf(out, "%s%s%s", out->len > before ? ", " : "", parts[i].text,
                             stored && !runtime_edit_keeps(e, stored, i) ? " (until restart)" : "");
    return err;
}

/* ---- what the file says too ---- */

bool runtime_edit_absorb(struct runtime_edit *e, const struct config_backend *file)
{
    struct pool_edit *p = &e->edit;
    bool *needless = file ? &p->is_added : &p->is_removed;
    bool is_dropped = *needless;
    *needless = false;
    if (!file || p->is_removed)
        return is_dropped;
    if (p->host && strcmp(p->host, file->host) == 0) {
        free(STEAL(p->host));
        is_dropped = true;
    }
    if (p->weight >= 0 && (unsigned)p->weight == file->weight) {
        p->weight = -1;
        is_dropped = true;
    }
    if (p->has_max_sessions && p->max_sessions == file->max_sessions) {
        p->has_max_sessions = false;
        is_dropped = true;
    }
    if (p->has_tls && p->tls == file->tls) {
        p->has_tls = false;
        is_dropped = true;
    }
    for (int i = 0; i < PROTO_COUNT; i++)
        if (p->ports[i] && p->ports[i] == file->ports[i]) {
            p->ports[i] = 0;
            is_dropped = true;
        }
    return is_dropped;
}

void runtime_edit_follow(struct runtime_edit *stored, const struct runtime_edit *before,
                         const struct runtime_edit *after)
{
    const struct pool_edit *b = &before->edit, *a = &after->edit;
    struct pool_edit *p = &stored->edit;
    p->is_added = p->is_added && (a->is_added || !b->is_added);
    p->is_removed = p->is_removed && (a->is_removed || !b->is_removed);
    if (b->host && !a->host)
        free(STEAL(p->host));
    if (b->weight >= 0 && a->weight < 0)
        p->weight = -1;
    p->has_tls = p->has_tls && (a->has_tls || !b->has_tls);
    p->has_max_sessions = p->has_max_sessions && (a->has_max_sessions || !b->has_max_sessions);
    for (int i = 0; i < PROTO_COUNT; i++)
        if (b->ports[i] && !a->ports[i])
            p->ports[i] = 0;
}

/* ---- JSON ---- */

json_t *runtime_edit_json(const struct runtime_edit *e)
{
    const struct pool_edit *p = &e->edit;
    json_t *v = json_object();
    request_set_text(v, "host", p->host);
    if (runtime_edit_has_ports(p)) {
        json_t *ports = json_object();
        for (int i = 0; i < PROTO_COUNT; i++)
            if (p->ports[i])
                request_put_number(ports, proto_get((enum proto_id)i)->name, p->ports[i]);
        (void)json_object_set_new(v, "ports", ports);
    }
    if (p->has_tls)
        request_set_text(v, "tls", config_backend_tls_name(p->tls));
    if (p->weight >= 0)
        request_put_number(v, "weight", (uint64_t)p->weight);
    if (p->has_max_sessions)
        request_put_number(v, "max_sessions", p->max_sessions);
    if (p->is_added)
        (void)json_object_set_new(v, "added", json_true());
    if (p->is_removed)
        (void)json_object_set_new(v, "removed", json_true());
    if (p->admin[0]) {
        request_set_text(v, "admin", p->admin);
        request_put_number(v, "since", e->since_ms);
        request_set_text(v, "reason", e->reason);
    }
    return v;
}

static int parse_text(const json_t *v, char **ret)
{
    const char *text = json_string_value(v);
    if (!text || !*text)
        return -ERR_SYNTAX;
    free(*ret);
    *ret = str_dup_c(text);
    return *ret ? 0 : -ERR_NOMEM;
}

static int parse_host(struct runtime_edit *e, const json_t *v)
{
    return parse_text(v, &e->edit.host);
}

static int parse_ports(struct runtime_edit *e, const json_t *v)
{
    const char *name;
    json_t *port;
    if (!json_is_object(v))
        return -ERR_SYNTAX;
    json_object_foreach ((json_t *)v, name, port) {
        const struct proto *p = proto_find(str_of(name));
        json_int_t n = json_integer_value(port);
        if (!p || n < 1 || n > UINT16_MAX)
            return -ERR_SYNTAX;
        e->edit.ports[p->id] = (uint16_t)n;
    }
    return 0;
}

static int parse_tls(struct runtime_edit *e, const json_t *v)
{
    const char *text = json_string_value(v);
    e->edit.has_tls = text && config_backend_tls_find(text, &e->edit.tls) == 0;
    return e->edit.has_tls ? 0 : -ERR_SYNTAX;
}

static int parse_weight(struct runtime_edit *e, const json_t *v)
{
    json_int_t n = json_integer_value(v);
    if (!json_is_integer(v) || n < 0 || n > RUNTIME_WEIGHT_MAX)
        return -ERR_RANGE;
    e->edit.weight = (int)n;
    return 0;
}

static int parse_max_sessions(struct runtime_edit *e, const json_t *v)
{
    json_int_t n = json_integer_value(v);
    if (!json_is_integer(v) || n < 0 || n > RUNTIME_MAX_SESSIONS_MAX)
        return -ERR_RANGE;
    e->edit.has_max_sessions = true;
    e->edit.max_sessions = (uint32_t)n;
    return 0;
}

static int parse_added(struct runtime_edit *e, const json_t *v)
{
    e->edit.is_added = json_is_true(v);
    return 0;
}

static int parse_removed(struct runtime_edit *e, const json_t *v)
{
    e->edit.is_removed = json_is_true(v);
    return 0;
}

static int parse_admin(struct runtime_edit *e, const json_t *v)
{
    enum backend_admin admin;
    const char *text = json_string_value(v);
    if (!text || backend_admin_find(text, &admin) < 0 ||
        !str_copy(e->edit.admin, sizeof(e->edit.admin), str_of(text)))
        return -ERR_SYNTAX;
    return 0;
}

static int parse_since(struct runtime_edit *e, const json_t *v)
{
    if (!json_is_integer(v) || json_integer_value(v) < 0)
        return -ERR_SYNTAX;
    e->since_ms = (uint64_t)json_integer_value(v);
    return 0;
}

static int parse_reason(struct runtime_edit *e, const json_t *v)
{
    return parse_text(v, &e->reason);
}

static int edit_parse_member(struct runtime_edit *e, const char *name, const json_t *v)
{
    static const struct {
        const char *name;
        int (*parse)(struct runtime_edit *e, const json_t *v);
    } members[] = {{"host", parse_host},       {"ports", parse_ports},
                   {"weight", parse_weight},   {"max_sessions", parse_max_sessions},
                   {"tls", parse_tls},         {"added", parse_added},
                   {"removed", parse_removed}, {"admin", parse_admin},
                   {"since", parse_since},     {"reason", parse_reason}};
    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        if (strcmp(members[i].name, name) == 0)
            return members[i].parse(e, v);
    return -ERR_NO_PARAM;
}

int runtime_edit_parse(const char *json, struct runtime_edit *ret, char **ret_error)
{
    struct runtime_edit e = {.edit.weight = -1};
    const char *name;
    json_t *v, *root = json_loads(json, JSON_REJECT_DUPLICATES, NULL);
    int err = json_is_object(root) ? 0 : -ERR_SYNTAX;
    if (err < 0)
        *ret_error = str_dup_c("it is no JSON object");
    json_object_foreach (root, name, v) {
        err = edit_parse_member(&e, name, v);
        if (err < 0) {
            *ret_error = str_printf("%s: %s", name, err_text(err));
            break;
        }
    }
    json_decref(root);
    if (err < 0)
        runtime_edit_fini(&e);
    else
        *ret = e;
    return err;
}
