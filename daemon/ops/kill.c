/* SPDX-License-Identifier: ISC */
/* Finding and ending sessions on all workers. */
#include "ops/kill.h"

#include <inttypes.h>

#include "base/container/array.h"
#include "peers/workers.h"
#include "rpc/json_text.h"
#include "runtime/state.h"

#define KILL_TIMEOUT_MS 30000 /* for a worker's answer, beyond the grace */
#define KILL_CUTS_SHOWN 5

struct kill_entry {
    uint64_t id, idle;
    uint32_t row_at; /* in rows */
    uint16_t row_n;  /* 0 = has none */
    bool is_ended;
    uint32_t n_cut;
    char verb[15];
};

struct kill_op {
    struct ask ask; /* begins when the workers are told */
    struct control *control;
    struct kill_spec spec;
    char *text;
    struct kill_entry *v;
    size_t n, cap, n_rows;
    uint64_t matched, n_told;
    struct kill_tally *tally;
    struct buf rows;
    int err; /* while they were found */
    bool is_over_max;
    struct kill_worker {
        size_t first; /* in order: its sessions */
        bool has_told, has_ended;
    } * workers;
    size_t *order;    /* places in v, by worker */
    size_t n_telling; /* workers */
};

/* ---- what became of them ---- */

struct kill_tally *kill_tally_new(void)
{
    struct kill_tally *t = calloc(1, sizeof(*t));
    if (t)
        t->refs = 1;
    return t;
}

void kill_tally_unref(struct kill_tally *t)
{
    if (!t || --t->refs > 0)
        return;
    free(t->cuts);
    free(t->found);
    free(t);
}

static void kill_tally_add_cut(struct kill_tally *t, const struct kill_cut *cut)
{
    if (t->n_cuts == t->cap_cuts && t->cap_cuts < KILL_CUTS_MAX) {
        size_t cap = t->cap_cuts ? 2 * t->cap_cuts : 8;
        cap = cap < KILL_CUTS_MAX ? cap : KILL_CUTS_MAX;
        struct kill_cut *cuts = realloc(t->cuts, cap * sizeof(*cuts));
        if (!cuts)
            return;
        t->cuts = cuts;
        t->cap_cuts = cap;
    }
    if (t->n_cuts < t->cap_cuts)
        t->cuts[t->n_cuts++] = *cut;
}

static void kill_tally_add(struct kill_tally *t, const struct session_outcome *o)
{
    struct kill_cut cut = {.id = o->id, .n = o->n_cut};
    t->ended++;
    t->clean += o->is_clean;
    t->cut += o->n_cut;
    if (o->n_cut == 0)
        return;
    memcpy(cut.verb, o->verb, sizeof(cut.verb));
    memcpy(cut.user, o->user, sizeof(cut.user));
    kill_tally_add_cut(t, &cut);
}

void kill_tally_merge(struct kill_tally *t, const struct kill_tally *from)
{
    t->told += from->told;
    t->ended += from->ended;
    t->clean += from->clean;
    t->cut += from->cut;
    for (size_t i = 0; i < from->n_cuts; i++)
        kill_tally_add_cut(t, &from->cuts[i]);
}

char *kill_tally_text(const struct kill_tally *t)
{
    AUTO_BUF text = BUF_INIT;
    int err = buf_printf(&text, "%" PRIu64 " ended, %" PRIu64 " clean", t->ended, t->clean);
    if (err == 0 && t->cut > 0)
        err = buf_printf(&text, ", %" PRIu64 " command%s cut", t->cut, t->cut == 1 ? "" : "s");
    for (size_t i = 0; i < t->n_cuts && i < KILL_CUTS_SHOWN && err == 0; i++) {
        char id[32];
        session_id_format(id, t->cuts[i].id);
        err = buf_printf(&text, "%s%s of %s (%s)", i == 0 ? ": " : ", ",
                         t->cuts[i].verb[0] ? t->cuts[i].verb : "?",
                         t->cuts[i].user[0] ? t->cuts[i].user : "?", id);
    }
    if (err == 0 && t->n_cuts > KILL_CUTS_SHOWN)
        err = buf_append_c(&text, ", ...");
    return err == 0 && buf_cstr(&text) ? buf_steal(&text) : NULL;
}

