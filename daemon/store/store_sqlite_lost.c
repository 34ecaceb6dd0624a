/* SPDX-License-Identifier: ISC */
/* A store whose files were removed or replaced under the daemon: what is written to those that are
 * open would be lost, and the new ones are another store. */
#include <errno.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "store/store_sqlite.h"

static const char *const ends[SQLITE_FILES] = {"", "-wal", "-shm"};

/* All zero: there is no such file. */
static struct sqlite_file_id file_id(const struct store_sqlite *s, size_t i)
{
    AUTO_FREE char *path = str_printf("%s%s", s->path, ends[i]);
    struct stat st;
    if (!path || stat(path, &st) != 0)
        return (struct sqlite_file_id){0};
    return (struct sqlite_file_id){.dev = st.st_dev, .ino = st.st_ino};
}

void sqlite_files_note(struct store_sqlite *s)
{
    for (size_t i = 0; i < SQLITE_FILES; i++)
        s->files[i] = file_id(s, i);
}

/* The log and its index are made by the first who needs them. */
char *sqlite_files_problem(struct store_sqlite *s)
{
    for (size_t i = 0; i < SQLITE_FILES; i++) {
        struct sqlite_file_id *was = &s->files[i], now = file_id(s, i);
        if (was->ino == 0)
            *was = now;
        if (was->ino == 0 || (now.ino == was->ino && now.dev == was->dev))
            continue;
        return str_printf("%s%s was %s while the daemon runs", s->path, ends[i],
                          now.ino ? "replaced" : "removed");
    }
    return NULL;
}

int sqlite_files_copy(struct store_sqlite *s, char **ret)
{
    sqlite3 *to = NULL;
    char *copy = NULL;
    int err = sqlite_copy_place(s->path, &copy);
    if (err < 0)
        return err;
    int rc = sqlite3_open_v2(copy, &to, SQLITE_OPEN_READWRITE, NULL);
    sqlite3_backup *b =
        rc == SQLITE_OK ? sqlite3_backup_init(to, "main", s->writer.db, "main") : NULL;
    if (b) {
        (void)sqlite3_backup_step(b, -1);
        rc = sqlite3_backup_finish(b);
    }
    if (!b || rc != SQLITE_OK)
        err = rc == SQLITE_FULL ? -ERR_STORE_FULL : -ERR_STORE;
    (void)sqlite3_close(to);
    if (err < 0)
        sqlite_copy_remove(copy);
    else
        *ret = copy;
    return err;
}
