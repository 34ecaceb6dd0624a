/* SPDX-License-Identifier: ISC */
/* Inside of the SQLite store: connections, prepared statements, schema. */
#pragma once

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

#include "base/container/list.h"
#include "store/store_ops.h"

/* An entry of its own in the store. */
#define ACCOUNT_COLUMNS                                                                            \
    "password_hash, scram, backend_user, backend_password, master_user, plain_password, note, "    \
    "created_ms, changed_ms, last_login_ms"
/* What operators said of a name, whoever judges its password. */
#define NAME_COLUMNS "state, state_text, state_until_ms, pool, backend, protocols, max_sessions"

#define SYNC_COLUMNS "revision, at_ms, edit, writer, state, base"

/* Both of the names that k has; one of them may not be there. SQLite reads k as the outer loop, so
 * that the rows keep its order: ORDER BY once more would sort them all before the first is seen. */
#define USER_ROWS(k)                                                                               \
    "SELECT k.name, u.name IS NOT NULL, u.password_hash, u.scram, u.backend_user, "                \
    "u.backend_password, u.master_user, u.plain_password, u.note, u.created_ms, "                  \
    "max(ifnull(u.changed_ms, 0), ifnull(n.changed_ms, 0)), u.last_login_ms, n.state, "            \
    "n.state_text, n.state_until_ms, n.pool, n.backend, n.protocols, n.max_sessions FROM (" k      \
    ") k LEFT JOIN user u ON u.name = k.name LEFT JOIN name n ON n.name = k.name "

