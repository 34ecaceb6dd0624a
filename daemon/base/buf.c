/* SPDX-License-Identifier: ISC */
/* Growable byte buffer. */
#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUF_MIN_CAP 64

/* ---- blocks: what is allocated, 64 bytes or twice, four times.. as many ---- */

#define BUF_SIZES 4 /* 64 to 512 bytes */
#ifdef __SANITIZE_ADDRESS__
#define BUF_KEPT 0 /* it sees the use of what was freed, not of what is kept */
#else
#define BUF_KEPT 64 /* of each size: 60 KiB of a thread in all */
#endif

/* The beginning of a block that is kept. */
struct buf_block {
    struct buf_block *next;
};

/* Small blocks of buffers that are gone, for the next ones of this thread: a login has two dozen,
 * and malloc and free take 150 instructions for each. */
static _Thread_local struct buf_kept {
    struct buf_block *top;
    unsigned n;
} buf_kept[BUF_SIZES];

/* NULL for a large block. */
static struct buf_kept *buf_kept_of(size_t cap)
{
    return cap < BUF_MIN_CAP << BUF_SIZES ? &buf_kept[__builtin_ctzl(cap / BUF_MIN_CAP)] : NULL;
}

static char *buf_block_new(size_t cap)
{
    struct buf_kept *k = buf_kept_of(cap);
    if (!k || !k->top)
        return malloc(cap);
    struct buf_block *block = k->top;
    k->top = block->next;
    k->n--;
    return (char *)block;
}

static void buf_block_free(char *data, size_t cap)
{
    struct buf_kept *k = buf_kept_of(cap);
    if (!k || k->n == BUF_KEPT) {
        free(data);
        return;
    }
    struct buf_block *block = (struct buf_block *)data;
    block->next = k->top;
    k->top = block;
    k->n++;
}

/* ---- the buffer ---- */

void buf_free(struct buf *b)
{
    buf_block_free(b->data, b->cap);
    *b = BUF_INIT;
}

void buf_wipe_free(struct buf *b)
{
    explicit_bzero(b->data, b->cap);
    buf_free(b);
}

void buf_clear(struct buf *b)
{
    b->start = 0;
    b->len = 0;
}

/* A new block instead of realloc: realloc may leave a copy of a secret behind in freed memory. */
static int buf_grow(struct buf *b, size_t cap)
{
    char *data = buf_block_new(cap);
    if (!data)
        return -ERR_NOMEM;
    if (b->data) {
        memcpy(data, b->data + b->start, b->len);
        explicit_bzero(b->data, b->cap);
        buf_block_free(b->data, b->cap);
    }
    b->data = data;
    b->start = 0;
    b->cap = cap;
    return 0;
}

/* Is there room for n more bytes as it is? An empty buffer has none. */
static inline bool buf_has_room(const struct buf *b, size_t n)
{
    return b->cap - b->start - b->len >= n;
}

int buf_reserve(struct buf *b, size_t n)
{
    if (n > SIZE_MAX / 4 - b->len)
        return -ERR_NOMEM;
    if (b->data && buf_has_room(b, n))
        return 0;
    if (b->data && b->cap - b->len >= n && b->start >= b->cap / 2) {
        memmove(b->data, b->data + b->start, b->len);
        b->start = 0;
        return 0;
    }
    size_t cap = b->cap ? b->cap : BUF_MIN_CAP;
    while (cap < b->len + n)
        cap *= 2;
    return buf_grow(b, cap);
}

char *buf_tail(struct buf *b)
{
    return b->data ? b->data + b->start + b->len : NULL;
}

size_t buf_tail_room(const struct buf *b)
{
    return b->cap - b->start - b->len;
}

void buf_commit(struct buf *b, size_t n)
{
    size_t room = buf_tail_room(b);
    b->len += n < room ? n : room;
}

int buf_append(struct buf *b, const void *p, size_t n)
{
    if (n == 0)
        return 0;
    if (!buf_has_room(b, n)) {
        int err = buf_reserve(b, n);
        if (err)
            return err;
    }
    memcpy(b->data + b->start + b->len, p, n);
    b->len += n;
    return 0;
}

int buf_append_str(struct buf *b, struct str s)
{
    return buf_append(b, s.p, s.n);
}

int buf_append_c(struct buf *b, const char *s)
{
    return buf_append(b, s, strlen(s));
}

int buf_append_char(struct buf *b, char c)
{
    if (!buf_has_room(b, 1))
        return buf_append(b, &c, 1);
    b->data[b->start + b->len++] = c;
    return 0;
}

int buf_append_list(struct buf *b, const char *const *texts)
{
    int err = 0;
    for (; *texts && err == 0; texts++)
        err = buf_append_c(b, *texts);
    return err;
}

int buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
    va_list copy;
    va_copy(copy, ap);
    int n = vsnprintf(NULL, 0, fmt, copy);
    va_end(copy);
    if (n < 0)
        return -ERR_INVAL;
    int err = buf_reserve(b, (size_t)n + 1);
    if (err)
        return err;
    vsnprintf(buf_tail(b), (size_t)n + 1, fmt, ap);
    b->len += (size_t)n;
    return 0;
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int err = buf_vprintf(b, fmt, ap);
    va_end(ap);
    return err;
}

void buf_consume(struct buf *b, size_t n)
{
    if (n >= b->len) {
        buf_clear(b);
        return;
    }
    b->start += n;
    b->len -= n;
}

const char *buf_cstr(struct buf *b)
{
    if (buf_reserve(b, 1))
        return NULL;
    *buf_tail(b) = '\0';
    return b->data + b->start;
}

char *buf_steal(struct buf *b)
{
    if (!buf_cstr(b))
        return NULL;
    if (b->start)
        memmove(b->data, b->data + b->start, b->len + 1);
    char *s = b->data;
    *b = BUF_INIT;
    return s;
}
