/* SPDX-License-Identifier: ISC */
/* Finding and ending sessions on all workers. */
#include "ops/kill.h"

#include "rpc/json_text.h"
#include "runtime/state.h"

#define KILL_TIMEOUT_MS 30000

struct kill_entry {
    uint64_t id, idle;
    uint32_t row_at; /* in rows */
    uint16_t row_n;  /* 0 = has none */
    bool is_hit;
};

struct kill_op {
    struct ask ask; /* begins when the workers are told */
    struct control *control;
    struct kill_spec spec;
    char *exact[2], *except[2], *text;
    struct kill_entry *v;
    size_t n, cap, n_rows;
    uint64_t matched, n_hit;
    struct buf rows;
    int err; /* while they were found */
    bool is_over_max;
    size_t n_waiting; /* workers */
    size_t *hit_at;   /* of each worker: where in v its next answer goes on */
    struct loop_timer timer;
};

static void kill_op_free(struct kill_op *k)
{
    buf_fini(&k->rows);
    free(k->v);
    filter_unref(k->spec.filter);
    for (size_t i = 0; i < ARRAY_LEN(k->exact); i++) {
        free(k->exact[i]);
        free(k->except[i]);
    }
    free(k->text);
    free(k->hit_at);
    free(k);
}

static int kill_op_append(const struct kill_op *k, const struct kill_entry *e, struct buf *out)
{
    int err = out->len > 0 ? buf_append_char(out, ',') : 0;
    return err == 0 ? buf_append(out, k->rows.data + k->rows.start + e->row_at, e->row_n) : err;
}

static void kill_op_finish(struct kill_op *k, int err)
{
    AUTO_BUF rows = BUF_INIT;
    for (size_t i = 0; i < k->n && err == 0; i++)
        if ((k->v[i].is_hit || k->spec.is_dry) && k->v[i].row_n > 0)
            err = kill_op_append(k, &k->v[i], &rows);
    k->spec.done(k->spec.arg, err, k->matched, k->n_hit, buf_str(&rows));
    kill_op_free(k);
}

/* ---- second: telling ---- */

static void kill_op_end(struct kill_op *k, int err)
{
    loop_timer_cancel(k->control->host->loop, &k->timer);
    ask_end(&k->ask);
    kill_op_finish(k, err);
}

/* A worker answers in the order in which it was told. */
static void kill_op_hit(struct kill_op *k, unsigned worker, uint64_t id)
{
    size_t *at = &k->hit_at[worker];
    while (*at < k->n && k->v[*at].id != id)
        ++*at;
    if (*at == k->n)
        return;
    k->v[*at].is_hit = true;
    k->n_hit++;
}

static void on_killed(struct ask *a, const struct session_killed *killed)
{
    struct kill_op *k = CONTAINER_OF(a, struct kill_op, ask);
    for (size_t i = 0; i < killed->n; i++)
        kill_op_hit(k, killed->worker, killed->ids[i]);
    loop_timer_set(k->control->host->loop, &k->timer, KILL_TIMEOUT_MS);
    if (killed->is_last && --k->n_waiting == 0)
        kill_op_end(k, 0);
}

static void on_killing_timeout(struct loop_timer *t)
{
    kill_op_end(CONTAINER_OF(t, struct kill_op, timer), -ERR_TIMEOUT);
}

static void on_killing_end(struct ask *a)
{
    kill_op_end(CONTAINER_OF(a, struct kill_op, ask), -ERR_SHUTDOWN);
}

static int kill_op_post(struct kill_op *k)
{
    const struct engine_api *h = k->control->host;
    AUTO_FREE uint64_t *ids = calloc(k->n + 1, sizeof(*ids));
    struct session_kill_spec spec = {.number = k->ask.number,
                                     .reply = loop_mailbox(h->loop),
                                     .deliver = ask_deliver_killed,
                                     .kind = k->spec.kind,
                                     .text = k->text,
                                     .grace_ms = k->spec.grace_ms};
    if (!ids)
        return -ERR_NOMEM;
    for (size_t w = 0; w < h->n_workers; w++) {
        spec.ids = ids;
        spec.n = 0;
        for (size_t i = 0; i < k->n; i++)
            if (session_id_worker(k->v[i].id) == w)
                ids[spec.n++] = k->v[i].id;
        if (spec.n == 0)
            continue;
        int err = session_kill_post(h->workers[w].mailbox, &spec);
        if (err < 0)
            return err;
        k->n_waiting++;
    }
    return 0;
}

static int kill_op_tell(struct kill_op *k)
{
    k->hit_at = calloc(k->control->host->n_workers + 1, sizeof(*k->hit_at));
    if (!k->hit_at)
        return -ERR_NOMEM;
    k->ask = (struct ask){.on_killed = on_killed, .on_end = on_killing_end};
    loop_timer_init(&k->timer, on_killing_timeout);
    int err = ask_begin(k->control, &k->ask);
    if (err < 0)
        return err;
    err = kill_op_post(k);
    if (k->n_waiting == 0) {
        ask_end(&k->ask);
        return err < 0 ? err : -ERR_NO_MATCH;
    }
    loop_timer_set(k->control->host->loop, &k->timer, KILL_TIMEOUT_MS);
    return 0;
}

