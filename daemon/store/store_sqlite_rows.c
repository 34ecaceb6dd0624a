/* SPDX-License-Identifier: ISC */
/* Rows of users in SQLite, inside of a transaction: read, written, removed. */
#include "base/cleanup.h"
#include "store/store_sqlite.h"

/* A view of the row: the strings are SQLite's and live until the next step. */
struct store_user sqlite_user_view(sqlite3_stmt *st)
{
    return (struct store_user){
        .name = (char *)sqlite_text(st, 0),
        .is_stored = sqlite3_column_int(st, 1) != 0,
        .password_hash = (char *)sqlite_text(st, 2),
        .scram = (char *)sqlite_text(st, 3),
        .backend_user = (char *)sqlite_text(st, 4),
        .backend_password = (char *)sqlite_text(st, 5),
        .master_user = (char *)sqlite_text(st, 6),
        .plain_password = (char *)sqlite_text(st, 7),
        .note = (char *)sqlite_text(st, 8),
        .created_ms = (uint64_t)sqlite3_column_int64(st, 9),
        .changed_ms = (uint64_t)sqlite3_column_int64(st, 10),
        .last_login_ms = (uint64_t)sqlite3_column_int64(st, 11),
        .state = (enum store_user_state)sqlite3_column_int(st, 12),
        .state_text = (char *)sqlite_text(st, 13),
        .state_until_ms = (uint64_t)sqlite3_column_int64(st, 14),
        .pool = (char *)sqlite_text(st, 15),
        .backend = (char *)sqlite_text(st, 16),
        .protocols = (unsigned)sqlite3_column_int64(st, 17),
        .max_sessions = (unsigned)sqlite3_column_int64(st, 18),
    };
}

static int bind_account(sqlite3_stmt *st, const struct store_user *u, uint64_t now_ms)
{
    int rc = sqlite_bind(st, 1, u->name);
    rc |= sqlite_bind(st, 2, u->password_hash);
    rc |= sqlite_bind(st, 3, u->scram);
    rc |= sqlite_bind(st, 4, u->backend_user);
    rc |= sqlite_bind(st, 5, u->backend_password);
    rc |= sqlite_bind(st, 6, u->master_user);
    rc |= sqlite_bind(st, 7, u->plain_password);
    rc |= sqlite_bind(st, 8, u->note);
    rc |= sqlite3_bind_int64(st, 9, sqlite_int(now_ms));
    rc |= sqlite3_bind_int64(st, 10, sqlite_int(u->last_login_ms));
    return rc == SQLITE_OK ? 0 : -ERR_NOMEM;
}

static int bind_name(sqlite3_stmt *st, const struct store_user *u, uint64_t now_ms)
{
    int rc = sqlite_bind(st, 1, u->name);
    rc |= sqlite3_bind_int(st, 2, (int)u->state);
    rc |= sqlite_bind(st, 3, u->state_text);
    rc |= sqlite3_bind_int64(st, 4, sqlite_int(u->state_until_ms));
    rc |= sqlite_bind(st, 5, u->pool);
    rc |= sqlite_bind(st, 6, u->backend);
    rc |= sqlite3_bind_int64(st, 7, u->protocols);
    rc |= sqlite3_bind_int64(st, 8, u->max_sessions);
    rc |= sqlite3_bind_int64(st, 9, sqlite_int(now_ms));
    return rc == SQLITE_OK ? 0 : -ERR_NOMEM;
}

int sqlite_user_read(struct sqlite_conn *c, const char *name, struct store_user *ret)
{
    sqlite3_stmt *st;
    int err = sqlite_find(c, SQL_USER_GET, name, &st);
    if (err < 0)
        return err == -ERR_NOT_FOUND ? -ERR_NO_USER : err;
    const struct store_user view = sqlite_user_view(st);
    err = store_user_copy(ret, &view);
    sqlite_reset(st);
    return err;
}

