/* SPDX-License-Identifier: ISC */
/* Rows of the table of directives, and what their functions share. */
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
    /* nginx_row_apply_param: the functions of the table are below it. */
    int (*param)(const struct nginx_job *job, struct nginx_directive *d, const char *word);
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

/* The remark on what our file cannot hold. */
extern const char nginx_put_why[];
/* A directive that the server has kept for later, or NULL. */
struct nginx_directive *nginx_kept(const struct nginx_server *s, const char *name);

/* What several functions share: sets the key of d's settings by the row's group. */
int nginx_put(const struct nginx_job *job, const struct nginx_row *row,
              const struct nginx_directive *d, const char *key, const char *value) NODISCARD;
/* The same with a text to be quoted; what our file cannot hold is noted as without equal. */
int nginx_put_text(const struct nginx_job *job, const struct nginx_row *row,
                   struct nginx_directive *d, const char *key, const char *text) NODISCARD;
/* The number (ms, bytes) for a key of a group, within the key's own bounds; where they cut it, that
 * is noted. */
uint64_t nginx_put_within(struct nginx_directive *d, enum nginx_group group, const char *key,
                          uint64_t number);
/* Sets a key of a group to a number, within its bounds and in the key's unit. */
int nginx_put_number(const struct nginx_job *job, enum nginx_group group, struct nginx_directive *d,
                     const char *key, uint64_t number) NODISCARD;
/* Sets all keys of a row to one number, each within its bounds. */
int nginx_put_numbers(const struct nginx_job *job, const struct nginx_row *row,
                      struct nginx_directive *d, uint64_t number) NODISCARD;
/* Sets all keys of a row to one value. */
int nginx_put_all(const struct nginx_job *job, const struct nginx_row *row,
                  const struct nginx_directive *d, const char *value) NODISCARD;
/* Adds a text to a list that several directives make; what our file cannot hold is noted. */
int nginx_put_next(const struct nginx_job *job, const struct nginx_row *row,
                   struct nginx_directive *d, const char *key, const char *text) NODISCARD;
/* What stands before the keys of a group: "listeners[]."; static. */
const char *nginx_group_path(enum nginx_group group);
/* The settings that a row's keys go to. */
struct nginx_settings *nginx_put_group(const struct nginx_job *job, const struct nginx_row *row);