/* Every statement there is: S(ID, text). Prepared on first use, once a connection. */
#define SQLITE_STATEMENTS(S)                                                                       \
    S(USER_GET, USER_ROWS("SELECT ?1 AS name") "WHERE u.name IS NOT NULL OR n.name IS NOT NULL")   \
    S(USER_EACH, USER_ROWS("SELECT name FROM user WHERE name > ?1 UNION "                          \
                           "SELECT name FROM name WHERE name > ?1 ORDER BY 1 LIMIT ?2"))           \
    S(USER_COUNT, "SELECT count(*) FROM user")                                                     \
    S(USER_INSERT, "INSERT INTO user (name, " ACCOUNT_COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, " \
                   "?7, ?8, ?9, ?9, ?10)")                                                         \
    S(USER_UPDATE,                                                                                 \
      "UPDATE user SET password_hash = ?2, scram = ?3, backend_user = ?4, backend_password = ?5, " \
      "master_user = ?6, plain_password = ?7, note = ?8, changed_ms = ?9, "                        \
      "last_login_ms = max(last_login_ms, ?10) WHERE name = ?1 AND (password_hash IS NOT ?2 OR "   \
      "scram IS NOT ?3 OR backend_user IS NOT ?4 OR backend_password IS NOT ?5 OR "                \
      "master_user IS NOT ?6 OR plain_password IS NOT ?7 OR note IS NOT ?8 OR "                    \
      "last_login_ms < ?10)")                                                                      \
    S(USER_EXISTS, "SELECT 1 FROM user WHERE name = ?1")                                           \
    S(USER_DELETE, "DELETE FROM user WHERE name = ?1")                                             \
    S(NAME_PUT, "INSERT INTO name (name, " NAME_COLUMNS ", changed_ms) VALUES (?1, ?2, ?3, ?4, "   \
                "?5, ?6, ?7, ?8, ?9) ON CONFLICT (name) DO UPDATE SET state = ?2, "                \
                "state_text = ?3, state_until_ms = ?4, pool = ?5, backend = ?6, protocols = ?7, "  \
                "max_sessions = ?8, changed_ms = ?9 WHERE state <> ?2 OR state_text IS NOT ?3 OR " \
                "state_until_ms <> ?4 OR pool IS NOT ?5 OR backend IS NOT ?6 OR "                  \
                "protocols <> ?7 OR max_sessions <> ?8")                                           \
    S(NAME_EXISTS, "SELECT 1 FROM name WHERE name = ?1")                                           \
    S(NAME_DELETE, "DELETE FROM name WHERE name = ?1")                                             \
    S(NAME_EACH, "SELECT name FROM user UNION SELECT name FROM name ORDER BY 1")                   \
    S(NAME_ANY, "SELECT 1 FROM name LIMIT 1")                                                      \
    S(USER_LOGIN, "UPDATE user SET last_login_ms = max(last_login_ms, ?2) WHERE name = ?1")        \
    S(RUNTIME_PUT, "INSERT INTO runtime (kind, name, json, at_ms) VALUES (?1, ?2, ?3, ?4) ON "     \
                   "CONFLICT (kind, name) DO UPDATE SET json = ?3, at_ms = ?4")                    \
    S(RUNTIME_DELETE, "DELETE FROM runtime WHERE kind = ?1 AND name = ?2")                         \
    S(RUNTIME_EACH, "SELECT kind, name, json, at_ms FROM runtime ORDER BY kind, name")             \
    S(AUDIT_ADD, "INSERT INTO audit (at_ms, uid, pid, user, command, args, reason, result, "       \
                 "count) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")                             \
    S(AUDIT_EACH, "SELECT id, at_ms, uid, pid, user, command, args, reason, result, count FROM "   \
                  "audit WHERE id < ?1 ORDER BY id DESC LIMIT ?2")                                 \
    S(AUDIT_EXPIRE, "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at_ms < ?1 "        \
                    "ORDER BY at_ms LIMIT 1000)")                                                  \
    S(SYNC_GET, "SELECT " SYNC_COLUMNS " FROM sync WHERE name = ?1")                               \
    S(SYNC_PUT,                                                                                    \
      "INSERT OR REPLACE INTO sync (name, " SYNC_COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")  \
    S(SYNC_EACH,                                                                                   \
      "SELECT name, " SYNC_COLUMNS " FROM sync WHERE state = ?1 AND state <> 0 LIMIT ?2")          \
    S(SYNC_REMOVED, "SELECT name, " SYNC_COLUMNS " FROM sync WHERE state = 0 AND at_ms < ?1 AND "  \
                    "NOT EXISTS (SELECT 1 FROM user WHERE user.name = sync.name) AND "             \
                    "NOT EXISTS (SELECT 1 FROM name WHERE name.name = sync.name) LIMIT ?2")        \
    S(SYNC_FORGET, "DELETE FROM sync WHERE name = ?1 AND state = 0")                               \
    S(SYNC_COUNT, "SELECT count(*) FROM sync WHERE state = ?1")                                    \
    S(SYNC_DOUBT, "UPDATE sync SET state = 2 WHERE state = 0")                                     \
    S(SYNC_BEGIN, "INSERT OR IGNORE INTO sync (name, " SYNC_COLUMNS ") SELECT name, 0, "           \
                  "max(changed_ms), 1, '', 1, NULL FROM (SELECT name, changed_ms FROM user "       \
                  "UNION ALL SELECT name, changed_ms FROM name) GROUP BY name")

enum sqlite_sql {
#define S(id, text) SQL_##id,
    SQLITE_STATEMENTS(S)
#undef S
        SQL_COUNT
};

/* One connection; one thread uses it at a time. */
struct sqlite_conn {
    struct list link; /* idle readers */
    bool is_of_copy;
    sqlite3 *db;
    sqlite3_stmt *stmts[SQL_COUNT];
};

#define SQLITE_BUSY_MS 5000 /* for the locks of others */

#define SQLITE_IDLE_READERS 8 /* kept open; more are opened when needed */

#define SQLITE_FILES 3 /* the main file, its log, and the log's index */

struct sqlite_file_id {
    uint64_t dev, ino;
};

