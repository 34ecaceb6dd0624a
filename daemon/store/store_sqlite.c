/* SPDX-License-Identifier: ISC */
/* The SQLite store: opening, its connections and their statements. */
#include "store/store_sqlite.h"

#include <errno.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"

#define BUSY_TIMEOUT_MS 5000
#define RETRY_MS 1000 /* between looks whether the files can be written again */

static const char *const sql_texts[SQL_COUNT] = {
#define S(id, text) [SQL_##id] = text,
    SQLITE_STATEMENTS(S)
#undef S
};

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

/* ---- connections ---- */

static void sqlite_conn_fini(struct sqlite_conn *c)
{
    for (size_t i = 0; i < SQL_COUNT; i++)
        (void)sqlite3_finalize(c->stmts[i]);
    (void)sqlite3_close(c->db);
    *c = (struct sqlite_conn){0};
}

static int sqlite_conn_open(struct sqlite_conn *c, const char *path)
{
    list_init(&c->link);
    int rc = sqlite3_open_v2(path, &c->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK) {
        rc = sqlite3_extended_result_codes(c->db, 1);
        (void)sqlite3_busy_timeout(c->db, BUSY_TIMEOUT_MS);
        (void)sqlite3_db_config(c->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        (void)sqlite3_db_config(c->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    }
    int err = sqlite_err(c->db, rc);
    if (err != 0)
        sqlite_conn_fini(c);
    return err;
}

/* Under read_mutex: of the copy or of the files, not of what has just been left. */
static int sqlite_reader_open(const struct store_sqlite *s, struct sqlite_conn **ret)
{
    struct sqlite_conn *c = calloc(1, sizeof(*c));
    if (!c)
        return -ERR_NOMEM;
    int err = sqlite_conn_open(c, s->copy ? s->copy : s->path);
    if (err == 0 && (err = sqlite_exec(c, "PRAGMA query_only = ON")) != 0)
        sqlite_conn_fini(c);
    if (err != 0) {
        free(c);
        return err;
    }
    /* It may be the last one of files that have gone: others may stand in their place. */
    (void)sqlite3_db_config(c->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    c->is_of_copy = s->copy != NULL;
    *ret = c;
    return 0;
}

int sqlite_reader_take(struct store_sqlite *s, struct sqlite_conn **ret)
{
    struct sqlite_conn *c = NULL;
    int err = 0;
    pthread_mutex_lock(&s->read_mutex);
    if (!list_is_empty(&s->idle)) {
        c = LIST_ITEM(s->idle.next, struct sqlite_conn, link);
        list_del(&c->link);
        s->n_idle--;
    } else {
        err = sqlite_reader_open(s, &c);
    }
    pthread_mutex_unlock(&s->read_mutex);
    if (err == 0)
        *ret = c;
    return err;
}

void sqlite_reader_give(struct store_sqlite *s, struct sqlite_conn *c)
{
    for (size_t i = 0; i < SQL_COUNT; i++)
        if (c->stmts[i])
            sqlite_reset(c->stmts[i]);
    pthread_mutex_lock(&s->read_mutex);
    bool is_kept = s->n_idle < SQLITE_IDLE_READERS && c->is_of_copy == (s->copy != NULL);
    if (is_kept) {
        list_add_head(&s->idle, &c->link);
        s->n_idle++;
    }
    pthread_mutex_unlock(&s->read_mutex);
    if (!is_kept) {
        sqlite_conn_fini(c);
        free(c);
    }
}

/* Under read_mutex, or alone. */
static void sqlite_drop_idle(struct store_sqlite *s)
{
    while (!list_is_empty(&s->idle)) {
        struct sqlite_conn *c = LIST_ITEM(s->idle.next, struct sqlite_conn, link);
        list_del(&c->link);
        sqlite_conn_fini(c);
        free(c);
    }
    s->n_idle = 0;
}

/* ---- opening ---- */

static void sqlite_close(struct store *base)
{
    struct store_sqlite *s = CONTAINER_OF(base, struct store_sqlite, base);
    AUTO_FREE char *problem = s->path && s->writer.db && !s->copy ? sqlite_files_problem(s) : NULL;
    if (problem) /* nothing of ours may be done to those that stand there now */
        (void)sqlite3_db_config(s->writer.db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite_drop_idle(s);
    sqlite_conn_fini(&s->writer);
    sqlite_copy_remove(s->copy);
    pthread_mutex_destroy(&s->write_mutex);
    pthread_mutex_destroy(&s->read_mutex);
    free(s->path);
    free(s);
}

/* A file that fails a check must stay as it is, so nothing may be moved from its log into it when
 * the connection closes; a good one allows that again. */
static int sqlite_prepare_writer(struct sqlite_conn *c, const char *path, char **ret_error)
{
    int err = sqlite_conn_open(c, path);
    if (err != 0) {
        *ret_error = str_printf("%s cannot be opened: %s", path, err_text(err));
        return err;
    }
    (void)sqlite3_db_config(c->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    err = sqlite_check_schema(c, path, ret_error);
    if (err != 0) {
        sqlite_conn_fini(c);
        return err;
    }
    err = sqlite_exec(c, "PRAGMA journal_mode = WAL");
    if (err == 0)
        err = sqlite_exec(c, "PRAGMA synchronous = NORMAL");
    if (err == 0)
        err = sqlite_exec(c, "PRAGMA secure_delete = ON");
    (void)sqlite3_db_config(c->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    if (err != 0) {
        *ret_error = str_printf("%s cannot be set up: %s", path, sqlite3_errmsg(c->db));
        sqlite_conn_fini(c);
    }
    return err;
}

static int sqlite_open_files(const char *path, struct sqlite_conn *writer, char **ret_error)
{
    int err = sqlite_check_file(path, ret_error);
    return err == 0 ? sqlite_prepare_writer(writer, path, ret_error) : err;
}

/* Mail is more than what operators change: what the store had is read from a copy. */
static int sqlite_open_copy(struct store_sqlite *s)
{
    AUTO_FREE char *error = NULL;
    int err = sqlite_copy_make(s->path, &s->copy);
    if (err == 0)
        err = sqlite_prepare_writer(&s->writer, s->copy, &error);
    if (err == 0)
        err = sqlite_exec(&s->writer, "PRAGMA query_only = ON");
    s->retry_ms = clock_ms() + RETRY_MS;
    return err;
}

/* ---- writing ---- */

/* What is open is left for this copy, which is taken over. On error the files stay open. */
static int sqlite_use_copy(struct store_sqlite *s, char *copy)
{
    struct sqlite_conn fresh = {0};
    AUTO_FREE char *error = NULL;
    int err = sqlite_prepare_writer(&fresh, copy, &error);
    if (err == 0 && (err = sqlite_exec(&fresh, "PRAGMA query_only = ON")) != 0)
        sqlite_conn_fini(&fresh);
    if (err != 0) {
        sqlite_copy_remove(copy);
        return err;
    }
    (void)sqlite3_db_config(s->writer.db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite_conn_fini(&s->writer);
    s->writer = fresh;
    list_init(&s->writer.link);
    pthread_mutex_lock(&s->read_mutex);
    sqlite_drop_idle(s);
    s->copy = copy;
    s->retry_ms = clock_ms() + RETRY_MS;
    pthread_mutex_unlock(&s->read_mutex);
    return 0;
}

static void sqlite_leave_copy(struct store_sqlite *s)
{
    struct sqlite_conn fresh = {0};
    AUTO_FREE char *error = NULL;
    uint64_t now = clock_ms();
    if (now < s->retry_ms)
        return;
    s->retry_ms = now + RETRY_MS;
    AUTO_FREE char *problem = s->is_lost ? sqlite_files_problem(s) : NULL;
    if (problem) /* others stand in their place, or none */
        return;
    if (sqlite_open_files(s->path, &fresh, &error) != 0)
        return;
    sqlite_conn_fini(&s->writer);
    s->writer = fresh;
    list_init(&s->writer.link);
    pthread_mutex_lock(&s->read_mutex);
    sqlite_drop_idle(s);
    sqlite_copy_remove(STEAL(s->copy));
    pthread_mutex_unlock(&s->read_mutex);
    s->is_lost = false;
    sqlite_files_note(s);
    LOG_EVENT(LOG_LEVEL_NOTICE, "store-writable", KV_STR("path", s->path));
}

/* They have gone: what they had is served on, nothing is written any more. */
static void sqlite_lose(struct store_sqlite *s, const char *why)
{
    char *copy = NULL;
    int err = sqlite_files_copy(s, &copy);
    s->is_lost = true;
    if (err == 0)
        err = sqlite_use_copy(s, copy);
    if (err < 0) /* those who have the files open read on */
        err = sqlite_exec(&s->writer, "PRAGMA query_only = ON");
    LOG_EVENT(LOG_LEVEL_ERROR, "store-lost", KV_STR("reason", why), KV_STR("copy", s->copy),
              KV_STR("effect", "what it had is served; changes are refused until the file is back "
                               "or the daemon is started again"),
              KV_STR("error", err < 0 ? err_text(err) : NULL));
}

/* Under write_mutex, which only is needed to change what is looked at. */
static void sqlite_look(struct store_sqlite *s)
{
    if (s->copy) {
        sqlite_leave_copy(s);
        return;
    }
    AUTO_FREE char *problem = s->is_lost ? NULL : sqlite_files_problem(s);
    if (problem)
        sqlite_lose(s, problem);
}

struct sqlite_conn *sqlite_writer_take(struct store_sqlite *s)
{
    pthread_mutex_lock(&s->write_mutex);
    sqlite_look(s);
    return &s->writer;
}

int sqlite_writer_give(struct store_sqlite *s, int err)
{
    if (err == -ERR_STORE_READONLY && s->is_lost)
        err = -ERR_STORE_GONE;
    pthread_mutex_unlock(&s->write_mutex);
    return err;
}

int sqlite_check(struct store *base, char **ret_error)
{
    struct store_sqlite *s = sqlite_of(base);
    int err = 0;
    *ret_error = NULL;
    if (pthread_mutex_trylock(&s->write_mutex) != 0)
        return 0; /* who writes has looked */
    sqlite_look(s);
    if (s->is_lost) {
        err = -ERR_STORE_GONE;
        *ret_error = sqlite_files_problem(s);
    } else if (s->copy) {
        err = -ERR_STORE_READONLY;
        *ret_error = str_printf("%s cannot be written", s->path);
    }
    pthread_mutex_unlock(&s->write_mutex);
    return err;
}

/* ---- the whole ---- */

static int sqlite_open(const struct store_spec *spec, struct store **ret, char **ret_error)
{
    struct store_sqlite *s = calloc(1, sizeof(*s));
    if (!s)
        return -ERR_NOMEM;
    s->base.ops = &store_sqlite_ops;
    list_init(&s->idle);
    pthread_mutex_init(&s->write_mutex, NULL);
    pthread_mutex_init(&s->read_mutex, NULL);
    s->path = str_dup_c(spec->path);
    AUTO_FREE char *error = NULL;
    int err = s->path ? sqlite_open_files(s->path, &s->writer, &error) : -ERR_NOMEM;
    if ((err == -ERR_STORE_READONLY || err == -ERR_STORE_FULL) && sqlite_open_copy(s) == 0) {
        LOG_EVENT(LOG_LEVEL_ERROR, "store-read-only", KV_STR("reason", error),
                  KV_STR("effect", "it is read from a copy; changes are refused"));
        err = 0;
    }
    if (err != 0) {
        *ret_error = STEAL(error);
        sqlite_close(&s->base);
        return err;
    }
    if (!s->copy)
        sqlite_files_note(s);
    *ret = &s->base;
    return 0;
}

const struct store_ops store_sqlite_ops = {
    .type = "sqlite",
    .open = sqlite_open,
    .close = sqlite_close,
    .check = sqlite_check,
    .user_get = sqlite_user_get,
    .user_put = sqlite_user_put,
    .user_remove = sqlite_user_remove,
    .user_each = sqlite_user_each,
    .user_count = sqlite_user_count,
    .user_import = sqlite_user_import,
    .user_logins = sqlite_user_logins,
    .runtime_put = sqlite_runtime_put,
    .runtime_remove = sqlite_runtime_remove,
    .runtime_each = sqlite_runtime_each,
    .audit_add = sqlite_audit_add,
    .audit_each = sqlite_audit_each,
    .audit_expire = sqlite_audit_expire,
};
