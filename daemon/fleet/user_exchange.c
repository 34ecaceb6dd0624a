/* SPDX-License-Identifier: ISC */
/* What is told of users, and what becomes of what is heard. */
#include "fleet/user_exchange.h"

#include <stdio.h>

#include "base/cleanup.h"
#include "base/clock.h"

/* A revision that the store never has: what is there is answered. */
#define EXPECTED_NEVER "?"

/* ---- effects ---- */

int user_effects_init(struct user_effects *e)
{
    *e = (struct user_effects){.changed = json_array(), .events = json_array()};
    return e->changed && e->events ? 0 : -ERR_NOMEM;
}

void user_effects_fini(struct user_effects *e)
{
    json_decref(e->changed);
    json_decref(e->events);
    map_fini(&e->locked);
    *e = (struct user_effects){0};
}

__attribute__((format(printf, 2, 3))) static void effects_tell(struct user_effects *e,
                                                               const char *fmt, ...)
{
    va_list ap;
    AUTO_BUF text = BUF_INIT;
    va_start(ap, fmt);
    if (buf_vprintf(&text, fmt, ap) == 0)
        (void)json_array_append_new(e->events, json_string(buf_cstr(&text)));
    va_end(ap);
}

/* The user becomes another one. */
static int effects_note(struct user_effects *e, const struct store_user *was,
                        const struct user_record *is)
{
    static char yes;
    uint64_t now_ms = clock_wall_ms();
    bool is_locked = !is->is_removed && store_user_is(&is->user, USER_LOCKED, now_ms);
    if (json_array_append_new(e->changed, json_string(is->name)) != 0)
        return -ERR_NOMEM;
    return is_locked && !store_user_is(was, USER_LOCKED, now_ms)
               ? map_put(&e->locked, str_of(is->name), &yes, NULL)
               : 0;
}

/* ---- sealed values: "REVISION:" and bytes ---- */

static void name_field(const struct user_exchange *x, const char *name, char ret[USER_FIELD_SIZE])
{
    uint8_t hash[PIN_HASH_BYTES];
    pins_hash_user(x->pins, name, hash);
    str_hex(ret, hash, sizeof(hash));
}

/* Where a text is sealed for: nobody can give it to another user, or another revision. */
static int value_place(const struct user_exchange *x, struct str field, struct str revision,
                       struct buf *ret)
{
    return buf_printf(ret, "%s/%.*s/%.*s", x->key, STR_ARG(field), STR_ARG(revision));
}

static int value_seal(const struct user_exchange *x, const char *field, const struct user_record *r,
                      struct buf *ret)
{
    AUTO_SECRET_BUF text = BUF_INIT;
    AUTO_BUF place = BUF_INIT;
    char revision[24];
    int n = snprintf(revision, sizeof(revision), "%llu", (unsigned long long)r->revision);
    int err = user_record_text(r, &text);
    if (err == 0)
        err = value_place(x, str_of(field), str_n(revision, (size_t)n), &place);
    if (err == 0)
        err = buf_printf(ret, "%s:", revision);
    return err < 0 ? err : seal_text(&x->seal, buf_str(&place), buf_str(&text), ret);
}

/* The revision in front, as it is written there: at most USER_EXPECTED_SIZE - 1 digits; else "x",
 * as the script has it. */
static struct str value_revision(struct str value)
{
    size_t n = 0;
    while (n < value.n && value.p[n] >= '0' && value.p[n] <= '9')
        n++;
    return value.n == 0 ? STR("0")
           : n > 0 && n < USER_EXPECTED_SIZE && n < value.n && value.p[n] == ':'
               ? str_head(value, n)
               : STR("x");
}

/* -ERR_AUTH, -ERR_SYNTAX: it is no word of a node about this user. */
static int value_open(const struct user_exchange *x, struct str field, struct str value,
                      struct user_record *ret)
{
    AUTO_SECRET_BUF text = BUF_INIT;
    AUTO_BUF place = BUF_INIT;
    char right[USER_FIELD_SIZE];
    struct str revision = value_revision(value);
    uint64_t n;
    *ret = (struct user_record){0};
    if (str_to_u64(revision, INT64_MAX, &n) < 0 || n == 0)
        return -ERR_AUTH;
    int err = value_place(x, field, revision, &place);
    if (err == 0)
        err = seal_open(&x->seal, buf_str(&place), str_skip(value, revision.n + 1), &text);
    if (err == 0)
        err = user_record_read(buf_str(&text), ret);
    if (err < 0)
        return err;
    name_field(x, ret->name, right);
    if (ret->revision == n && str_eq(field, str_of(right)))
        return 0;
    user_record_fini(ret);
    return -ERR_AUTH;
}

