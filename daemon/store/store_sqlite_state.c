/* SPDX-License-Identifier: ISC */
/* Runtime edits and the audit trail in SQLite. */
#include "base/cleanup.h"
#include "store/store_sqlite.h"

int sqlite_runtime_put(struct store *base, const char *kind, const char *name, const char *json,
                       uint64_t now_ms)
{
    struct store_sqlite *s = sqlite_of(base);
    struct sqlite_conn *c = sqlite_writer_take(s);
    int err = 0;
    sqlite3_stmt *st = sqlite_stmt(c, SQL_RUNTIME_PUT, &err);
    if (st) {
        int rc = sqlite_bind(st, 1, kind);
        rc |= sqlite_bind(st, 2, name);
        rc |= sqlite_bind(st, 3, json);
        rc |= sqlite3_bind_int64(st, 4, sqlite_int(now_ms));
        err = rc == SQLITE_OK ? sqlite_run(st) : -ERR_NOMEM;
    }
    return sqlite_writer_give(s, err);
}

int sqlite_runtime_remove(struct store *base, const char *kind, const char *name)
{
    struct store_sqlite *s = sqlite_of(base);
    struct sqlite_conn *c = sqlite_writer_take(s);
    int err = 0;
    sqlite3_stmt *st = sqlite_stmt(c, SQL_RUNTIME_DELETE, &err);
    if (st) {
        int rc = sqlite_bind(st, 1, kind);
        rc |= sqlite_bind(st, 2, name);
        err = rc == SQLITE_OK ? sqlite_run(st) : -ERR_NOMEM;
    }
    if (err == 0 && sqlite3_changes(c->db) == 0)
        err = -ERR_NOT_FOUND;
    return sqlite_writer_give(s, err);
}

int sqlite_runtime_each(struct store *base,
                        bool (*fn)(void *arg, const char *kind, const char *name, const char *json,
                                   uint64_t at_ms),
                        void *arg)
{
    struct store_sqlite *s = sqlite_of(base);
    struct sqlite_conn *c;
    int rc = SQLITE_OK, err = sqlite_reader_take(s, &c);
    if (err != 0)
        return err;
    sqlite3_stmt *st = sqlite_stmt(c, SQL_RUNTIME_EACH, &err);
    while (st && (rc = sqlite3_step(st)) == SQLITE_ROW)
        if (!fn(arg, sqlite_text(st, 0), sqlite_text(st, 1), sqlite_text(st, 2),
                (uint64_t)sqlite3_column_int64(st, 3)))
            break;
    err = err != 0 ? err : sqlite_err(c->db, rc);
    sqlite_reader_give(s, c);
    return err;
}

int sqlite_audit_add(struct store *base, const struct store_audit *a)
{
    struct store_sqlite *s = sqlite_of(base);
    struct sqlite_conn *c = sqlite_writer_take(s);
    int err = 0;
    sqlite3_stmt *st = sqlite_stmt(c, SQL_AUDIT_ADD, &err);
    if (st) {
        int rc = sqlite3_bind_int64(st, 1, sqlite_int(a->at_ms));
        rc |= sqlite3_bind_int64(st, 2, a->uid);
        rc |= sqlite3_bind_int64(st, 3, a->pid);
        rc |= sqlite_bind(st, 4, a->user);
        rc |= sqlite_bind(st, 5, a->command);
        rc |= sqlite_bind(st, 6, a->args);
        rc |= sqlite_bind(st, 7, a->reason);
        rc |= sqlite_bind(st, 8, a->result);
        rc |= sqlite3_bind_int64(st, 9, sqlite_int(a->count));
        err = rc == SQLITE_OK ? sqlite_run(st) : -ERR_NOMEM;
    }
    return sqlite_writer_give(s, err);
}

static struct store_audit audit_view(sqlite3_stmt *st)
{
    return (struct store_audit){
        .id = (uint64_t)sqlite3_column_int64(st, 0),
        .at_ms = (uint64_t)sqlite3_column_int64(st, 1),
        .uid = (uint32_t)sqlite3_column_int64(st, 2),
        .pid = (uint32_t)sqlite3_column_int64(st, 3),
        .user = sqlite_text(st, 4),
        .command = sqlite_text(st, 5),
        .args = sqlite_text(st, 6),
        .reason = sqlite_text(st, 7),
        .result = sqlite_text(st, 8),
        .count = (uint64_t)sqlite3_column_int64(st, 9),
    };
}

int sqlite_audit_each(struct store *base, uint64_t before_id, size_t limit,
                      bool (*fn)(void *arg, const struct store_audit *a), void *arg)
{
    struct store_sqlite *s = sqlite_of(base);
    struct sqlite_conn *c;
    int rc = SQLITE_OK, err = sqlite_reader_take(s, &c);
    if (err != 0)
        return err;
    sqlite3_stmt *st = sqlite_stmt(c, SQL_AUDIT_EACH, &err);
    if (st &&
        (sqlite3_bind_int64(st, 1, before_id ? sqlite_int(before_id) : INT64_MAX) != SQLITE_OK ||
         sqlite3_bind_int64(st, 2, sqlite_int(limit)) != SQLITE_OK))
        err = -ERR_NOMEM;
    while (err == 0 && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        const struct store_audit view = audit_view(st);
        if (!fn(arg, &view))
            break;
    }
    err = err != 0 ? err : sqlite_err(c->db, rc);
    sqlite_reader_give(s, c);
    return err;
}

int sqlite_audit_expire(struct store *base, uint64_t at_ms)
{
    struct store_sqlite *s = sqlite_of(base);
    struct sqlite_conn *c = sqlite_writer_take(s);
    int err = 0;
    sqlite3_stmt *st = sqlite_stmt(c, SQL_AUDIT_EXPIRE, &err);
    if (st)
        err =
            sqlite3_bind_int64(st, 1, sqlite_int(at_ms)) == SQLITE_OK ? sqlite_run(st) : -ERR_NOMEM;
    return sqlite_writer_give(s, err);
}
