/* SPDX-License-Identifier: ISC */
/* Which files are open, and whether they still are those that the path names. */
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
