/* SPDX-License-Identifier: ISC */
/* The directives of an nginx configuration with its includes, as a tree. */
#pragma once

#include "nginx/nginx_source.h"

/* What a configuration may hold: more is an error, so that no file takes the machine's memory or
 * time. */
enum {
    NGINX_DEPTH_MAX = 16,           /* blocks in blocks, includes in includes */
    NGINX_FILES_MAX = 256,          /* includes read */
    NGINX_WORDS_MAX = 100000,       /* in all */
    NGINX_TEXT_BYTES_MAX = 2 << 20, /* in all */
    NGINX_BLOCK_MAX = 1000,         /* directives of one block that is looked at */
    NGINX_ARGUMENTS_MAX = 500,      /* words of one of these */
    NGINX_SERVERS_MAX = 128,        /* in mail{} */
    NGINX_ADDRESSES_MAX = 1000      /* of all listen together, ranges of ports too */
};

/* How well a directive has been translated; the greater one is the one to be told. */
enum nginx_verdict {
    NGINX_UNSEEN, /* nobody has looked at it */
    NGINX_PASSED, /* has nothing to do with mail */
    NGINX_EXACT,
    NGINX_APPROXIMATE,
    NGINX_NO_EQUAL,
    NGINX_VERDICT_COUNT
};

struct nginx_directive {
    char **words; /* the first is its name; NUL-terminated, owned */
    size_t n_words;
    char *file; /* owned; NULL = a default of nginx */
    unsigned line;
    bool has_block;
    struct nginx_directive *parent;       /* NULL at the top */
    struct nginx_directive *first, *last; /* of its block */
    struct nginx_directive *next;
    size_t n_block; /* directives in it */
    enum nginx_verdict verdict;
    char *remark; /* of the verdict, owned or NULL */
};

/* Reads a file and what it includes. The result is a directive without words whose block is the
 * whole file; nginx_tree_free. 0, -ERR_NOMEM, or -ERR_CONFIG with "file:line: what is wrong" in
 * ret_error. Blocks at the top that are not about mail are passed over: nothing is kept of what is
 * in them, and their includes are not read. */
int nginx_tree_read(const char *path, const struct nginx_source *source,
                    struct nginx_directive **ret, struct buf *ret_error) NODISCARD;
/* NULL is fine. */
void nginx_tree_free(struct nginx_directive *d);
/* A directive as it would be read from words with blanks between them ("smtp_auth plain login"),
 * with no file: a default. NULL without memory. */
struct nginx_directive *nginx_tree_default(const char *text);
/* Notes how a directive was translated; the worst verdict stays, with its remark. NULL remark =
 * none. */
void nginx_note(struct nginx_directive *d, enum nginx_verdict verdict, const char *remark);
/* "exact"; static. */
const char *nginx_verdict_name(enum nginx_verdict v);
