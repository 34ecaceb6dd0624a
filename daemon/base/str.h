/* SPDX-License-Identifier: ISC */
/* Borrowed byte slices and the small string functions that everybody needs. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"

/* A borrowed run of bytes; not NUL-terminated; p may be NULL when n is 0. */
struct str {
    const char *p;
    size_t n;
};

#define STR(literal) ((struct str){"" literal, sizeof(literal) - 1})
#define STR_NULL ((struct str){NULL, 0})
/* For printf("%.*s", STR_ARG(s)). */
#define STR_ARG(s) (int)(s).n, (s).p ? (s).p : ""

/* Slice of a C string (NULL gives an empty slice). */
static inline struct str str_of(const char *s)
{
    return (struct str){s, s ? strlen(s) : 0};
}

static inline struct str str_n(const void *p, size_t n)
{
    return (struct str){p, n};
}

/* At most the first n bytes of s. */
static inline struct str str_head(struct str s, size_t n)
{
    return (struct str){s.p, s.n < n ? s.n : n};
}

/* s without its first n (<= s.n) bytes; p may be NULL when n is 0. */
static inline struct str str_skip(struct str s, size_t n)
{
    return (struct str){n ? s.p + n : s.p, s.n - n};
}

/* Same bytes; not for secrets (str_eq_secret). */
bool str_eq(struct str a, struct str b);
/* The same of C strings, of which NULL is another one than "". */
static inline bool str_eq_c(const char *a, const char *b)
{
    return !a == !b && str_eq(str_of(a), str_of(b));
}
bool str_is_prefix(struct str s, struct str prefix);
/* ASCII case-insensitive comparison (never locale dependent). */
bool str_is_iprefix(struct str s, struct str prefix);
static inline bool str_ieq(struct str a, struct str b)
{
    return a.n == b.n && str_is_iprefix(a, b);
}
/* Which of these words is it, in any case? -1: none. */
ptrdiff_t str_find_among(struct str s, const char *const *words, size_t n);
static inline bool str_is_among(struct str s, const char *const *words, size_t n)
{
    return str_find_among(s, words, n) >= 0;
}
/* Without leading and trailing SP, HT, CR, LF. */
struct str str_trim(struct str s);
/* Cuts the part before the first `sep` off *s and returns it; *s becomes the rest (STR_NULL when
 * there was no sep). */
struct str str_cut(struct str *s, char sep);
/* Next word of *s separated by runs of SP and HT; empty when none is left. */
struct str str_word(struct str *s);
/* Index of c, or -1. */
ptrdiff_t str_index(struct str s, char c);
/* Index of the first run of bytes that is part, or -1. */
ptrdiff_t str_find(struct str s, struct str part);
/* True when the slice holds CR, LF or NUL: never allowed in a credential or a name that is sent on.
 */
bool str_has_crlf_nul(struct str s);
bool str_is_printable_ascii(struct str s);
bool str_is_utf8(struct str s);
/* Owned NUL-terminated copy (free()), NULL when out of memory. */
char *str_dup(struct str s);
/* strdup that accepts NULL (returns NULL). */
char *str_dup_c(const char *s);
/* Owned formatted string, NULL when out of memory. */
char *str_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Copies into dst (always NUL-terminated); returns false when it did not fit and was cut. */
bool str_copy(char *dst, size_t dst_size, struct str s);
/* Lower-cases ASCII in place. */
void str_lower(char *s);
/* Strict decimal number, digits only. 0 or -ERR_SYNTAX / -ERR_RANGE (above max). */
int str_to_u64(struct str s, uint64_t max, uint64_t *ret_value) NODISCARD;
/* Most digits that str_put_number writes in base 10, the least base. */
#define STR_NUMBER_MAX 20
/* Writes v in a base from 10 to 16, with zeros before it up to `width` digits, without NUL. Returns
 * where it ends; dst has room for STR_NUMBER_MAX or width. By hand because printf takes a thousand
 * instructions for it, and each login writes dozens of numbers. */
char *str_put_number(char *dst, uint64_t v, unsigned base, unsigned width);
/* Lower-case hex of n bytes into dst (2n+1 bytes). */
void str_hex(char *dst, const void *bytes, size_t n);
/* Shell-style wildcard match, ASCII case-insensitive: '*' and '?'. Linear-time (no exponential
 * backtracking). */
bool str_glob(struct str pattern, struct str s);
/* Nearest of n names to `word` by edit distance (at most 2 edits, fewer for short words); NULL when
 * none is near. names[i] may be NULL (skipped). */
const char *str_nearest(const char *word, const char *const *names, size_t n);
/* Constant-time comparison for secrets; the lengths are not secret. */
bool str_eq_secret(struct str a, struct str b);
/* Base64 (RFC 4648, padded). Encoded length is 4*((n+2)/3). */
struct buf;
int str_base64_encode(struct str in, struct buf *out) NODISCARD;
/* Strict decoding: correct padding, no foreign bytes. -ERR_SYNTAX otherwise. */
int str_base64_decode(struct str in, struct buf *out) NODISCARD;
