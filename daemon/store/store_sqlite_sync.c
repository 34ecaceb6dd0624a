/* SPDX-License-Identifier: ISC */
/* Revisions of users in SQLite: noted with each change, and what others have is written. */
#include "base/cleanup.h"
#include "store/store_sqlite.h"
#include "store/user_file.h"

/* ---- rows ---- */

/* A view of columns revision, at_ms, edit, writer, state, base from `at` on; base is SQLite's. */
static struct store_sync sync_view(sqlite3_stmt *st, int at)
{
    struct store_sync v = {.revision = (uint64_t)sqlite3_column_int64(st, at),
                           .at_ms = (uint64_t)sqlite3_column_int64(st, at + 1),
                           .edit = (uint64_t)sqlite3_column_int64(st, at + 2),
                           .state = (enum store_sync_state)sqlite3_column_int(st, at + 4),
                           .base = (char *)sqlite_text(st, at + 5)};
    (void)str_copy(v.writer, sizeof(v.writer), str_of(sqlite_text(st, at + 3)));
    return v;
}

/* *ret is owned. -ERR_NOT_FOUND. */
static int sync_row(struct sqlite_conn *c, const char *name, struct store_sync *ret)
{
    sqlite3_stmt *st;
    int err = sqlite_find(c, SQL_SYNC_GET, name, &st);
    if (err < 0)
        return err;
    *ret = sync_view(st, 0);
    if (ret->base && !(ret->base = str_dup_c(ret->base)))
        err = -ERR_NOMEM;
    sqlite_reset(st);
    return err;
}

static int sync_put(struct sqlite_conn *c, const char *name, const struct store_sync *row)
{
    int err = 0;
    sqlite3_stmt *st = sqlite_stmt(c, SQL_SYNC_PUT, &err);
    if (!st)
        return err;
    int rc = sqlite_bind(st, 1, name);
    rc |= sqlite3_bind_int64(st, 2, sqlite_int(row->revision));
    rc |= sqlite3_bind_int64(st, 3, sqlite_int(row->at_ms));
    rc |= sqlite3_bind_int64(st, 4, sqlite_int(row->edit));
    rc |= sqlite_bind(st, 5, row->writer);
    rc |= sqlite3_bind_int(st, 6, (int)row->state);
    rc |= sqlite_bind(st, 7, row->base);
    int ran = sqlite_run(st); /* also clears what was bound */
    return rc == SQLITE_OK ? ran : -ERR_NOMEM;
}

/* ---- noting changes ---- */

static int sync_base(struct sqlite_conn *c, const char *name, char **ret)
{
    CLEANUP(store_user_fini) struct store_user u = {0};
    AUTO_SECRET_BUF text = BUF_INIT;
    int err = sqlite_user_read(c, name, &u);
    if (err == -ERR_NO_USER) {
        *ret = str_dup_c(STORE_NOBODY);
        return *ret ? 0 : -ERR_NOMEM;
    }
    if (err == 0)
        err = user_file_begin(USER_FILE_CSV, &text);
    if (err == 0)
        err = user_file_user(USER_FILE_CSV, &u, true, &text);
    if (err == 0 && !(*ret = buf_steal(&text)))
        err = -ERR_NOMEM;
    return err;
}

int sqlite_sync_before(struct store_sqlite *s, struct sqlite_conn *c, const char *name,
                       struct sqlite_sync_note *ret)
{
    *ret = (struct sqlite_sync_note){.row.state = STORE_EDITED};
    int err = sync_row(c, name, &ret->row);
    if (err == -ERR_NOT_FOUND) {
        ret->is_on = s->is_tracking;
        return 0;
    }
    if (err < 0)
        return err;
    ret->is_on = true;
    return ret->row.state == STORE_EDITED ? 0 : sync_base(c, name, &ret->row.base);
}

int sqlite_sync_after(struct store_sqlite *s, struct sqlite_conn *c, const char *name,
                      uint64_t now_ms, struct sqlite_sync_note *note)
{
    if (!note->is_on)
        return 0;
    note->row.state = STORE_EDITED;
    note->row.at_ms = now_ms;
    note->row.edit++;
    *note->row.writer = '\0';
    atomic_fetch_add_explicit(&s->sync_edits, 1, memory_order_relaxed);
    return sync_put(c, name, &note->row);
}

uint64_t sqlite_sync_edits(const struct store *base)
{
    const struct store_sqlite *s = CONTAINER_OF(base, const struct store_sqlite, base);
    return atomic_load_explicit(&s->sync_edits, memory_order_relaxed);
}