/* ---- what is written into the store of this node, in one transaction ---- */

struct batch_item {
    struct store_sync_write write;
    struct user_record record; /* that it refers to */
};
struct batch_writes {
    struct batch_item v[USER_BATCH_MAX];
    size_t n;
};

static void cleanup_writes(struct batch_writes **w)
{
    for (size_t i = 0; *w && i < (*w)->n; i++) {
        user_record_fini(&(*w)->v[i].record);
        store_sync_fini(&(*w)->v[i].write.row);
    }
    free(*w);
}

static int writes_run(const struct user_exchange *x, const struct batch_writes *w,
                      struct user_effects *e)
{
    struct store_sync_write v[USER_BATCH_MAX];
    for (size_t i = 0; i < w->n; i++) {
        v[i] = w->v[i].write;
        e->n_again += v[i].row.state == STORE_EDITED;
    }
    return store_sync_write(x->store, v, w->n);
}

/* Takes over r and base. */
static void writes_add(struct batch_writes *w, struct user_record *r, int what, uint64_t edit,
                       enum store_sync_state state, char *base)
{
    struct batch_item *i = &w->v[w->n++];
    i->record = *r;
    *r = (struct user_record){0};
    i->write = (struct store_sync_write){
        .name = i->record.name,
        .what = what == STORE_SYNC_USER && i->record.is_removed ? STORE_SYNC_REMOVE : what,
        .user = &i->record.user,
        .row = {.revision = i->record.revision,
                .at_ms = i->record.at_ms,
                .edit = edit,
                .state = state,
                .base = base}};
    (void)str_copy(i->write.row.writer, STORE_WRITER_SIZE, str_of(i->record.writer));
}

/* ---- what is here ---- */

/* The user here, as a record. row: what is known of its revision. */
static int record_here(const struct user_exchange *x, const char *name,
                       const struct store_sync *row, struct user_record *ret)
{
    *ret = (struct user_record){
        .name = str_dup_c(name), .revision = row->revision, .at_ms = row->at_ms};
    int err = ret->name ? store_user_get(x->store, name, &ret->user) : -ERR_NOMEM;
    ret->is_removed = err == -ERR_NO_USER;
    (void)str_copy(ret->writer, sizeof(ret->writer), str_of(*row->writer ? row->writer : x->node));
    if (err < 0 && !ret->is_removed) {
        user_record_fini(ret);
        return err;
    }
    return 0;
}

/* The user becomes what r says (taken over), which another node has made. */
static int adopt(struct user_record *r, const struct user_record *here, uint64_t edit,
                 struct batch_writes *w, struct user_effects *e)
{
    bool is_same = user_record_is_same(r, here);
    int err = is_same ? 0 : effects_note(e, &here->user, r);
    e->n_taken++;
    writes_add(w, r, is_same ? STORE_SYNC_ROW : STORE_SYNC_USER, edit, STORE_SYNCED, NULL);
    return err;
}

/* Both have changed it. theirs is taken over. */
static int merge(struct user_record *theirs, const struct user_record *here,
                 const struct store_sync *row, struct batch_writes *w, struct user_effects *e)
{
    CLEANUP(user_record_fini) struct user_record both = {0};
    AUTO_BUF lost = BUF_INIT;
    int err = user_record_merge(row->base, here, theirs, &both, &lost);
    if (err < 0)
        return err;
    if (lost.len > 0)
        effects_tell(e, "%s was changed at %s and at %s at the same time: %s is as %s says",
                     both.name, here->writer, theirs->writer, buf_cstr(&lost),
                     user_record_is_later(here, theirs) ? here->writer : theirs->writer);
    if (user_record_is_same(&both, theirs))
        return adopt(theirs, here, row->edit, w, e);
    char *base = user_record_base(theirs);
    if (!base)
        return -ERR_NOMEM;
    both.revision = theirs->revision;
    both.at_ms = row->at_ms > theirs->at_ms ? row->at_ms : theirs->at_ms;
    if (!user_record_is_same(&both, here))
        err = effects_note(e, &here->user, &both);
    writes_add(w, &both, STORE_SYNC_USER, row->edit, STORE_EDITED, base);
    user_record_fini(theirs);
    return err;
}

