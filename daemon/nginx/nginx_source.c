/* SPDX-License-Identifier: ISC */
/* Reads nginx's files from the disk. */
#include "nginx/nginx_source.h"

#include <glob.h>

#include "base/os/files.h"

static int source_read(void *arg, const char *path, struct buf *ret_text)
{
    (void)arg;
    struct files *files = NULL;
    struct str text;
    int err = files_new(&files);
    if (err == 0)
        err = files_read(files, path, &text);
    if (err == 0)
        err = buf_append_str(ret_text, text);
    files_unref(files);
    return err;
}

static int source_each(void *arg, const char *pattern, int (*fn)(void *fn_arg, const char *path),
                       void *fn_arg)
{
    (void)arg;
    glob_t found = {0};
    int rc = glob(pattern, 0, NULL, &found);
    int err = rc == 0 || rc == GLOB_NOMATCH ? 0 : rc == GLOB_NOSPACE ? -ERR_NOMEM : -ERR_IO;
    for (size_t i = 0; i < found.gl_pathc && err == 0; i++)
        err = fn(fn_arg, found.gl_pathv[i]);
    globfree(&found);
    return err;
}

const struct nginx_source nginx_source_disk = {NULL, source_read, source_each};
