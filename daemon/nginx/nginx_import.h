/* SPDX-License-Identifier: ISC */
/* Moving in from nginx: its configuration becomes ours, with a report of what is not the same. */
#pragma once

#include "nginx/nginx_source.h"

struct nginx_result {
    struct buf conf;   /* our file; it may hold secrets that stood in nginx's */
    struct buf report; /* lines "file:line: directive: exact", "...: approximate: why", "...: no
                          equal: what to do", and a last one with the numbers */
    struct buf error;  /* of -ERR_CONFIG: "file:line: what is wrong" */
    size_t n_exact, n_approximate, n_no_equal, n_passed;
};

/* Zero-initialised is valid. */
void nginx_result_fini(struct nginx_result *r);
/* Translates the mail{} block of a configuration and what of main concerns it. path: of the main
 * file; relative names in it are told from its folder. 0, -ERR_NOMEM, or -ERR_CONFIG: it cannot be
 * read, or nginx would not take it either. Blocking. */
int nginx_import(const char *path, const struct nginx_source *source,
                 struct nginx_result *ret) NODISCARD;

/* For the manual: calls fn with each directive, our keys ("pools[].forward", several with ", "
 * between them), how well it is translated at best ("exact", "approximate", "no equal"), and words,
 * which may be empty. 0 or -ERR_NOMEM. */
int nginx_each_directive(void (*fn)(void *arg, const char *name, const char *keys,
                                    const char *verdict, const char *words),
                         void *arg) NODISCARD;
