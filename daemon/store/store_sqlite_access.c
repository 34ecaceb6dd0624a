/* SPDX-License-Identifier: ISC */
/* Who reads and who writes: many readers, one writer, and both on a copy while the files cannot be
 * written, or were removed or replaced under the daemon. What is written to files that have gone
 * would be lost, and others in their place are another store. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log/log.h"
#include "store/store_sqlite.h"

#define RETRY_MS 1000 /* between looks whether the files can be written again */

/* ---- readers ---- */

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

void sqlite_drop_idle(struct store_sqlite *s)
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

int sqlite_open_files(const char *path, struct sqlite_conn *writer, char **ret_error)
{
    unsigned refusals = sqlite_shm_refusals();
    int err = sqlite_check_file(path, ret_error);
    if (err == 0)
        err = sqlite_prepare_writer(writer, path, ret_error);
    if (err != 0)
        return err;
    /* SQLite takes files that it can only read. A writer that is at it elsewhere proves as much. */
    (void)sqlite3_busy_timeout(writer->db, 0);
    err = sqlite_exec(writer, "BEGIN IMMEDIATE");
    (void)sqlite3_busy_timeout(writer->db, SQLITE_BUSY_MS);
    if (err == 0)
        err = sqlite_exec(writer, "ROLLBACK");
    else if (err == -ERR_BUSY)
        err = 0;
    if (refusals != sqlite_shm_refusals())
        err = -ERR_STORE_READONLY;
    if (err == 0)
        return 0;
    sqlite_conn_fini(writer);
    *ret_error = str_printf("%s cannot be written: %s", path, err_text(err));
    return err;
}

/* Mail is more than what operators change: what the store had is read from a copy. */
int sqlite_open_copy(struct store_sqlite *s)
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

/* ---- the copy, under write_mutex ---- */

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
    s->refusals = sqlite_shm_refusals();
    sqlite_files_note(s);
    LOG_EVENT(LOG_LEVEL_NOTICE, "store-writable", KV_STR("path", s->path));
}

/* The files have gone: what they had is served on, nothing is written any more. */
static void sqlite_lose(struct store_sqlite *s, const char *why)
{
    char *copy = NULL;
    int err = sqlite_copy_open_files(s->path, s->writer.db, &copy);
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

/* Changes of this process would be in an index that no other process sees. */
static void sqlite_refuse(struct store_sqlite *s)
{
    char *copy = NULL;
    int err = sqlite_copy_open_files(s->path, s->writer.db, &copy);
    if (err == 0)
        err = sqlite_use_copy(s, copy);
    if (err < 0)
        err = sqlite_exec(&s->writer, "PRAGMA query_only = ON");
    if (s->copy)
        s->refusals = sqlite_shm_refusals();
    LOG_EVENT(LOG_LEVEL_ERROR, "store-read-only",
              KV_STR("reason", "its file system refused a write to the index of its log"),
              KV_STR("effect", "it is read from a copy; changes are refused"),
              KV_STR("copy", s->copy), KV_STR("error", err < 0 ? err_text(err) : NULL));
}

/* ---- the writer ---- */

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
    else if (!s->is_lost && s->refusals != sqlite_shm_refusals())
        sqlite_refuse(s);
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

/* ---- one statement ---- */

struct sqlite_call sqlite_read(struct store *base, enum sqlite_sql which)
{
    struct sqlite_call c = {.store = sqlite_of(base)};
    c.err = sqlite_reader_take(c.store, &c.conn);
    if (c.err == 0)
        c.st = sqlite_stmt(c.conn, which, &c.err);
    return c;
}

struct sqlite_call sqlite_write(struct store *base, enum sqlite_sql which)
{
    struct sqlite_call c = {.store = sqlite_of(base), .is_write = true};
    c.conn = sqlite_writer_take(c.store);
    c.st = sqlite_stmt(c.conn, which, &c.err);
    return c;
}

void sqlite_call_text(struct sqlite_call *c, int index, const char *text)
{
    if (c->err == 0 && sqlite_bind(c->st, index, text) != SQLITE_OK)
        c->err = -ERR_NOMEM;
}

void sqlite_call_number(struct sqlite_call *c, int index, uint64_t v)
{
    if (c->err == 0 && sqlite3_bind_int64(c->st, index, sqlite_int(v)) != SQLITE_OK)
        c->err = -ERR_NOMEM;
}

bool sqlite_call_next(struct sqlite_call *c)
{
    if (c->err != 0)
        return false;
    int rc = sqlite3_step(c->st);
    c->err = sqlite_err(c->conn->db, rc);
    return rc == SQLITE_ROW;
}

void sqlite_call_run(struct sqlite_call *c)
{
    if (c->err == 0)
        c->err = sqlite_run(c->st);
}

int sqlite_call_end(struct sqlite_call *c)
{
    if (c->is_write) {
        if (c->st)
            sqlite_reset(c->st);
        return sqlite_writer_give(c->store, c->err);
    }
    if (c->conn)
        sqlite_reader_give(c->store, c->conn);
    return c->err;
}

/* ---- what has happened to it ---- */

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
