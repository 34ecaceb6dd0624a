/* SPDX-License-Identifier: ISC */
/* Users in SQLite. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "store/store_sqlite.h"

#define PROGRESS_EVERY 500

int sqlite_user_get(struct store *base, const char *name, struct store_user *ret)
{
    struct store_sqlite *s = sqlite_of(base);
    struct sqlite_conn *c;
    int err = sqlite_reader_take(s, &c);
    if (err != 0)
        return err;
    err = sqlite_user_read(c, name, ret);
    sqlite_reader_give(s, c);
    return err;
}

/* The same, noted for others. */
static int put_noted_user(struct store_sqlite *s, struct sqlite_conn *c, const struct store_user *u,
                          enum store_write how, uint64_t now_ms, struct sqlite_put_counts *counts)
{
    struct sqlite_sync_note note;
    size_t before = counts->added + counts->changed;
    int err = sqlite_sync_before(s, c, u->name, &note);
    if (err == 0)
        err = sqlite_user_put_row(c, u, how, now_ms, counts);
    if (err == 0 && counts->added + counts->changed != before)
        err = sqlite_sync_after(s, c, u->name, now_ms, &note);
    store_sync_fini(&note.row);
    return err;
}

int sqlite_user_import(struct store *base, const struct store_user *users, size_t n,
                       enum store_write how, uint64_t now_ms,
                       bool (*progress)(void *arg, size_t done), void *arg, size_t *ret_added,
                       size_t *ret_changed)
{
    struct store_sqlite *s = sqlite_of(base);
    struct sqlite_conn *c = sqlite_writer_take(s);
    struct sqlite_put_counts counts = {0};
    int err = sqlite_exec(c, "BEGIN IMMEDIATE");
    if (err == 0) {
        for (size_t i = 0; err == 0 && i < n; i++) {
            if (progress && i % PROGRESS_EVERY == 0 && !progress(arg, i))
                err = -ERR_CANCELLED;
            else
                err = put_noted_user(s, c, &users[i], how, now_ms, &counts);
        }
        err = sqlite_end(c, err);
    }
    err = sqlite_writer_give(s, err);
    if (err == 0) {
        *ret_added = counts.added;
        *ret_changed = counts.changed;
    }
    return err;
}

int sqlite_user_put(struct store *base, const struct store_user *u, enum store_write how,
                    uint64_t now_ms)
{
    size_t added, changed;
    return sqlite_user_import(base, u, 1, how, now_ms, NULL, NULL, &added, &changed);
}

int sqlite_user_remove(struct store *base, const char *name)
{
    struct store_sqlite *s = sqlite_of(base);
    struct sqlite_conn *c = sqlite_writer_take(s);
    struct sqlite_sync_note note = {0};
    bool was_there = false;
    int err = sqlite_exec(c, "BEGIN IMMEDIATE");
    if (err == 0) {
        err = sqlite_sync_before(s, c, name, &note);
        if (err == 0)
            err = sqlite_user_drop_row(c, name, &was_there);
        if (err == 0 && was_there)
            err = sqlite_sync_after(s, c, name, clock_wall_ms(), &note);
        err = sqlite_end(c, err);
    }
    store_sync_fini(&note.row);
    if (err == 0 && !was_there)
        err = -ERR_NO_USER;
    return sqlite_writer_give(s, err);
}

int sqlite_user_each(struct store *base, const char *after, size_t limit,
                     bool (*fn)(void *arg, const struct store_user *u), void *arg)
{
    struct sqlite_call c = sqlite_read(base, SQL_USER_EACH);
    sqlite_call_text(&c, 1, after ? after : "");
    sqlite_call_number(&c, 2, limit);
    while (sqlite_call_next(&c)) {
        const struct store_user view = sqlite_user_view(c.st);
        if (!fn(arg, &view))
            break;
    }
    return sqlite_call_end(&c);
}

int sqlite_user_count(struct store *base, uint64_t *ret)
{
    struct sqlite_call c = sqlite_read(base, SQL_USER_COUNT);
    if (sqlite_call_next(&c))
        *ret = (uint64_t)sqlite3_column_int64(c.st, 0);
    return sqlite_call_end(&c);
}

int sqlite_name_each(struct store *base, bool (*fn)(void *arg, const char *name), void *arg)
{
    struct sqlite_call c = sqlite_read(base, SQL_NAME_EACH);
    while (sqlite_call_next(&c))
        if (!fn(arg, sqlite_text(c.st, 0)))
            break;
    return sqlite_call_end(&c);
}

int sqlite_has_names(struct store *base, bool *ret)
{
    struct sqlite_call c = sqlite_read(base, SQL_NAME_ANY);
    *ret = sqlite_call_next(&c);
    return sqlite_call_end(&c);
}

int sqlite_user_logins(struct store *base, const struct store_login *v, size_t n)
{
    struct store_sqlite *s = sqlite_of(base);
    struct sqlite_conn *c = sqlite_writer_take(s);
    int err = sqlite_exec(c, "BEGIN IMMEDIATE");
    if (err == 0) {
        for (size_t i = 0; err == 0 && i < n; i++) {
            sqlite3_stmt *st = sqlite_stmt(c, SQL_USER_LOGIN, &err);
            if (!st)
                break;
            if (sqlite_bind(st, 1, v[i].name) != SQLITE_OK ||
                sqlite3_bind_int64(st, 2, sqlite_int(v[i].at_ms)) != SQLITE_OK)
                err = -ERR_NOMEM;
            else
                err = sqlite_run(st);
        }
        err = sqlite_end(c, err);
    }
    return sqlite_writer_give(s, err);
}
