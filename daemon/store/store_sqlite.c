/* SPDX-License-Identifier: ISC */
/* The SQLite store: its life, and the table of its operations. */
#include "store/store_sqlite.h"

#include "base/cleanup.h"
#include "base/log/log.h"

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
    s->refusals = sqlite_shm_refusals();
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
    .name_each = sqlite_name_each,
    .has_names = sqlite_has_names,
    .user_import = sqlite_user_import,
    .user_logins = sqlite_user_logins,
    .runtime_put = sqlite_runtime_put,
    .runtime_remove = sqlite_runtime_remove,
    .runtime_each = sqlite_runtime_each,
    .audit_add = sqlite_audit_add,
    .audit_each = sqlite_audit_each,
    .audit_expire = sqlite_audit_expire,
    .sync_track = sqlite_sync_track,
    .sync_edits = sqlite_sync_edits,
    .sync_doubt_all = sqlite_sync_doubt_all,
    .sync_get = sqlite_sync_get,
    .sync_each = sqlite_sync_each,
    .sync_removed = sqlite_sync_removed,
    .sync_count = sqlite_sync_count,
    .sync_write = sqlite_sync_write,
};
