/* SPDX-License-Identifier: ISC */
/* Users in SQLite. */
#include "base/cleanup.h"
#include "store/store_sqlite.h"

#define PROGRESS_EVERY 500

/* A view of the row: the strings are SQLite's and live until the next step. */
static struct store_user row_view(sqlite3_stmt *st)
{
    return (struct store_user){
        .name = (char *)sqlite_text(st, 0),
        .password_hash = (char *)sqlite_text(st, 1),
        .scram = (char *)sqlite_text(st, 2),
        .pool = (char *)sqlite_text(st, 3),
        .backend = (char *)sqlite_text(st, 4),
        .backend_user = (char *)sqlite_text(st, 5),
        .backend_password = (char *)sqlite_text(st, 6),
        .master_user = (char *)sqlite_text(st, 7),
        .plain_password = (char *)sqlite_text(st, 8),
        .state = (enum store_user_state)sqlite3_column_int(st, 9),
        .state_text = (char *)sqlite_text(st, 10),
        .state_until_ms = (uint64_t)sqlite3_column_int64(st, 11),
        .protocols = (unsigned)sqlite3_column_int64(st, 12),
        .max_sessions = (unsigned)sqlite3_column_int64(st, 13),
        .note = (char *)sqlite_text(st, 14),
        .created_ms = (uint64_t)sqlite3_column_int64(st, 15),
        .changed_ms = (uint64_t)sqlite3_column_int64(st, 16),
        .last_login_ms = (uint64_t)sqlite3_column_int64(st, 17),
    };
}

static int bind_user(sqlite3_stmt *st, const struct store_user *u, uint64_t now_ms)
{
    int rc = sqlite_bind(st, 1, u->name);
    rc |= sqlite_bind(st, 2, u->password_hash);
    rc |= sqlite_bind(st, 3, u->scram);
    rc |= sqlite_bind(st, 4, u->pool);
    rc |= sqlite_bind(st, 5, u->backend);
    rc |= sqlite_bind(st, 6, u->backend_user);
    rc |= sqlite_bind(st, 7, u->backend_password);
    rc |= sqlite_bind(st, 8, u->master_user);
    rc |= sqlite_bind(st, 9, u->plain_password);
    rc |= sqlite3_bind_int(st, 10, (int)u->state);
    rc |= sqlite_bind(st, 11, u->state_text);
    rc |= sqlite3_bind_int64(st, 12, sqlite_int(u->state_until_ms));
    rc |= sqlite3_bind_int64(st, 13, u->protocols);
    rc |= sqlite3_bind_int64(st, 14, u->max_sessions);
    rc |= sqlite_bind(st, 15, u->note);
    rc |= sqlite3_bind_int64(st, 16, sqlite_int(now_ms));
    rc |= sqlite3_bind_int64(st, 17, sqlite_int(u->last_login_ms));
    return rc == SQLITE_OK ? 0 : -ERR_NOMEM;
}

int sqlite_user_get(struct store *base, const char *name, struct store_user *ret)
{
    struct store_sqlite *s = sqlite_of(base);
    struct sqlite_conn *c;
    int err = sqlite_reader_take(s, &c);
    if (err != 0)
        return err;
    sqlite3_stmt *st = sqlite_stmt(c, SQL_USER_GET, &err);
    if (st && sqlite_bind(st, 1, name) != SQLITE_OK)
        err = -ERR_NOMEM;
    if (err == 0) {
        int rc = sqlite3_step(st);
        if (rc == SQLITE_ROW) {
            const struct store_user view = row_view(st);
            err = store_user_copy(ret, &view);
        } else {
            err = rc == SQLITE_DONE ? -ERR_NO_USER : sqlite_err(c->db, rc);
        }
    }
    sqlite_reader_give(s, c);
    return err;
}

/* Runs USER_INSERT or USER_UPDATE; rows that are so already are not written. */
static int write_user(struct sqlite_conn *c, enum sqlite_sql which, const struct store_user *u,
                      uint64_t now_ms, bool *ret_is_written)
{
    int err = 0;
    sqlite3_stmt *st = sqlite_stmt(c, which, &err);
    if (!st)
        return err;
    err = bind_user(st, u, now_ms);
    int ran = sqlite_run(st); /* also clears what was bound */
    err = err != 0 ? err : ran;
    *ret_is_written = err == 0 && sqlite3_changes(c->db) > 0;
    return err;
}