/* Two that have the same revision, made apart while the store lost what it had. */
static int settle_twins(struct user_record *theirs, struct user_record *here,
                        const struct store_sync *row, struct batch_writes *w,
                        struct user_effects *e)
{
    bool is_same = user_record_is_same(here, theirs);
    if (is_same || user_record_is_later(theirs, here)) {
        if (!is_same)
            effects_tell(e, "%s: the change at %s is lost, the one at %s is later", here->name,
                         here->writer, theirs->writer);
        return adopt(theirs, here, row->edit, w, e);
    }
    effects_tell(e, "%s: the change at %s is lost, the one at %s is later", here->name,
                 theirs->writer, here->writer);
    char *base = user_record_base(theirs);
    if (!base)
        return -ERR_NOMEM;
    writes_add(w, here, STORE_SYNC_ROW, row->edit, STORE_EDITED, base);
    return 0;
}

/* ---- removals that are forgotten ---- */

/* What the fleet has of the user holds, also nothing: the row here may be of a user who was
 * removed, which the fleet does not remember any more. */
static bool row_gives_way(const struct user_exchange *x, const struct store_sync *row,
                          bool is_removed)
{
    bool is_edited = row->state == STORE_EDITED, is_old = row->at_ms < x->removals_since_ms;
    return row->revision > 0 &&
           ((x->is_late && (!is_edited || is_old)) || (is_removed && !is_edited && is_old));
}

/* The fleet has nothing of the user: who was known to it was removed. */
static int give_way(const struct user_record *here, const struct store_sync *row,
                    struct batch_writes *w, struct user_effects *e)
{
    CLEANUP(user_record_fini)
    struct user_record nobody = {.name = str_dup_c(here->name),
                                 .revision = row->revision,
                                 .at_ms = row->at_ms,
                                 .is_removed = true};
    if (!nobody.name)
        return -ERR_NOMEM;
    (void)str_copy(nobody.writer, sizeof(nobody.writer), str_of(here->writer));
    if (row->state == STORE_EDITED && !here->is_removed)
        effects_tell(e, "%s: the change at %s is lost, the user was removed", here->name,
                     here->writer);
    e->n_gone += !here->is_removed;
    return adopt(&nobody, here, row->edit, w, e);
}

/* Is what the fleet has still what was changed here? */
static bool is_base(const struct store_sync *row, const struct user_record *theirs)
{
    char *base = theirs->revision == row->revision ? user_record_base(theirs) : NULL;
    bool is_same = base && row->base && strcmp(base, row->base) == 0;
    if (base)
        explicit_bzero(base, strlen(base));
    free(base);
    return is_same;
}

/* ---- telling ---- */

void user_batch_fini(struct user_batch *b)
{
    for (size_t i = 0; i < b->n; i++) {
        buf_fini(&b->v[i].value);
        user_record_fini(&b->v[i].record);
    }
    b->n = 0;
}

struct collect {
    const struct user_exchange *exchange;
    struct user_batch *batch;
    struct batch_writes *left_out;
    struct user_effects *effects;
    int err;
};

/* Nobody is told of it, and those behind it are not kept waiting. */
static void collect_left_out(struct collect *c, struct user_push *p, const struct store_sync *row)
{
    struct user_record r = {
        .name = str_dup_c(p->record.name), .revision = row->revision, .at_ms = row->at_ms};
    if (!r.name) {
        c->err = -ERR_NOMEM;
        return;
    }
    p->is_over = true;
    (void)str_copy(r.writer, sizeof(r.writer), str_of(p->record.writer));
    effects_tell(c->effects, "%s is left out: one of its texts is longer than %d bytes", r.name,
                 USER_TEXT_MAX);
    writes_add(c->left_out, &r, STORE_SYNC_ROW, row->edit, STORE_SYNCED, NULL);
}

