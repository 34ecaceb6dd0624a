/* SPDX-License-Identifier: ISC */
/* The table of nginx's directives: which there are, and what each becomes. */
#pragma once

#include "nginx/nginx_server.h"

enum { /* where a directive may stand */
       NGINX_IN_MAIN = 1,
       NGINX_IN_MAIL = 2,
       NGINX_IN_SERVER = 4,
       NGINX_IN_PARAM = 8, /* within another one */
       NGINX_IN_MANY = 16  /* more than once in a block */
};

struct nginx_row;

/* A directive on its way. */
struct nginx_job {
    struct nginx_import *import;
    struct nginx_server *server;     /* NULL in main */
    struct nginx_listener *listener; /* of a parameter of listen, else NULL */
};

/* Translates d. 0; 1: and it is exact, whatever the row says; -ERR_NOMEM; -ERR_CONFIG: nginx would
 * not take it either (nginx_fail). */
typedef int nginx_how(const struct nginx_job *job, const struct nginx_row *row,
                      struct nginx_directive *d);

struct nginx_row {
    const char *name;
    unsigned where;
    unsigned least, most; /* arguments; most 0 = any number */
    const char *proto;    /* "" = all */
    const char *standard; /* nginx's default, NULL = none that matters */
    nginx_how *how;
    enum nginx_group group;
    const char *keys;
    enum nginx_verdict verdict;
    const char *words;
};

extern const struct nginx_row nginx_rows[];
extern const size_t nginx_n_rows;

/* NULL: there is no such directive. */
const struct nginx_row *nginx_row_find(const char *name);
/* Translates d by its row, after its arguments were counted, and notes the verdict. Errors as
 * nginx_how. */
int nginx_row_apply(const struct nginx_job *job, const struct nginx_row *row,
                    struct nginx_directive *d) NODISCARD;
/* Translates a word of a directive d ("backlog=511") by the row of that parameter ("listen
 * backlog="). -ERR_CONFIG when there is none. */
int nginx_row_apply_param(const struct nginx_job *job, struct nginx_directive *d,
                          const char *word) NODISCARD;
/* A directive that the server has kept for later, or NULL. */
struct nginx_directive *nginx_kept(const struct nginx_server *s, const char *name);

/* What several functions share: sets the key of d's settings by the row's group. */
int nginx_put(const struct nginx_job *job, const struct nginx_row *row,
              const struct nginx_directive *d, const char *key, const char *value) NODISCARD;
/* The same with a text to be quoted; what our file cannot hold is noted as without equal. */
int nginx_put_text(const struct nginx_job *job, const struct nginx_row *row,
                   struct nginx_directive *d, const char *key, const char *text) NODISCARD;

nginx_how how_listen, how_listen_ssl, how_listen_proxy, how_keepalive;
