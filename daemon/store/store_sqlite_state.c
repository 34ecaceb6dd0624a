/* SPDX-License-Identifier: ISC */
/* Runtime edits and the audit trail in SQLite. */
#include "base/cleanup.h"
#include "store/store_sqlite.h"

int sqlite_runtime_put(struct store *base, const char *kind, const char *name, const char *json,
                       uint64_t now_ms)
{
    struct sqlite_call c = sqlite_write(base, SQL_RUNTIME_PUT);
    sqlite_call_text(&c, 1, kind);
    sqlite_call_text(&c, 2, name);
    sqlite_call_text(&c, 3, json);
    sqlite_call_number(&c, 4, now_ms);
    sqlite_call_run(&c);
    return sqlite_call_end(&c);
}

int sqlite_runtime_remove(struct store *base, const char *kind, const char *name)
{
    struct sqlite_call c = sqlite_write(base, SQL_RUNTIME_DELETE);
    sqlite_call_text(&c, 1, kind);
    sqlite_call_text(&c, 2, name);
    sqlite_call_run(&c);
    if (c.err == 0 && sqlite3_changes(c.conn->db) == 0)
        c.err = -ERR_NOT_FOUND;
    return sqlite_call_end(&c);
}

int sqlite_runtime_each(struct store *base,
                        bool (*fn)(void *arg, const char *kind, const char *name, const char *json,
                                   uint64_t at_ms),
                        void *arg)
{
    struct sqlite_call c = sqlite_read(base, SQL_RUNTIME_EACH);
    while (sqlite_call_next(&c))
        if (!fn(arg, sqlite_text(c.st, 0), sqlite_text(c.st, 1), sqlite_text(c.st, 2),
                (uint64_t)sqlite3_column_int64(c.st, 3)))
            break;
    return sqlite_call_end(&c);
}

int sqlite_audit_add(struct store *base, const struct store_audit *a)
{
    struct sqlite_call c = sqlite_write(base, SQL_AUDIT_ADD);
    sqlite_call_number(&c, 1, a->at_ms);
    sqlite_call_number(&c, 2, a->uid);
    sqlite_call_number(&c, 3, a->pid);
    sqlite_call_text(&c, 4, a->user);
    sqlite_call_text(&c, 5, a->command);
    sqlite_call_text(&c, 6, a->args);
    sqlite_call_text(&c, 7, a->reason);
    sqlite_call_text(&c, 8, a->result);
    sqlite_call_number(&c, 9, a->count);
    sqlite_call_run(&c);
    return sqlite_call_end(&c);
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
    struct sqlite_call c = sqlite_read(base, SQL_AUDIT_EACH);
    sqlite_call_number(&c, 1, before_id ? before_id : INT64_MAX);
    sqlite_call_number(&c, 2, limit);
    while (sqlite_call_next(&c)) {
        const struct store_audit view = audit_view(c.st);
        if (!fn(arg, &view))
            break;
    }
    return sqlite_call_end(&c);
}

int sqlite_audit_expire(struct store *base, uint64_t at_ms)
{
    struct sqlite_call c = sqlite_write(base, SQL_AUDIT_EXPIRE);
    sqlite_call_number(&c, 1, at_ms);
    sqlite_call_run(&c);
    return sqlite_call_end(&c);
}
