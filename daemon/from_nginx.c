/* SPDX-License-Identifier: ISC */
/* Files and messages around the importer. */
#include "from_nginx.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "nginx/nginx_import.h"

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

/* The file is there as a whole or not at all, and never for others to read: it may hold secrets. */
static int write_output(const char *path, bool is_forced, struct str text)
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

int from_nginx(const char *path, const char *output, bool is_forced)
{
    struct nginx_result r = {0};
    AUTO_FREE char *whole = realpath(path, NULL);
    int err = nginx_import(whole ? whole : path, &nginx_source_disk, &r);
    if (err < 0) {
        fprintf(stderr, "mailproxyd: %.*s\n",
                STR_ARG(r.error.len > 0 ? buf_str(&r.error) : str_of(err_text(err))));
        nginx_result_fini(&r);
        return err == -ERR_CONFIG ? EX_CONFIG : EX_OSERR;
    }
    fprintf(stderr, "%.*s", STR_ARG(buf_str(&r.report)));
    int status = r.n_no_equal > 0 ? 1 : 0;
    if (!output && (fwrite(r.conf.data + r.conf.start, 1, r.conf.len, stdout) != r.conf.len ||
                    fflush(stdout) != 0))
        status = EX_OSERR;
    err = output ? write_output(output, is_forced, buf_str(&r.conf)) : 0;
    if (err < 0) {
        const char *hint = err != -ERR_EXISTS           ? ""
                           : is_other_than_file(output) ? ", and is no regular file"
                                                        : ": take another name, or --force";
        fprintf(stderr, "mailproxyd: %s: %s%s\n", output, err_text(err), hint);
        status = EX_CANTCREAT;
    }
    nginx_result_fini(&r);
    return status;
}

static void print_row(void *arg, const char *name, const char *keys, const char *verdict,
                      const char *words)
{
    (void)arg;
    printf("%s\t%s\t%s\t%s\n", name, keys, verdict, words);
}

int from_nginx_print_table(void)
{
    return nginx_each_directive(print_row, NULL) < 0 ? EX_OSERR : 0;
}