/* ---- first: finding ---- */

static int entry_row(struct kill_op *k, struct kill_entry *e, const struct session_row *row)
{
    static const enum session_field shown[] = {SESSION_FIELD_ID, SESSION_FIELD_USER,
                                               SESSION_FIELD_IP};
    size_t at = k->rows.len;
    int err = buf_append_char(&k->rows, '{');
    for (size_t i = 0; i < ARRAY_LEN(shown) && err == 0; i++) {
        if (row->v[shown[i]].text.n == 0)
            continue;
        err = json_text_key(&k->rows, session_filter_fields[shown[i]].name, i == 0);
        if (err == 0)
            err = json_text_string(&k->rows, row->v[shown[i]].text);
    }
    if (err == 0)
        err = buf_append_char(&k->rows, '}');
    e->row_at = (uint32_t)at;
    e->row_n = err == 0 ? (uint16_t)(k->rows.len - at) : 0;
    k->n_rows++;
    return err;
}

static bool row_has(const struct session_row *row, enum session_field field, const char *text)
{
    return str_ieq(row->v[field].text, str_of(text));
}

static bool kill_op_is_meant(const struct kill_op *k, const struct session_row *row)
{
    bool is_excepted = k->except[0] || k->except[1];
    for (size_t i = 0; i < ARRAY_LEN(k->exact); i++) {
        if (k->exact[i] && !row_has(row, k->spec.exact[i].field, k->exact[i]))
            return false;
        if (k->except[i] && !row_has(row, k->spec.except[i].field, k->except[i]))
            is_excepted = false;
    }
    return !is_excepted;
}

static int kill_op_add(struct kill_op *k, const struct session_row *row)
{
    if (k->n == k->cap) {
        size_t cap = k->cap ? 2 * k->cap : 64;
        struct kill_entry *v = realloc(k->v, cap * sizeof(*v));
        if (!v)
            return -ERR_NOMEM;
        k->v = v;
        k->cap = cap;
    }
    struct kill_entry *e = &k->v[k->n++];
    *e = (struct kill_entry){.id = row->id, .idle = row->v[SESSION_FIELD_IDLE].number};
    k->matched++;
    k->is_over_max = k->spec.max && k->matched > k->spec.max;
    return k->spec.has_rows && k->n_rows < KILL_ROWS_MAX ? entry_row(k, e, row) : 0;
}

static bool kill_op_chunk(void *arg, struct session_chunk *chunk)
{
    struct kill_op *k = arg;
    int err = 0;
    for (size_t i = 0; i < chunk->n && err == 0 && !k->is_over_max; i++)
        if (kill_op_is_meant(k, &chunk->rows[i]))
            err = kill_op_add(k, &chunk->rows[i]);
    session_chunk_free(chunk);
    k->err = err;
    return err == 0 && !k->is_over_max;
}

static int entry_compare_idle(const void *x, const void *y)
{
    const struct kill_entry *a = x, *b = y;
    return a->idle > b->idle ? -1 : a->idle < b->idle;
}

static void kill_op_cut(struct kill_op *k)
{
    if (k->spec.first_idle == 0 || k->n <= k->spec.first_idle)
        return;
    qsort(k->v, k->n, sizeof(*k->v), entry_compare_idle);
    k->n = k->spec.first_idle;
}

static int kill_op_show(const struct kill_op *k)
{
    struct kill_found *found = calloc(k->n + 1, sizeof(*found));
    if (!found)
        return -ERR_NOMEM;
    for (size_t i = 0; i < k->n; i++)
        found[i] = (struct kill_found){.id = k->v[i].id, .idle = k->v[i].idle};
    k->spec.found(k->spec.arg, found, k->n);
    return 0;
}

static void kill_op_found(void *arg, int err, uint64_t seen, uint64_t matched)
{
    struct kill_op *k = arg;
    (void)seen;
    (void)matched;
    if (err == 0)
        err = k->is_over_max ? -ERR_TOO_MANY : k->err;
    kill_op_cut(k);
    if (err == 0 && k->spec.found)
        err = kill_op_show(k);
    if (err == 0 && !k->spec.is_dry && k->n > 0) {
        err = kill_op_tell(k);
        if (err == 0)
            return;
    }
    k->n_hit = err == 0 ? k->n : 0;
    kill_op_finish(k, err);
}

