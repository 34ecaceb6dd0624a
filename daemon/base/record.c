/* SPDX-License-Identifier: ISC */
/* Writing and reading records; every length is checked against what is there. */
#include "base/record.h"

#include <string.h>

static int record_append_length(struct buf *out, size_t n)
{
    uint32_t length = (uint32_t)n;
    return n > UINT32_MAX ? -ERR_TOO_LONG : buf_append(out, &length, sizeof(length));
}

int record_append(struct buf *out, const struct record *r)
{
    int err = buf_append(out, &r->kind, sizeof(r->kind));
    if (err == 0)
        err = record_append_length(out, r->n);
    for (size_t i = 0; i < r->n && err == 0; i++) {
        err = record_append_length(out, r->v[i].n);
        if (err == 0)
            err = buf_append_str(out, r->v[i]);
    }
    return err;
}

static int record_take(struct str *in, size_t n, struct str *ret)
{
    if (in->n < n)
        return -ERR_SYNTAX;
    *ret = str_n(in->p, n);
    *in = str_n(in->p + n, in->n - n);
    return 0;
}

static int record_take_u32(struct str *in, uint32_t *ret)
{
    struct str bytes;
    if (record_take(in, sizeof(*ret), &bytes) < 0)
        return -ERR_SYNTAX;
    memcpy(ret, bytes.p, sizeof(*ret));
    return 0;
}

int record_next(struct str *in, struct record *ret)
{
    uint32_t length;
    if (in->n == 0)
        return -ERR_EOF;
    if (record_take_u32(in, &ret->kind) < 0 || record_take_u32(in, &ret->n) < 0 ||
        ret->n > RECORD_FIELDS_MAX)
        return -ERR_SYNTAX;
    for (size_t i = 0; i < ret->n; i++)
        if (record_take_u32(in, &length) < 0 || record_take(in, length, &ret->v[i]) < 0)
            return -ERR_SYNTAX;
    return 0;
}

int record_number(const struct record *r, size_t i, uint64_t max, uint64_t *ret)
{
    uint64_t number;
    if (i >= r->n || r->v[i].n != sizeof(number))
        return -ERR_SYNTAX;
    memcpy(&number, r->v[i].p, sizeof(number));
    if (number > max)
        return -ERR_SYNTAX;
    *ret = number;
    return 0;
}

int record_text(const struct record *r, size_t i, char **ret)
{
    if (i >= r->n || (r->v[i].n && memchr(r->v[i].p, '\0', r->v[i].n)))
        return -ERR_SYNTAX;
    *ret = r->v[i].n ? str_dup(r->v[i]) : NULL;
    return r->v[i].n && !*ret ? -ERR_NOMEM : 0;
}
