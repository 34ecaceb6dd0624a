/* SPDX-License-Identifier: ISC */
/* The text of an nginx configuration file, cut into words by nginx's rules. */
#pragma once

#include <stdbool.h>

#include "base/buf.h"

#define NGINX_WORD_MAX 4095 /* bytes: nginx refuses longer ones, too */

enum nginx_token {
    NGINX_WORD,
    NGINX_SEMICOLON,
    NGINX_OPEN,  /* { */
    NGINX_CLOSE, /* } where a word could begin */
    NGINX_END
};

/* A place in a text. Zero-initialised but for text and line. */
struct nginx_words {
    struct str text;    /* borrowed: what is left */
    unsigned line;      /* of what comes next; begins with 1 */
    struct buf word;    /* the last word, without quotes and escapes; an empty one may be quoted */
    unsigned word_line; /* where it began */
};

/* Frees the word. */
void nginx_words_fini(struct nginx_words *w);
/* The next token. 0, -ERR_NOMEM, or -ERR_SYNTAX with what is wrong in *ret_why (static): it is in
 * the line of `word_line`. Quotes and comments count only where a word begins; a backslash takes
 * the next byte as it is; ";" and "{" end a word, "${" does not. */
int nginx_words_next(struct nginx_words *w, enum nginx_token *ret, const char **ret_why) NODISCARD;