/* ---- the end ---- */

static void kill_op_free(struct kill_op *k)
{
    kill_tally_unref(k->tally);
    buf_fini(&k->rows);
    free(k->v);
    filter_unref(k->spec.filter);
    free(k->text);
    free(k->workers);
    free(k->order);
    free(k);
}

static void kill_op_finish(struct kill_op *k, int err)
{
    AUTO_BUF rows = BUF_INIT;
    for (size_t i = 0; i < k->n && err == 0; i++) {
        const struct kill_entry *e = &k->v[i];
        if ((!e->is_ended && !k->spec.is_dry) || e->row_n == 0)
            continue;
        /* The row without its last brace goes on with what was cut. */
        err = rows.len > 0 ? buf_append_char(&rows, ',') : 0;
        if (err == 0)
            err = buf_append(&rows, k->rows.data + k->rows.start + e->row_at, e->row_n - 1u);
        if (err == 0 && e->n_cut > 0)
            err = buf_printf(&rows, ",\"cut\":%u,\"verb\":", e->n_cut);
        if (err == 0 && e->n_cut > 0)
            err = json_text_string(&rows, str_of(e->verb));
        if (err == 0)
            err = buf_append_char(&rows, '}');
    }
    const struct kill_result result = {
        .err = err, .matched = k->matched, .tally = k->tally, .rows = buf_str(&rows)};
    k->tally->n_running--;
    if (k->spec.done)
        k->spec.done(k->spec.arg, &result);
    kill_op_free(k);
}

/* ---- second: telling ---- */

static void kill_op_say_told(struct kill_op *k, int err)
{
    void (*told)(void *arg, int err, uint64_t n) = k->spec.told;
    k->spec.told = NULL;
    if (told)
        told(k->spec.arg, err, k->n_told);
}

static void on_killed(struct ask *a, const struct session_killed *killed)
{
    struct kill_op *k = CONTAINER_OF(a, struct kill_op, ask);
    struct kill_worker *w = &k->workers[killed->worker];
    for (size_t i = 0; i < killed->n; i++) {
        struct kill_entry *e = &k->v[k->order[w->first + killed->v[i].at]];
        e->is_ended = true;
        e->n_cut = killed->v[i].outcome.n_cut;
        memcpy(e->verb, killed->v[i].outcome.verb, sizeof(e->verb));
        kill_tally_add(k->tally, &killed->v[i].outcome);
    }
    ask_wait(a, KILL_TIMEOUT_MS + k->spec.grace_ms);
    if (killed->is_told && !w->has_told) {
        w->has_told = true;
        k->n_told += killed->n_told;
        k->tally->told += killed->n_told;
        if (--k->n_telling == 0)
            kill_op_say_told(k, 0);
    }
}

static void on_kill_over(struct ask *a, int err)
{
    struct kill_op *k = CONTAINER_OF(a, struct kill_op, ask);
    kill_op_say_told(k, err);
    kill_op_finish(k, err);
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
                                     .ids = ids,
                                     .grace_ms = k->spec.grace_ms};
    size_t at = 0;
    if (!ids)
        return -ERR_NOMEM;
    for (size_t w = 0; worker_next(k->control, &w); w++) {
        spec.n = 0;
        k->workers[w].first = at;
        for (size_t i = 0; i < k->n; i++)
            if (worker_has(k->control, w, k->v[i].id)) {
                ids[spec.n++] = k->v[i].id;
                k->order[at++] = i;
            }
        if (spec.n == 0)
            continue;
        int err = worker_kill(k->control, w, &spec);
        if (err < 0)
            return err;
        k->ask.n_waiting++;
        k->n_telling++;
    }
    return 0;
}