static int kill_op_copy(struct kill_op *k, const struct kill_spec *spec)
{
    k->spec = *spec;
    for (size_t i = 0; i < ARRAY_LEN(k->exact); i++) {
        k->exact[i] = str_dup_c(spec->exact[i].text);
        k->except[i] = str_dup_c(spec->except[i].text);
        if ((spec->exact[i].text && !k->exact[i]) || (spec->except[i].text && !k->except[i]))
            return -ERR_NOMEM;
    }
    k->text = str_dup_c(spec->text);
    return spec->text && !k->text ? -ERR_NOMEM : 0;
}

/* What is looked at here. */
static uint32_t kill_op_fields(const struct kill_op *k)
{
    uint32_t fields = SESSION_FIELD_BIT(SESSION_FIELD_ID) | SESSION_FIELD_BIT(SESSION_FIELD_USER) |
                      SESSION_FIELD_BIT(SESSION_FIELD_IP) | SESSION_FIELD_BIT(SESSION_FIELD_IDLE);
    for (size_t i = 0; i < ARRAY_LEN(k->exact); i++) {
        fields |= k->exact[i] ? SESSION_FIELD_BIT(k->spec.exact[i].field) : 0;
        fields |= k->except[i] ? SESSION_FIELD_BIT(k->spec.except[i].field) : 0;
    }
    return fields;
}

static int kill_op_find(struct kill_op *k)
{
    const struct kill_spec *spec = &k->spec;
    const struct session_order order = {.by = SESSION_FIELD_IDLE, .is_descending = true};
    const struct collect_spec find = {.filter = spec->filter,
                                      .fields = kill_op_fields(k),
                                      .is_sorted = spec->first_idle > 0,
                                      .order = order,
                                      .limit = spec->first_idle,
                                      .chunk = kill_op_chunk,
                                      .done = kill_op_found,
                                      .arg = k};
    return collect_start(k->control, &find);
}

static int kill_op_take(struct kill_op *k)
{
    k->v = calloc(k->spec.n_ids + 1, sizeof(*k->v));
    if (!k->v)
        return -ERR_NOMEM;
    for (; k->n < k->spec.n_ids; k->n++)
        k->v[k->n].id = k->spec.ids[k->n];
    k->matched = k->n;
    return kill_op_tell(k);
}

int kill_start(struct control *c, const struct kill_spec *spec)
{
    struct kill_op *k = calloc(1, sizeof(*k));
    if (!k)
        return -ERR_NOMEM;
    k->control = c;
    int err = kill_op_copy(k, spec);
    if (k->spec.filter)
        filter_ref(k->spec.filter);
    if (err == 0)
        err = spec->ids ? kill_op_take(k) : kill_op_find(k);
    if (err < 0)
        kill_op_free(k);
    return err;
}

/* A name as a value of the filter language: its wildcards would match more, which the exact
 * comparison afterwards takes out again. */
int kill_term(struct buf *text, enum session_field field, const char *value)
{
    int err = buf_printf(text, "%s%s=\"", text->len ? " " : "", session_filter_fields[field].name);
    for (const char *p = value; *p && err == 0; p++) {
        if (*p == '"' || *p == '\\')
            err = buf_append_char(text, '\\');
        if (err == 0)
            err = buf_append_char(text, *p);
    }
    return err == 0 ? buf_append_char(text, '"') : err;
}

int kill_parse(const struct buf *text, struct filter **ret)
{
    AUTO_FREE char *error = NULL;
    return filter_parse(buf_str(text), session_filter_fields, SESSION_FIELD_COUNT, ret, &error);
}

int kill_filter(enum session_field field, const char *value, struct filter **ret)
{
    AUTO_BUF text = BUF_INIT;
    int err = kill_term(&text, field, value);
    return err == 0 ? kill_parse(&text, ret) : err;
}

/* ---- for commands ---- */

void kill_answer(struct request *r, int err, uint64_t matched, uint64_t n, struct str rows)
{
    if (err == 0) {
        request_hit_text(r, n, n > 0 && !request_bool(r, "dry_run"), rows);
        return;
    }
    if (err == -ERR_TOO_MANY)
        request_fail(r, err, NULL, "more than %llu sessions match; nothing was done",
                     (unsigned long long)(matched - 1));
    else
        request_fail(r, err, NULL, NULL);
}

static void on_request_killed(void *arg, int err, uint64_t matched, uint64_t n, struct str rows)
{
    kill_answer(arg, err, matched, n, rows);
}

void kill_for_request(struct request *r, struct kill_spec *spec)
{
    spec->has_rows = true;
    spec->max = request_number(r, "max", 0);
    spec->is_dry = request_bool(r, "dry_run");
    spec->text = request_text(r, "text");
    spec->grace_ms = request_bool(r, "now") ? 0 : request_number(r, "grace", KILL_GRACE_MS);
    if (!spec->done)
        spec->done = on_request_killed;
    spec->arg = r;
    int err = kill_start(request_control(r), spec);
    if (err < 0)
        request_fail(r, err, NULL, NULL);
}