static int sync_run(struct store *base, enum sqlite_sql which, bool is_tracking)
{
    struct sqlite_call c = sqlite_write(base, which);
    sqlite_call_run(&c);
    if (c.err == 0 && is_tracking) {
        c.store->is_tracking = true;
        atomic_fetch_add_explicit(&c.store->sync_edits, 1, memory_order_relaxed);
    }
    return sqlite_call_end(&c);
}

int sqlite_sync_track(struct store *base)
{
    return sync_run(base, SQL_SYNC_BEGIN, true);
}

int sqlite_sync_doubt_all(struct store *base)
{
    return sync_run(base, SQL_SYNC_DOUBT, false);
}

/* ---- reading ---- */

int sqlite_sync_get(struct store *base, const char *name, struct store_sync *ret)
{
    struct store_sqlite *s = sqlite_of(base);
    struct sqlite_conn *c;
    int err = sqlite_reader_take(s, &c);
    if (err != 0)
        return err;
    err = sync_row(c, name, ret);
    sqlite_reader_give(s, c);
    return err;
}

/* Rows of a statement with two numbers. */
static int sync_each(struct store *base, enum sqlite_sql which, uint64_t first, size_t limit,
                     bool (*fn)(void *arg, const char *name, const struct store_sync *row),
                     void *arg)
{
    struct sqlite_call c = sqlite_read(base, which);
    sqlite_call_number(&c, 1, first);
    sqlite_call_number(&c, 2, limit);
    while (sqlite_call_next(&c)) {
        const struct store_sync view = sync_view(c.st, 1);
        if (!fn(arg, sqlite_text(c.st, 0), &view))
            break;
    }
    return sqlite_call_end(&c);
}

int sqlite_sync_each(struct store *base, enum store_sync_state state, size_t limit,
                     bool (*fn)(void *arg, const char *name, const struct store_sync *row),
                     void *arg)
{
    return sync_each(base, SQL_SYNC_EACH, state, limit, fn, arg);
}

int sqlite_sync_removed(struct store *base, uint64_t before_ms, size_t limit,
                        bool (*fn)(void *arg, const char *name, const struct store_sync *row),
                        void *arg)
{
    return sync_each(base, SQL_SYNC_REMOVED, before_ms, limit, fn, arg);
}

int sqlite_sync_count(struct store *base, enum store_sync_state state, uint64_t *ret)
{
    struct sqlite_call c = sqlite_read(base, SQL_SYNC_COUNT);
    sqlite_call_number(&c, 1, state);
    if (sqlite_call_next(&c))
        *ret = (uint64_t)sqlite3_column_int64(c.st, 0);
    return sqlite_call_end(&c);
}

/* ---- what others have ---- */

static int sync_write_one(struct sqlite_conn *c, const struct store_sync_write *w)
{
    CLEANUP(store_sync_fini) struct store_sync now = {0};
    int err = sync_row(c, w->name, &now);
    if (err < 0 && err != -ERR_NOT_FOUND)
        return err;
    if (now.edit != w->row.edit) { /* changed here since: the row learns the revision alone */
        if (w->what != STORE_SYNC_ROW || now.state != STORE_EDITED)
            return 0;
        struct store_sync edited = now;
        edited.revision = w->row.revision;
        edited.base = w->row.base;
        return sync_put(c, w->name, &edited);
    }
    err = 0;
    /* Of a user who is there again the row is another one by now. */
    if (w->what == STORE_SYNC_FORGET) {
        sqlite3_stmt *st = sqlite_stmt(c, SQL_SYNC_FORGET, &err);
        if (st && sqlite_bind(st, 1, w->name) != SQLITE_OK)
            err = -ERR_NOMEM;
        return st && err == 0 ? sqlite_run(st) : err;
    }
    if (w->what == STORE_SYNC_REMOVE || (w->what == STORE_SYNC_USER && !w->user->is_stored))
        err = sqlite_user_drop(c, w->name);
    if (err == 0 && w->what == STORE_SYNC_USER)
        err = sqlite_user_write(c, w->user, w->row.at_ms);
    struct store_sync row = w->row;
    if (row.state == STORE_SYNCED)
        row.base = NULL;
    return err < 0 ? err : sync_put(c, w->name, &row);
}

int sqlite_sync_write(struct store *base, const struct store_sync_write *v, size_t n)
{
    struct store_sqlite *s = sqlite_of(base);
    struct sqlite_conn *c = sqlite_writer_take(s);
    int err = sqlite_exec(c, "BEGIN IMMEDIATE");
    if (err == 0) {
        for (size_t i = 0; err == 0 && i < n; i++)
            err = sync_write_one(c, &v[i]);
        err = sqlite_end(c, err);
    }
    return sqlite_writer_give(s, err);
}
