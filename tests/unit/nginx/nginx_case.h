/* SPDX-License-Identifier: ISC */
/* Files of nginx in one text, for the importer's tests: "=== NAME\n" begins each. */
#pragma once

#include <fnmatch.h>

#include "nginx/nginx_import.h"

#define NGINX_CASE_MARK "=== "

/* Cuts the next file off *rest; false at the end. */
static inline bool nginx_case_next(struct str *rest, struct str *ret_name, struct str *ret_text)
{
    if (!str_is_prefix(*rest, STR(NGINX_CASE_MARK)))
        return false;
    *rest = str_skip(*rest, strlen(NGINX_CASE_MARK));
    *ret_name = str_cut(rest, '\n');
    size_t n = 0;
    while (n < rest->n && !((n == 0 || rest->p[n - 1] == '\n') &&
                            str_is_prefix(str_skip(*rest, n), STR(NGINX_CASE_MARK))))
        n++;
    *ret_text = str_head(*rest, n);
    *rest = str_skip(*rest, n);
    return true;
}

static inline int nginx_case_read(void *arg, const char *path, struct buf *ret_text)
{
    struct str rest = *(const struct str *)arg, name, text;
    while (nginx_case_next(&rest, &name, &text))
        if (str_eq(name, str_of(path)))
            return buf_append_str(ret_text, text);
    return -ERR_NOT_FOUND;
}

static inline int nginx_case_each(void *arg, const char *pattern,
                                  int (*fn)(void *fn_arg, const char *path), void *fn_arg)
{
    struct str rest = *(const struct str *)arg, name, text;
    int err = 0;
    while (err == 0 && nginx_case_next(&rest, &name, &text)) {
        AUTO_FREE char *path = str_dup(name);
        if (path && !memchr(name.p, '\0', name.n) && fnmatch(pattern, path, FNM_PATHNAME) == 0)
            err = fn(fn_arg, path);
    }
    return err;
}

/* A source of the files in *files, which stays where it is. */
static inline struct nginx_source nginx_case_source(struct str *files)
{
    return (struct nginx_source){files, nginx_case_read, nginx_case_each};
}
