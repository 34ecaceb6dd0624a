/* SPDX-License-Identifier: ISC */
/* A copy in memory of a store whose files cannot be written: SQLite needs to write even where it
 * only reads from a log. */
#include <errno.h>
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "store/store_sqlite.h"

#define COPY_ROOT "/dev/shm" /* memory, wherever it may be written to */
#define COPY_CHUNK (16u << 20)

/* The main file, its log, and the log's index, which is made anew. */
static const struct copy_part {
    const char *end;
    bool is_copied, is_needed;
} parts[] = {{"", true, true}, {"-wal", true, false}, {"-shm", false, false}};

/* An empty main file is no store, only the place for one. */
static int copy_part(const char *path, const char *copy, const struct copy_part *part)
{
    AUTO_FREE char *source = str_printf("%s%s", path, part->end);
    AUTO_FREE char *target = str_printf("%s%s", copy, part->end);
    struct stat st;
    if (!source || !target)
        return -ERR_NOMEM;
    (void)unlink(target); /* of one that died */
    if (!part->is_copied)
        return 0;
    AUTO_CLOSE int from = open(source, O_RDONLY | O_CLOEXEC);
    if (from < 0 && errno == ENOENT && !part->is_needed)
        return 0;
    if (from < 0 || fstat(from, &st) != 0)
        return err_from_errno(errno);
    if (st.st_size == 0 && part->is_needed)
        return -ERR_NOT_FOUND;
    AUTO_CLOSE int to = open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (to < 0)
        return err_from_errno(errno);
    for (;;) {
        ssize_t n = sendfile(to, from, NULL, COPY_CHUNK);
        if (n == 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return err_from_errno(errno);
    }
}

void sqlite_copy_remove(char *copy)
{
    for (size_t i = 0; copy && i < ARRAY_LEN(parts); i++) {
        AUTO_FREE char *path = str_printf("%s%s", copy, parts[i].end);
        if (path)
            (void)unlink(path);
    }
    char *slash = copy ? strrchr(copy, '/') : NULL;
    if (slash) {
        *slash = '\0';
        (void)rmdir(copy);
    }
    free(copy);
}

/* The name of the copy, in a folder of the user's own: everybody may write beside it. */
static int copy_name(const char *path, char **ret)
{
    AUTO_FREE char *folder = str_printf(COPY_ROOT "/mailproxy-%u-%016llx", geteuid(),
                                        (unsigned long long)hash_stable(str_of(path)));
    struct stat st;
    if (!folder)
        return -ERR_NOMEM;
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return err_from_errno(errno);
    if (lstat(folder, &st) != 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid() ||
        (st.st_mode & 077) != 0)
        return -ERR_PERM;
    *ret = str_printf("%s/store", folder);
    return *ret ? 0 : -ERR_NOMEM;
}

int sqlite_copy_make(const char *path, char **ret)
{
    char *copy = NULL;
    int err = copy_name(path, &copy);
    for (size_t i = 0; i < ARRAY_LEN(parts) && err == 0; i++)
        err = copy_part(path, copy, &parts[i]);
    if (err < 0)
        sqlite_copy_remove(copy);
    else
        *ret = copy;
    return err;
}

/* An empty file for a copy. */
static int copy_place(const char *path, char **ret)
{
    char *copy = NULL;
    int err = copy_name(path, &copy);
    for (size_t i = 0; i < ARRAY_LEN(parts) && err == 0; i++) {
        AUTO_FREE char *part = str_printf("%s%s", copy, parts[i].end);
        if (!part)
            err = -ERR_NOMEM;
        else
            (void)unlink(part); /* of one that died */
    }
    AUTO_CLOSE int fd = err == 0 ? open(copy, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
    if (err == 0 && fd < 0)
        err = err_from_errno(errno);
    if (err < 0)
        sqlite_copy_remove(copy);
    else
        *ret = copy;
    return err;
}

int sqlite_copy_open_files(const char *path, sqlite3 *from, char **ret)
{
    sqlite3 *to = NULL;
    char *copy = NULL;
    int err = copy_place(path, &copy);
    if (err < 0)
        return err;
    int rc = sqlite3_open_v2(copy, &to, SQLITE_OPEN_READWRITE, NULL);
    sqlite3_backup *b = rc == SQLITE_OK ? sqlite3_backup_init(to, "main", from, "main") : NULL;
    if (b) {
        (void)sqlite3_backup_step(b, -1);
        rc = sqlite3_backup_finish(b);
    }
    err = !b && rc == SQLITE_OK ? -ERR_STORE : sqlite_err(to, rc);
    (void)sqlite3_close(to);
    if (err < 0)
        sqlite_copy_remove(copy);
    else
        *ret = copy;
    return err;
}
