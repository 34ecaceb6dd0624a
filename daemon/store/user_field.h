/* SPDX-License-Identifier: ISC */
/* What the formats of user files share: the properties of a user by name, and the collecting of
 * users and problems. */
#pragma once

#include "base/container/map.h"
#include "store/store.h"

#define USER_ERRORS_MAX 100 /* told; the rest is counted */
#define USER_FILE_TIME_MAX ((uint64_t)INT64_MAX)

/* How a property is written. */
enum user_field_kind {
    USER_FIELD_NAME,
    USER_FIELD_TEXT,
    USER_FIELD_SENT,   /* a text of one line: hashes, names, what goes to mail servers */
    USER_FIELD_SOURCE, /* "store", or "other": a name without an account */
    USER_FIELD_STATE,
    USER_FIELD_PROTOCOLS,
    USER_FIELD_NUMBER,
    USER_FIELD_TIME, /* Unix ms */
};

struct user_field {
    const char *name;
    enum user_field_kind kind;
    size_t offset; /* in struct store_user */
};

/* All properties that a file holds, the name first. */
const struct user_field *user_fields(size_t *ret_n);
/* NULL when there is none of that name. */
const struct user_field *user_field_find(struct str name);
/* Appends the value's text; nothing when it is not set. */
int user_field_format(const struct user_field *f, const struct store_user *u,
                      struct buf *out) NODISCARD;

/* Users and problems of a text that is being read. */
struct user_reader {
    struct store_user *users;
    size_t n, cap;
    struct map seen; /* names: indexes into users may move, the names do not */
    struct buf *errors;
    size_t n_errors;
    bool is_out_of_memory;
};

/* A sentence about a line. */
void user_reader_complain(struct user_reader *r, unsigned line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Begins the next user; NULL when out of memory. Valid until the next call. */
struct store_user *user_reader_begin(struct user_reader *r);
/* Sets a property from its text; an empty text leaves it unset. */
void user_reader_set(struct user_reader *r, unsigned line, const struct user_field *f,
                     struct str value);
/* Ends the user begun last: checks that it has a name of its own. */
void user_reader_end(struct user_reader *r, unsigned line);