static bool on_collected(void *arg, const char *name, const struct store_sync *row)
{
    struct collect *c = arg;
    struct user_push *p = &c->batch->v[c->batch->n];
    *p = (struct user_push){.edit = row->edit};
    c->err = record_here(c->exchange, name, row, &p->record);
    if (c->err < 0)
        return false;
    c->batch->n++;
    bool is_known = row->state == STORE_EDITED;
    p->gives_way = row_gives_way(c->exchange, row, p->record.is_removed);
    *str_put_number(p->expected, is_known ? row->revision : 0, 10, 0) = '\0';
    if (p->gives_way)
        (void)str_copy(p->expected, sizeof(p->expected), STR(EXPECTED_NEVER));
    p->record.revision = is_known || row->revision == 0 ? row->revision + 1 : row->revision;
    name_field(c->exchange, name, p->field);
    c->err = value_seal(c->exchange, p->field, &p->record, &p->value);
    if (c->err == -ERR_TOO_LONG) {
        c->err = 0;
        collect_left_out(c, p, row);
    }
    return c->err == 0 && c->batch->n < USER_BATCH_MAX;
}

int user_exchange_collect(const struct user_exchange *x, enum store_sync_state state, size_t max,
                          struct user_batch *ret, struct user_effects *e)
{
    CLEANUP(cleanup_writes) struct batch_writes *w = calloc(1, sizeof(*w));
    struct collect c = {.exchange = x, .batch = ret, .left_out = w, .effects = e};
    ret->n = 0;
    int err = w ? store_sync_each(x->store, state, max < USER_BATCH_MAX ? max : USER_BATCH_MAX,
                                  on_collected, &c)
                : -ERR_NOMEM;
    err = err < 0 ? err : c.err;
    if (err == 0)
        err = writes_run(x, w, e);
    if (err < 0)
        user_batch_fini(ret);
    return err;
}

/* The fleet's store has something else. */
static int push_refused(const struct user_exchange *x, struct user_push *p, struct str now,
                        struct batch_writes *w, struct user_effects *e)
{
    CLEANUP(user_record_fini) struct user_record theirs = {0}, here = {0};
    CLEANUP(store_sync_fini) struct store_sync row = {0};
    int err = now.n > 0 ? value_open(x, str_of(p->field), now, &theirs) : -ERR_NOT_FOUND;
    if (err == -ERR_NOMEM || err == -ERR_TLS)
        return err;
    e->n_refused += err == -ERR_AUTH || err == -ERR_SYNTAX;
    if (err == -ERR_SYNTAX) { /* a newer version has written it */
        p->is_over = true;
        return 0;
    }
    bool is_theirs = err == 0, is_newer = is_theirs && theirs.revision >= p->record.revision;
    err = 0;
    if (is_newer || p->gives_way) {
        err = store_sync_get(x->store, p->record.name, &row);
        p->is_over = !p->gives_way || !is_theirs || !is_base(&row, &theirs);
    }
    if (!p->is_over) { /* what is older, what nobody of us has written, and nothing: replaced */
        p->gives_way = false;
        (void)str_copy(p->expected, sizeof(p->expected), value_revision(now));
        return err;
    }
    if (err == 0 && row.edit != p->edit)
        return 0; /* changed once more since: it is told anew */
    if (err == 0)
        err = record_here(x, p->record.name, &row, &here);
    if (err < 0)
        return err;
    if (!is_theirs)
        return give_way(&here, &row, w, e);
    if (row.state == STORE_EDITED)
        return merge(&theirs, &here, &row, w, e);
    return theirs.revision > row.revision || !is_newer ? adopt(&theirs, &here, row.edit, w, e)
                                                       : settle_twins(&theirs, &here, &row, w, e);
}