struct store_sqlite {
    struct store base;
    char *path;
    pthread_mutex_t write_mutex;
    struct sqlite_conn writer; /* under write_mutex */
    uint64_t retry_ms;         /* of a copy: when the files are tried again; under write_mutex */
    struct sqlite_file_id files[SQLITE_FILES]; /* that are open; ino 0 = none; under write_mutex */
    bool is_lost;                              /* they have gone; under write_mutex */
    bool is_tracking;                          /* changes of users; under write_mutex */
    _Atomic uint64_t sync_edits;               /* that were noted */
    unsigned refusals; /* that were seen of sqlite_shm_refusals(); under write_mutex */
    pthread_mutex_t read_mutex;
    char *copy;       /* what is read while the files cannot be written, NULL; under read_mutex */
    struct list idle; /* readers, under read_mutex */
    unsigned n_idle;
};

static inline struct store_sqlite *sqlite_of(struct store *s)
{
    return CONTAINER_OF(s, struct store_sqlite, base);
}

/* SQLite's integers are signed. */
static inline sqlite3_int64 sqlite_int(uint64_t v)
{
    return v > INT64_MAX ? INT64_MAX : (sqlite3_int64)v;
}

/* ---- store_sqlite_db.c ---- */

/* Opens a file that is there already. On error nothing is left open. */
int sqlite_conn_open(struct sqlite_conn *c, const char *path) NODISCARD;
/* Frees its statements, and closes it. */
void sqlite_conn_fini(struct sqlite_conn *c);
/* -ERR_x of the result code of the last call of a connection (NULL = of none); SQLITE_OK, ROW and
 * DONE are 0. */
int sqlite_err(sqlite3 *db, int rc);
/* The prepared statement, reset and without values. NULL with *ret_err set. */
sqlite3_stmt *sqlite_stmt(struct sqlite_conn *c, enum sqlite_sql which, int *ret_err);
/* Makes it ready for another run, without values. */
void sqlite_reset(sqlite3_stmt *st);
/* Runs a statement that returns no rows, then resets it. */
int sqlite_run(sqlite3_stmt *st) NODISCARD;
/* The row of a name. 0: *ret stands on it, to be read and then given to sqlite_reset.
 * -ERR_NOT_FOUND: there is none; then, and with any other error, nothing is to be reset. */
int sqlite_find(struct sqlite_conn *c, enum sqlite_sql which, const char *name,
                sqlite3_stmt **ret) NODISCARD;
/* Text of a column, NULL for NULL; valid until the next step. */
const char *sqlite_text(sqlite3_stmt *st, int column);
/* Binds text that lives until the statement is reset (NULL = NULL). */
int sqlite_bind(sqlite3_stmt *st, int index, const char *text);
int sqlite_exec(struct sqlite_conn *c, const char *sql) NODISCARD;

/* Ends a transaction: COMMIT after err 0, else ROLLBACK; returns what counts. */
int sqlite_end(struct sqlite_conn *c, int err) NODISCARD;

/* ---- store_sqlite_shm.c ---- */

/* From now on the engine lives when the file system refuses a page of the log's index. */
void sqlite_shm_guard(sqlite3 *db);
/* How often that has happened. What is open then must not write: other processes do not see what
 * this one has in the index. Thread: any. */
unsigned sqlite_shm_refusals(void);

/* ---- store_sqlite_rows.c: inside of a transaction, or of one statement ---- */

/* A view of a row of USER_ROWS: the strings are SQLite's and live until the next step. */
struct store_user sqlite_user_view(sqlite3_stmt *st);
/* A copy of the user. -ERR_NO_USER. */
int sqlite_user_read(struct sqlite_conn *c, const char *name, struct store_user *ret) NODISCARD;
/* How many users an import has written. */
struct sqlite_put_counts {
    size_t added, changed;
};
/* Writes one user: its account when it has one, and what holds for its name. Where nothing does
 * there is no row. */
int sqlite_user_put_row(struct sqlite_conn *c, const struct store_user *u, enum store_write how,
                        uint64_t now_ms, struct sqlite_put_counts *counts) NODISCARD;
/* The same of one that others have written. */
int sqlite_user_write(struct sqlite_conn *c, const struct store_user *u, uint64_t now_ms) NODISCARD;
/* Removes its account and what is said of it, where there is any. */
int sqlite_user_drop_row(struct sqlite_conn *c, const char *name, bool *ret_was_there) NODISCARD;
int sqlite_user_drop(struct sqlite_conn *c, const char *name) NODISCARD;

