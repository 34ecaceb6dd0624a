/* SPDX-License-Identifier: ISC */
/* A growable byte buffer: append at the end, consume at the front. */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/str.h"

/* Zero-initialised is a valid empty buffer that holds no memory. */
struct buf {
    char *data;   /* allocation */
    size_t start; /* first unconsumed byte */
    size_t len;   /* unconsumed bytes */
    size_t cap;   /* allocated bytes */
};

#define BUF_INIT ((struct buf){0})
#define AUTO_BUF CLEANUP(buf_fini) struct buf
#define AUTO_SECRET_BUF CLEANUP(buf_wipe) struct buf

/* The next two, of a buffer that holds memory. */
void buf_free(struct buf *b);
void buf_wipe_free(struct buf *b);
/* Frees the memory; the buffer is empty and usable afterwards. Inline as most that a login ends
 * with hold none. */
static inline void buf_fini(struct buf *b)
{
    if (b->data)
        buf_free(b);
}
/* Overwrites the content, then frees. Also growth of a buffer wipes the old block, so a secret
 * never stays in freed memory. */
static inline void buf_wipe(struct buf *b)
{
    if (b->data)
        buf_wipe_free(b);
}
/* Forgets the content, keeps the memory. */
void buf_clear(struct buf *b);
/* Room for n more bytes after the content (moves content to the front or grows). */
int buf_reserve(struct buf *b, size_t n) NODISCARD;
/* Where n reserved bytes may be written; then call buf_commit. */
char *buf_tail(struct buf *b);
size_t buf_tail_room(const struct buf *b);
void buf_commit(struct buf *b, size_t n);
int buf_append(struct buf *b, const void *p, size_t n) NODISCARD;
int buf_append_str(struct buf *b, struct str s) NODISCARD;
int buf_append_c(struct buf *b, const char *s) NODISCARD;
int buf_append_char(struct buf *b, char c) NODISCARD;
/* Several texts one after the other; the list ends with NULL. */
int buf_append_list(struct buf *b, const char *const *texts) NODISCARD;
#define BUF_APPEND(b, ...) buf_append_list(b, (const char *const[]){__VA_ARGS__, NULL})
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3))) NODISCARD;
int buf_vprintf(struct buf *b, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0))) NODISCARD;
/* Drops n (<= len) bytes at the front; an emptied buffer starts at the front again. */
void buf_consume(struct buf *b, size_t n);
/* Unconsumed content. */
static inline struct str buf_str(const struct buf *b)
{
    return (struct str){b->data ? b->data + b->start : NULL, b->len};
}
/* NUL-terminated view of the content (adds a NUL beyond len); NULL when out of memory. */
const char *buf_cstr(struct buf *b);
/* Owned NUL-terminated string; the buffer is empty afterwards. NULL when out of memory. */
char *buf_steal(struct buf *b);