int user_exchange_answered(const struct user_exchange *x, struct user_batch *b,
                           const struct user_reply *replies, struct user_effects *e)
{
    CLEANUP(cleanup_writes) struct batch_writes *w = calloc(1, sizeof(*w));
    int err = w ? 0 : -ERR_NOMEM;
    for (size_t i = 0; err == 0 && i < b->n; i++) {
        struct user_push *p = &b->v[i];
        if (p->is_over)
            continue;
        if (!replies[i].is_taken) {
            err = push_refused(x, p, replies[i].now, w, e);
            continue;
        }
        p->is_over = true;
        char *base = user_record_base(&p->record);
        if (!base)
            return -ERR_NOMEM;
        writes_add(w, &p->record, STORE_SYNC_ROW, p->edit, STORE_SYNCED, base);
    }
    return err < 0 ? err : writes_run(x, w, e);
}

/* ---- hearing ---- */

static int take_one(const struct user_exchange *x, const struct user_heard *h,
                    struct batch_writes *w, struct user_effects *e)
{
    CLEANUP(user_record_fini) struct user_record theirs = {0}, here = {0};
    CLEANUP(store_sync_fini) struct store_sync row = {0};
    int err = value_open(x, h->field, h->value, &theirs);
    if (err == -ERR_AUTH || err == -ERR_SYNTAX || err == -ERR_TOO_LONG) {
        e->n_refused++;
        return 0;
    }
    if (err == 0)
        err = store_sync_get(x->store, theirs.name, &row);
    if (err == -ERR_NOT_FOUND)
        err = 0;
    if (err < 0 || row.state == STORE_EDITED)
        return err; /* of an edited one the fleet is told, and then it is seen */
    if (row.revision == theirs.revision && row.state == STORE_SYNCED && row.at_ms == theirs.at_ms &&
        strcmp(row.writer, theirs.writer) == 0)
        return 0; /* it is known, or came from here */
    err = record_here(x, theirs.name, &row, &here);
    if (err < 0)
        return err;
    if (theirs.revision > row.revision)
        return adopt(&theirs, &here, row.edit, w, e);
    if (theirs.revision == row.revision)
        return settle_twins(&theirs, &here, &row, w, e);
    if (row.state == STORE_SYNCED && here.is_removed && row_gives_way(x, &row, true))
        return adopt(&theirs, &here, row.edit, w, e);
    if (row.state == STORE_SYNCED) /* the store has lost what was newer */
        writes_add(w, &here, STORE_SYNC_ROW, row.edit, STORE_DOUBTED, NULL);
    return 0;
}

int user_exchange_take(const struct user_exchange *x, const struct user_heard *v, size_t n,
                       struct user_effects *e)
{
    CLEANUP(cleanup_writes) struct batch_writes *w = calloc(1, sizeof(*w));
    int err = w ? 0 : -ERR_NOMEM;
    for (size_t i = 0; err == 0 && i < n && i < USER_BATCH_MAX; i++)
        err = take_one(x, &v[i], w, e);
    return err < 0 ? err : writes_run(x, w, e);
}

/* ---- forgetting ---- */

static bool on_removed(void *arg, const char *name, const struct store_sync *row)
{
    struct collect *c = arg;
    struct user_push *p = &c->batch->v[c->batch->n];
    *p = (struct user_push){.edit = row->edit, .record.name = str_dup_c(name)};
    c->err = p->record.name ? 0 : -ERR_NOMEM;
    if (c->err < 0)
        return false;
    c->batch->n++;
    *str_put_number(p->expected, row->revision, 10, 0) = '\0';
    name_field(c->exchange, name, p->field);
    return c->batch->n < USER_BATCH_MAX;
}

int user_exchange_removed(const struct user_exchange *x, uint64_t before_ms, size_t max,
                          struct user_batch *ret)
{
    struct collect c = {.exchange = x, .batch = ret};
    ret->n = 0;
    int err = store_sync_removed(x->store, before_ms, max < USER_BATCH_MAX ? max : USER_BATCH_MAX,
                                 on_removed, &c);
    err = err < 0 ? err : c.err;
    if (err < 0)
        user_batch_fini(ret);
    return err;
}

int user_exchange_forget(const struct user_exchange *x, const struct user_batch *b)
{
    struct store_sync_write v[USER_BATCH_MAX];
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++)
        if (b->v[i].is_over)
            v[n++] = (struct store_sync_write){
                .name = b->v[i].record.name, .what = STORE_SYNC_FORGET, .row.edit = b->v[i].edit};
    return store_sync_write(x->store, v, n);
}