/* ---- store_sqlite_sync.c, for store_sqlite_users.c: likewise ---- */

/* What is to be noted of a change. */
struct sqlite_sync_note {
    struct store_sync row;
    bool is_on;
};
/* Before a user is changed: what it was. *ret: store_sync_fini of its row. */
int sqlite_sync_before(struct store_sqlite *s, struct sqlite_conn *c, const char *name,
                       struct sqlite_sync_note *ret) NODISCARD;
/* It was changed. */
int sqlite_sync_after(struct store_sqlite *s, struct sqlite_conn *c, const char *name,
                      uint64_t now_ms, struct sqlite_sync_note *note) NODISCARD;

/* ---- store_sqlite_schema.c ---- */

/* Looks at a file without SQLite: makes it (mode 0600) when it is absent, refuses what is not a
 * store of ours. *ret_error owned. */
int sqlite_check_file(const char *path, char **ret_error) NODISCARD;
/* On the first connection: integrity, version, migration. *ret_error owned. */
int sqlite_check_schema(struct sqlite_conn *c, const char *path, char **ret_error) NODISCARD;

/* ---- store_sqlite_copy.c ---- */

/* Copies a store into memory, for reading: *ret (sqlite_copy_remove frees it) is opened like any
 * other. -ERR_NOT_FOUND: there is no store. */
int sqlite_copy_make(const char *path, char **ret) NODISCARD;
void sqlite_copy_remove(char *copy); /* NULL is fine */
/* The same out of what a connection still has open. */
int sqlite_copy_open_files(const char *path, sqlite3 *from, char **ret) NODISCARD;

/* ---- store_sqlite_files.c, under write_mutex ---- */

/* The files as they are now are those that are open. */
void sqlite_files_note(struct store_sqlite *s);
/* What has happened to one of them, a sentence (owned); NULL: nothing. */
char *sqlite_files_problem(struct store_sqlite *s);

/* ---- store_sqlite_access.c ---- */

/* Opens the files for writing: made when absent, checked, migrated. *ret_error owned. */
int sqlite_open_files(const char *path, struct sqlite_conn *writer, char **ret_error) NODISCARD;
/* For files that cannot be written, before anybody uses s: its writer is on a copy of them. */
int sqlite_open_copy(struct store_sqlite *s) NODISCARD;
/* Closes the idle readers; under read_mutex, or alone. */
void sqlite_drop_idle(struct store_sqlite *s);
/* A connection for reading, on its own; give it back. */
int sqlite_reader_take(struct store_sqlite *s, struct sqlite_conn **ret) NODISCARD;
void sqlite_reader_give(struct store_sqlite *s, struct sqlite_conn *c);

/* One statement, from taking a connection to giving it back. Once something has failed the rest
 * does nothing, and sqlite_call_end tells. */
struct sqlite_call {
    struct store_sqlite *store;
    struct sqlite_conn *conn;
    sqlite3_stmt *st;
    int err;
    bool is_write;
};
struct sqlite_call sqlite_read(struct store *base, enum sqlite_sql which);
struct sqlite_call sqlite_write(struct store *base, enum sqlite_sql which);
/* Binds a value; a text lives until the end (NULL = NULL). */
void sqlite_call_text(struct sqlite_call *c, int index, const char *text);
void sqlite_call_number(struct sqlite_call *c, int index, uint64_t v);
/* True: st stands on a row, the next one. */
bool sqlite_call_next(struct sqlite_call *c);
/* Runs one that returns no rows. */
void sqlite_call_run(struct sqlite_call *c);
int sqlite_call_end(struct sqlite_call *c) NODISCARD;
/* The one connection that writes, locked until sqlite_writer_give. A copy refuses; the files are
 * tried again here, and it is seen here when they have gone. */
struct sqlite_conn *sqlite_writer_take(struct store_sqlite *s);
/* err: what came of it. Returns the same, or the reason why a copy refused. */
int sqlite_writer_give(struct store_sqlite *s, int err) NODISCARD;

