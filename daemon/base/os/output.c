/* SPDX-License-Identifier: ISC */
/* Files for people, in one step. */
#include "base/os/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

static bool write_whole(int fd, struct str text)
{
    while (text.n > 0) {
        ssize_t n = write(fd, text.p, text.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        text = str_skip(text, (size_t)n);
    }
    return true;
}

/* A device, a link or a folder is nobody's old output. */
static bool is_other_than_file(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && !S_ISREG(st.st_mode);
}

int output_check(const char *path, bool is_forced)
{
    struct stat st;
    bool is_taken = lstat(path, &st) == 0 && (!is_forced || !S_ISREG(st.st_mode));
    return is_taken ? -ERR_EXISTS : 0;
}

int output_write(const char *path, bool is_forced, struct str text)
{
    if (is_other_than_file(path))
        return -ERR_EXISTS;
    AUTO_FREE char *part = str_printf("%s.%ld.new", path, (long)getpid());
    if (!part)
        return -ERR_NOMEM;
    AUTO_CLOSE int fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_from_errno(errno);
    int failed = write_whole(fd, text) && fsync(fd) == 0 ? 0 : errno;
    /* link() refuses a name that is taken, rename() does not */
    if (failed == 0 && (is_forced ? rename(part, path) : link(part, path)) < 0)
        failed = errno;
    if (failed || !is_forced)
        unlink(part);
    return failed ? err_from_errno(failed) : 0;
}

const char *output_hint(const char *path, int err)
{
    return err != -ERR_EXISTS         ? ""
           : is_other_than_file(path) ? ", and is no regular file"
                                      : ": take another name, or --force";
}
