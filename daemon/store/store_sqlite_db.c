/* SPDX-License-Identifier: ISC */
/* One connection to an SQLite file: opening, statements, and what its results mean. */
#include <errno.h>

#include "store/store_sqlite.h"

static const char *const sql_texts[SQL_COUNT] = {
#define S(id, text) [SQL_##id] = text,
    SQLITE_STATEMENTS(S)
#undef S
};

/* ---- results ---- */

/* What the system said last about the write-ahead log (or else the main file); 0 = nothing. */
static int sqlite_errno(sqlite3 *db, int which)
{
    sqlite3_file *file = NULL;
    int number = 0;
    if (sqlite3_file_control(db, "main", which, &file) != SQLITE_OK || !file || !file->pMethods ||
        file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &number) != SQLITE_OK)
        return 0;
    return number;
}

/* SQLite knows a full disk from other trouble with files, but no quota, limit or read-only file. */
static int sqlite_system_err(sqlite3 *db)
{
    int number = db ? sqlite_errno(db, SQLITE_FCNTL_JOURNAL_POINTER) : 0;
    if (db && number == 0)
        number = sqlite_errno(db, SQLITE_FCNTL_FILE_POINTER);
    if (db && number == 0)
        number = sqlite3_system_errno(db);
    switch (number) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return -ERR_STORE_FULL;
    case EROFS:
    case EACCES:
    case EPERM:
        return -ERR_STORE_READONLY;
    default:
        return -ERR_STORE;
    }
}

int sqlite_err(sqlite3 *db, int rc)
{
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return 0;
    case SQLITE_NOMEM:
        return -ERR_NOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -ERR_BUSY;
    case SQLITE_FULL:
        return -ERR_STORE_FULL;
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return -ERR_STORE_READONLY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return -ERR_STORE_CORRUPT;
    case SQLITE_CONSTRAINT:
        return -ERR_EXISTS;
    case SQLITE_TOOBIG:
        return -ERR_TOO_LONG;
    default:
        return sqlite_system_err(db);
    }
}

/* ---- statements ---- */

sqlite3_stmt *sqlite_stmt(struct sqlite_conn *c, enum sqlite_sql which, int *ret_err)
{
    sqlite3_stmt **st = &c->stmts[which];
    if (!*st) {
        int rc =
            sqlite3_prepare_v3(c->db, sql_texts[which], -1, SQLITE_PREPARE_PERSISTENT, st, NULL);
        if (rc != SQLITE_OK) {
            *ret_err = sqlite_err(c->db, rc);
            return NULL;
        }
    }
    return *st;
}

/* Values are cleared too: they may point to memory of the caller, and may be secrets. */
void sqlite_reset(sqlite3_stmt *st)
{
    (void)sqlite3_reset(st);
    (void)sqlite3_clear_bindings(st);
}

int sqlite_find(struct sqlite_conn *c, enum sqlite_sql which, const char *name, sqlite3_stmt **ret)
{
    int err = 0;
    sqlite3_stmt *st = sqlite_stmt(c, which, &err);
    if (!st)
        return err;
    int rc = sqlite_bind(st, 1, name);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) {
        *ret = st;
        return 0;
    }
    err = rc == SQLITE_DONE ? -ERR_NOT_FOUND : sqlite_err(c->db, rc);
    sqlite_reset(st);
    return err;
}

int sqlite_run(sqlite3_stmt *st)
{
    int err = sqlite_err(sqlite3_db_handle(st), sqlite3_step(st));
    sqlite_reset(st);
    return err;
}

const char *sqlite_text(sqlite3_stmt *st, int column)
{
    return (const char *)sqlite3_column_text(st, column);
}

int sqlite_bind(sqlite3_stmt *st, int index, const char *text)
{
    return text ? sqlite3_bind_text(st, index, text, -1, SQLITE_STATIC)
                : sqlite3_bind_null(st, index);
}

int sqlite_exec(struct sqlite_conn *c, const char *sql)
{
    return sqlite_err(c->db, sqlite3_exec(c->db, sql, NULL, NULL, NULL));
}

int sqlite_end(struct sqlite_conn *c, int err)
{
    if (err == 0)
        err = sqlite_exec(c, "COMMIT");
    if (err != 0 && !sqlite3_get_autocommit(c->db))
        (void)sqlite3_exec(c->db, "ROLLBACK", NULL, NULL, NULL);
    return err;
}

/* ---- the connection ---- */

void sqlite_conn_fini(struct sqlite_conn *c)
{
    for (size_t i = 0; i < SQL_COUNT; i++)
        (void)sqlite3_finalize(c->stmts[i]);
    (void)sqlite3_close(c->db);
    *c = (struct sqlite_conn){0};
}

int sqlite_conn_open(struct sqlite_conn *c, const char *path)
{
    list_init(&c->link);
    int rc = sqlite3_open_v2(path, &c->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK) {
        rc = sqlite3_extended_result_codes(c->db, 1);
        (void)sqlite3_busy_timeout(c->db, SQLITE_BUSY_MS);
        (void)sqlite3_db_config(c->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        (void)sqlite3_db_config(c->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
        sqlite_shm_guard(c->db);
    }
    int err = sqlite_err(c->db, rc);
    if (err != 0)
        sqlite_conn_fini(c);
    return err;
}