/* Runs a statement that writes one user; what is so already is not written. */
static int write_user(struct sqlite_conn *c, enum sqlite_sql which, const struct store_user *u,
                      uint64_t now_ms, bool *ret_is_written)
{
    int err = 0;
    if (store_user_is_too_long(u))
        return -ERR_TOO_LONG;
    sqlite3_stmt *st = sqlite_stmt(c, which, &err);
    if (!st)
        return err;
    if (which == SQL_NAME_PUT)
        err = bind_name(st, u, now_ms);
    else if (which == SQL_NAME_DELETE || which == SQL_USER_DELETE)
        err = sqlite_bind(st, 1, u->name) == SQLITE_OK ? 0 : -ERR_NOMEM;
    else
        err = bind_account(st, u, now_ms);
    int ran = sqlite_run(st); /* also clears what was bound */
    err = err != 0 ? err : ran;
    *ret_is_written = err == 0 && sqlite3_changes(c->db) > 0;
    return err;
}

/* Is there a row of this name? */
static int find_row(struct sqlite_conn *c, enum sqlite_sql which, const char *name)
{
    sqlite3_stmt *st;
    int err = sqlite_find(c, which, name, &st);
    if (err == 0)
        sqlite_reset(st);
    return err == -ERR_NOT_FOUND ? -ERR_NO_USER : err;
}

static int put_account(struct sqlite_conn *c, const struct store_user *u, enum store_write how,
                       uint64_t now_ms, bool *ret_is_added, bool *ret_is_changed)
{
    int err =
        how == STORE_ADD ? -ERR_NO_USER : write_user(c, SQL_USER_UPDATE, u, now_ms, ret_is_changed);
    if (err == 0 && !*ret_is_changed)
        err = find_row(c, SQL_USER_EXISTS, u->name);
    if (how == STORE_REPLACE || err != -ERR_NO_USER)
        return err;
    return write_user(c, SQL_USER_INSERT, u, now_ms, ret_is_added);
}

/* Writes one user inside of a transaction: its account when it has one, and what holds for its
 * name. Where nothing does there is no row. */
int sqlite_user_put_row(struct sqlite_conn *c, const struct store_user *u, enum store_write how,
                        uint64_t now_ms, struct sqlite_put_counts *counts)
{
    bool is_added = false, is_changed = false, is_said = false;
    enum sqlite_sql which = store_user_has_rules(u) ? SQL_NAME_PUT : SQL_NAME_DELETE;
    int err = 0;
    if (u->is_stored)
        err = put_account(c, u, how, now_ms, &is_added, &is_changed);
    else if (how != STORE_UPSERT) /* may what is said of a name be written in this way? */
        err = find_row(c, SQL_NAME_EXISTS, u->name);
    if (!u->is_stored && how == STORE_ADD)
        err = err == 0 ? -ERR_EXISTS : err == -ERR_NO_USER ? 0 : err;
    if (err == 0)
        err = write_user(c, which, u, now_ms, &is_said);
    counts->added += is_added;
    counts->changed += !is_added && (is_changed || is_said);
    return err;
}

int sqlite_user_write(struct sqlite_conn *c, const struct store_user *u, uint64_t now_ms)
{
    struct sqlite_put_counts counts = {0};
    return sqlite_user_put_row(c, u, STORE_UPSERT, now_ms, &counts);
}

static int delete_row(struct sqlite_conn *c, enum sqlite_sql which, const char *name,
                      bool *ret_is_deleted)
{
    const struct store_user u = {.name = (char *)name};
    return write_user(c, which, &u, 0, ret_is_deleted);
}

int sqlite_user_drop_row(struct sqlite_conn *c, const char *name, bool *ret_was_there)
{
    bool had_account = false, had_rules = false;
    int err = delete_row(c, SQL_USER_DELETE, name, &had_account);
    if (err == 0)
        err = delete_row(c, SQL_NAME_DELETE, name, &had_rules);
    *ret_was_there = had_account || had_rules;
    return err;
}

int sqlite_user_drop(struct sqlite_conn *c, const char *name)
{
    bool was_there;
    return sqlite_user_drop_row(c, name, &was_there);
}
