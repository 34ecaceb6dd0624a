/* SPDX-License-Identifier: ISC */
/* Where the text of nginx's files comes from: the disk, or a test. */
#pragma once

#include "base/buf.h"

struct nginx_source {
    void *arg;
    /* Appends the content of a file. 0 or -ERR_x; -ERR_NOT_FOUND: there is none. */
    int (*read)(void *arg, const char *path, struct buf *ret_text);
    /* Calls fn with each file that a pattern of the shell matches, in the order of their names, as
     * long as it returns 0. 0, -ERR_x, or what fn returned. */
    int (*each)(void *arg, const char *pattern, int (*fn)(void *fn_arg, const char *path),
                void *fn_arg);
};

/* The files of this machine; only regular ones. Blocking. */
extern const struct nginx_source nginx_source_disk;
