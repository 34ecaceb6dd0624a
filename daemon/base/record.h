/* SPDX-License-Identifier: ISC */
/* Records of byte strings one after another, between two programs of one machine: a kind, and
 * fields with their lengths in front. Numbers are fields of eight bytes in the machine's order. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define RECORD_FIELDS_MAX 12

struct record {
    uint32_t kind;
    uint32_t n;
    struct str v[RECORD_FIELDS_MAX];
};

/* Appends a record; -ERR_NOMEM, -ERR_TOO_LONG. */
int record_append(struct buf *out, const struct record *r) NODISCARD;
/* Takes the first record off *in; its fields point into it. -ERR_EOF at the end, -ERR_SYNTAX for
 * what is no record. */
int record_next(struct str *in, struct record *ret) NODISCARD;

/* A number as a field; borrowed from it. */
static inline struct str record_field(const uint64_t *number)
{
    return (struct str){(const char *)number, sizeof(*number)};
}
/* Field i as a number of at most max. -ERR_SYNTAX. */
int record_number(const struct record *r, size_t i, uint64_t max, uint64_t *ret) NODISCARD;
/* Field i as a text without NUL, owned; *ret is NULL for an empty one. -ERR_SYNTAX, -ERR_NOMEM. */
int record_text(const struct record *r, size_t i, char **ret) NODISCARD;