/* The rest of store_ops: each has the meaning, the errors and the threads of its member there
 * (store.h). */

/* Can changes be written? */
int sqlite_check(struct store *s, char **ret_error) NODISCARD;

/* -ERR_NO_USER. */
int sqlite_user_get(struct store *s, const char *name, struct store_user *ret) NODISCARD;
/* One user, in a transaction. */
int sqlite_user_put(struct store *s, const struct store_user *u, enum store_write how,
                    uint64_t now_ms) NODISCARD;
/* The account and what is said of the name. */
int sqlite_user_remove(struct store *s, const char *name) NODISCARD;
/* In the order of names, behind `after`; fn may stop it. */
int sqlite_user_each(struct store *s, const char *after, size_t limit,
                     bool (*fn)(void *arg, const struct store_user *u), void *arg) NODISCARD;
/* Accounts alone. */
int sqlite_user_count(struct store *s, uint64_t *ret) NODISCARD;
/* Names alone, for lists that need no more. */
int sqlite_name_each(struct store *s, bool (*fn)(void *arg, const char *name), void *arg) NODISCARD;
/* Is anything said of any name? */
int sqlite_has_names(struct store *s, bool *ret) NODISCARD;
/* All of them or none. */
int sqlite_user_import(struct store *s, const struct store_user *users, size_t n,
                       enum store_write how, uint64_t now_ms,
                       bool (*progress)(void *arg, size_t done), void *arg, size_t *ret_added,
                       size_t *ret_changed) NODISCARD;
/* Times of last logins; users that are gone are passed over. */
int sqlite_user_logins(struct store *s, const struct store_login *v, size_t n) NODISCARD;
/* What operators changed: a row of a kind and a name, JSON that the store does not read. */
int sqlite_runtime_put(struct store *s, const char *kind, const char *name, const char *json,
                       uint64_t now_ms) NODISCARD;
/* -ERR_NOT_FOUND. */
int sqlite_runtime_remove(struct store *s, const char *kind, const char *name) NODISCARD;
/* Of all kinds; fn may stop it. */
int sqlite_runtime_each(struct store *s,
                        bool (*fn)(void *arg, const char *kind, const char *name, const char *json,
                                   uint64_t at_ms),
                        void *arg) NODISCARD;
/* One line of the audit. */
int sqlite_audit_add(struct store *s, const struct store_audit *a) NODISCARD;
/* The newest first, of those before an id; fn may stop it. */
int sqlite_audit_each(struct store *s, uint64_t before_id, size_t limit,
                      bool (*fn)(void *arg, const struct store_audit *a), void *arg) NODISCARD;
/* Lines from before this time go. */
int sqlite_audit_expire(struct store *s, uint64_t at_ms) NODISCARD;
/* Changes of users are noted (store_sync.h). */
int sqlite_sync_track(struct store *s) NODISCARD;
/* How many were, without blocking. */
uint64_t sqlite_sync_edits(const struct store *s);
/* What is synced is in doubt. */
int sqlite_sync_doubt_all(struct store *s) NODISCARD;
/* -ERR_NOT_FOUND. */
int sqlite_sync_get(struct store *s, const char *name, struct store_sync *ret) NODISCARD;
/* Of a state; fn may stop it. */
int sqlite_sync_each(struct store *s, enum store_sync_state state, size_t limit,
                     bool (*fn)(void *arg, const char *name, const struct store_sync *row),
                     void *arg) NODISCARD;
/* Of users that were removed before; fn may stop it. */
int sqlite_sync_removed(struct store *s, uint64_t before_ms, size_t limit,
                        bool (*fn)(void *arg, const char *name, const struct store_sync *row),
                        void *arg) NODISCARD;
/* Rows of a state. */
int sqlite_sync_count(struct store *s, enum store_sync_state state, uint64_t *ret) NODISCARD;
/* What others have, in one transaction. */
int sqlite_sync_write(struct store *s, const struct store_sync_write *v, size_t n) NODISCARD;