static int kill_op_tell(struct kill_op *k)
{
    k->workers = calloc(worker_room(k->control), sizeof(*k->workers));
    k->order = calloc(k->n + 1, sizeof(*k->order));
    if (!k->workers || !k->order)
        return -ERR_NOMEM;
    k->ask = (struct ask){.on_killed = on_killed, .on_over = on_kill_over};
    int err = ask_begin(k->control, &k->ask);
    if (err < 0)
        return err;
    err = kill_op_post(k);
    if (k->ask.n_waiting == 0) {
        ask_end(&k->ask);
        return err < 0 ? err : -ERR_NO_MATCH;
    }
    ask_wait(&k->ask, KILL_TIMEOUT_MS + k->spec.grace_ms);
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

static int kill_op_add(struct kill_op *k, const struct session_row *row)
{
    if (!ARRAY_ROOM(k->v, k->n, k->cap))
        return -ERR_NOMEM;
    struct kill_entry *e = &k->v[k->n++];
    *e = (struct kill_entry){.id = row->id, .idle = row->v[SESSION_FIELD_IDLE].number};
    k->matched++;
    if (k->spec.is_dry)
        breakdown_add(k->tally->found, row);
    k->is_over_max = k->spec.has_max && k->matched > k->spec.max;
    return k->spec.has_rows && k->n_rows < KILL_ROWS_MAX ? entry_row(k, e, row) : 0;
}

static bool kill_op_chunk(void *arg, struct session_chunk *chunk)
{
    struct kill_op *k = arg;
    int err = 0;
    for (size_t i = 0; i < chunk->n && err == 0 && !k->is_over_max; i++)
        if (!k->spec.is_wanted || k->spec.is_wanted(k->spec.arg, &chunk->rows[i]))
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

static void kill_op_found(void *arg, int err, uint64_t seen, uint64_t matched)
{
    struct kill_op *k = arg;
    (void)seen;
    (void)matched;
    if (err == 0)
        err = k->is_over_max ? -ERR_TOO_MANY : k->err;
    if (k->spec.first_idle != 0 && k->n > k->spec.first_idle) {
        qsort(k->v, k->n, sizeof(*k->v), entry_compare_idle);
        k->n = k->spec.first_idle;
    }
    if (err == 0 && k->spec.found) {
        struct kill_found *found = calloc(k->n + 1, sizeof(*found));
        for (size_t i = 0; found && i < k->n; i++)
            found[i] = (struct kill_found){.id = k->v[i].id, .idle = k->v[i].idle};
        if (found)
            k->spec.found(k->spec.arg, found, k->n);
        else
            err = -ERR_NOMEM;
    }
    if (err == 0 && !k->spec.is_dry && k->n > 0) {
        err = kill_op_tell(k);
        if (err == 0)
            return;
    }
    if (err == 0 && k->spec.is_dry)
        k->tally->ended += k->n;
    kill_op_say_told(k, err);
    kill_op_finish(k, err);
}

static int kill_op_copy(struct kill_op *k, const struct kill_spec *spec)
{
    k->spec = *spec;
    if (spec->tally)
        spec->tally->refs++;
    k->tally = spec->tally ? spec->tally : kill_tally_new();
    if (!k->tally)
        return -ERR_NOMEM;
    if (spec->is_dry && !k->tally->found)
        k->tally->found = calloc(1, sizeof(*k->tally->found));
    if (spec->is_dry && !k->tally->found)
        return -ERR_NOMEM;
    k->text = str_dup_c(spec->text);
    return spec->text && !k->text ? -ERR_NOMEM : 0;
}

static int kill_op_find(struct kill_op *k)
{
    const struct kill_spec *spec = &k->spec;
    /* What is looked at here. */
    uint64_t fields = SESSION_FIELD_BIT(SESSION_FIELD_ID) | SESSION_FIELD_BIT(SESSION_FIELD_USER) |
                      SESSION_FIELD_BIT(SESSION_FIELD_IP) | SESSION_FIELD_BIT(SESSION_FIELD_IDLE);
    const struct session_order order = {.by = SESSION_FIELD_IDLE, .is_descending = true};
    const struct collect_spec find = {.query.filter = spec->filter,
                                      .query.fields =
                                          spec->is_dry ? fields | BREAKDOWN_FIELDS : fields,
                                      .query.is_sorted = spec->first_idle > 0,
                                      .query.order = order,
                                      .query.limit = spec->first_idle,
                                      .chunk = kill_op_chunk,
                                      .done = kill_op_found,
                                      .arg = k};
    return collect_start(k->control, &find);
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
    if (err == 0 && spec->ids) {
        k->v = calloc(spec->n_ids + 1, sizeof(*k->v));
        for (; k->v && k->n < spec->n_ids; k->n++)
            k->v[k->n].id = spec->ids[k->n];
        k->matched = k->n;
        err = k->v ? kill_op_tell(k) : -ERR_NOMEM;
    } else if (err == 0) {
        err = kill_op_find(k);
    }
    if (err < 0)
        kill_op_free(k);
    else
        k->tally->n_running++;
    return err;
}

const struct filter_is kill_relayed[] = {
    {.id = SESSION_FIELD_STATE, .values = (const char *[]){"relay"}, .n_values = 1},
    {.id = SESSION_FIELD_PHASE,
     .is_negated = true,
     .values = (const char *[]){"ending"},
     .n_values = 1}};

int kill_start_terms(struct control *c, const struct kill_spec *spec, const struct filter_is *terms,
                     size_t n)
{
    struct kill_spec with_filter = *spec;
    int err =
        filter_make(terms, n, session_filter_fields, SESSION_FIELD_COUNT, &with_filter.filter);
    if (err < 0)
        return err;
    err = kill_start(c, &with_filter);
    filter_unref(with_filter.filter);
    return err;
}

int kill_filter_user(const char *user, struct filter **ret)
{
    const struct filter_is term = {
        .id = SESSION_FIELD_USER, .values = (const char *[]){user}, .n_values = 1};
    return filter_make(&term, 1, session_filter_fields, SESSION_FIELD_COUNT, ret);
}

/* ---- for commands ---- */

void kill_answer_changed(struct request *r, const struct kill_tally *t, struct str rows,
                         bool is_changed)
{
    if (request_bool(r, "dry_run"))
        kill_answer_found(r, t, rows, "would end");
    else
        request_hit_text(
            r, t->ended, is_changed || t->ended > 0, rows,
            json_pack("{s:I, s:I}", "clean", (json_int_t)t->clean, "cut", (json_int_t)t->cut));
}

static void kill_answer_dry(struct request *r, uint64_t count, const struct breakdown *found,
                            struct str rows, const char *text)
{
    const struct breakdown none = {0};
    request_hit_text(r, count, false, rows,
                     json_pack("{s:o, s:s?}", "breakdown", breakdown_json(found ? found : &none),
                               "message", text));
}

void kill_answer_found(struct request *r, const struct kill_tally *t, struct str rows,
                       const char *what)
{
    const struct breakdown none = {0};
    AUTO_FREE char *text = breakdown_text(t->found ? t->found : &none, what);
    kill_answer_dry(r, t->ended, t->found, rows, text);
}

void kill_answer_about(struct request *r, const char *what, uint64_t count,
                       const struct kill_tally *t, struct str rows)
{
    const struct breakdown none = {0};
    AUTO_FREE char *sessions = breakdown_text(t->found ? t->found : &none, "would end");
    AUTO_FREE char *text = str_printf("%s%s", what, sessions ? sessions : "");
    kill_answer_dry(r, count, t->found, rows, text);
}

void kill_answer(struct request *r, const struct kill_result *result)
{
    if (result->err == -ERR_TOO_MANY)
        request_fail(r, result->err, NULL, "more than %" PRIu64 " %s; nothing was done",
                     result->matched - 1,
                     result->matched == 2 ? "session matches" : "sessions match");
    else if (result->err < 0)
        request_fail(r, result->err, NULL, NULL);
    else
        kill_answer_changed(r, result->tally, result->rows, false);
}

static void on_request_killed(void *arg, const struct kill_result *result)
{
    kill_answer(arg, result);
}

uint64_t kill_grace_ms(const struct request *r)
{
    return request_bool(r, "now") ? 0 : request_number(r, "grace", KILL_GRACE_MS);
}

void kill_for_request(struct request *r, struct kill_spec *spec)
{
    spec->has_rows = true;
    spec->has_max = request_has(r, "max");
    spec->max = request_number(r, "max", 0);
    spec->is_dry = request_bool(r, "dry_run");
    spec->text = request_text(r, "text");
    spec->grace_ms = kill_grace_ms(r);
    if (!spec->done)
        spec->done = on_request_killed;
    spec->arg = r;
    int err = kill_start(request_control(r), spec);
    if (err < 0)
        request_fail(r, err, NULL, NULL);
}