static int find_user(struct sqlite_conn *c, const char *name)
{
    int err = 0;
    sqlite3_stmt *st = sqlite_stmt(c, SQL_USER_EXISTS, &err);
    if (!st)
        return err;
    int rc = sqlite_bind(st, 1, name);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    sqlite_reset(st);
    return rc == SQLITE_DONE ? -ERR_NO_USER : sqlite_err(c->db, rc);
}

/* How many users an import has written. */
struct put_counts {
    size_t added, changed;
};

/* Writes one user inside of a transaction. */
static int put_user(struct sqlite_conn *c, const struct store_user *u, enum store_write how,
                    uint64_t now_ms, struct put_counts *counts)
{
    bool is_written = false;
    int err =
        how == STORE_ADD ? -ERR_NO_USER : write_user(c, SQL_USER_UPDATE, u, now_ms, &is_written);
    counts->changed += is_written;
    if (err == 0 && !is_written)
        err = find_user(c, u->name);
    if (how == STORE_REPLACE || err != -ERR_NO_USER)
        return err;
    err = write_user(c, SQL_USER_INSERT, u, now_ms, &is_written);
    counts->added += is_written;
    return err;
}

int sqlite_user_import(struct store *base, const struct store_user *users, size_t n,
                       enum store_write how, uint64_t now_ms,
                       bool (*progress)(void *arg, size_t done), void *arg, size_t *ret_added,
                       size_t *ret_changed)
{
    struct store_sqlite *s = sqlite_of(base);
    struct sqlite_conn *c = sqlite_writer_take(s);
    struct put_counts counts = {0};
    int err = sqlite_exec(c, "BEGIN IMMEDIATE");
    if (err == 0) {
        for (size_t i = 0; err == 0 && i < n; i++) {
            if (progress && i % PROGRESS_EVERY == 0 && !progress(arg, i))
                err = -ERR_CANCELLED;
            else
                err = put_user(c, &users[i], how, now_ms, &counts);
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
    int err = 0;
    sqlite3_stmt *st = sqlite_stmt(c, SQL_USER_DELETE, &err);
    if (st && sqlite_bind(st, 1, name) != SQLITE_OK)
        err = -ERR_NOMEM;
    if (err == 0)
        err = sqlite_run(st);
    if (err == 0 && sqlite3_changes(c->db) == 0)
        err = -ERR_NO_USER;
    return sqlite_writer_give(s, err);
}

int sqlite_user_each(struct store *base, const char *after, size_t limit,
                     bool (*fn)(void *arg, const struct store_user *u), void *arg)
{
    struct store_sqlite *s = sqlite_of(base);
    struct sqlite_conn *c;
    int rc = SQLITE_OK, err = sqlite_reader_take(s, &c);
    if (err != 0)
        return err;
    sqlite3_stmt *st = sqlite_stmt(c, SQL_USER_EACH, &err);
    if (st && (sqlite_bind(st, 1, after ? after : "") != SQLITE_OK ||
               sqlite3_bind_int64(st, 2, sqlite_int(limit)) != SQLITE_OK))
        err = -ERR_NOMEM;
    while (err == 0 && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        const struct store_user view = row_view(st);
        if (!fn(arg, &view))
            break;
    }
    err = err != 0 ? err : sqlite_err(c->db, rc);
    sqlite_reader_give(s, c);
    return err;
}

int sqlite_user_count(struct store *base, uint64_t *ret)
{
    struct store_sqlite *s = sqlite_of(base);
    struct sqlite_conn *c;
    int err = sqlite_reader_take(s, &c);
    if (err != 0)
        return err;
    sqlite3_stmt *st = sqlite_stmt(c, SQL_USER_COUNT, &err);
    if (st) {
        int rc = sqlite3_step(st);
        err = sqlite_err(c->db, rc);
        if (rc == SQLITE_ROW)
            *ret = (uint64_t)sqlite3_column_int64(st, 0);
    }
    sqlite_reader_give(s, c);
    return err;
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
