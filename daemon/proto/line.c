/* SPDX-License-Identifier: ISC */
/* Cutting a byte stream into lines and IMAP-style literals. */
#include "proto/line.h"

int line_cut(struct str in, size_t max, struct str *ret_line, size_t *ret_consumed,
             bool *is_bare_lf)
{
    /* Nothing beyond max, CR and LF can still be part of an acceptable line: do not look further.
     */
    size_t window = in.n;
    if (max < SIZE_MAX - 2 && window > max + 2)
        window = max + 2;
    const char *lf = window ? memchr(in.p, '\n', window) : NULL;
    if (!lf) {
        bool may_end = window <= max || (window == max + 1 && in.p[max] == '\r');
        return may_end ? -ERR_AGAIN : -ERR_TOO_LONG;
    }
    size_t n = (size_t)(lf - in.p);
    bool has_cr = n > 0 && in.p[n - 1] == '\r';
    if (n - has_cr > max)
        return -ERR_TOO_LONG;
    *ret_line = str_n(in.p, n - has_cr);
    *ret_consumed = n + 1;
    if (is_bare_lf)
        *is_bare_lf = !has_cr;
    return 0;
}

bool line_literal(struct str line, uint64_t *ret_size, bool *ret_is_sync)
{
    size_t end = line.n;
    if (end < 3 || line.p[end - 1] != '}')
        return false;
    end--;
    bool is_sync = line.p[end - 1] != '+' && line.p[end - 1] != '-';
    if (!is_sync)
        end--;
    size_t start = end;
    while (start > 0 && line.p[start - 1] >= '0' && line.p[start - 1] <= '9')
        start--;
    if (start == end || start == 0 || line.p[start - 1] != '{')
        return false;
    uint64_t size = 0;
    for (size_t i = start; i < end; i++) {
        uint64_t digit = (uint64_t)(line.p[i] - '0');
        if (__builtin_mul_overflow(size, 10, &size) || __builtin_add_overflow(size, digit, &size)) {
            size = UINT64_MAX;
            break;
        }
    }
    *ret_size = size;
    *ret_is_sync = is_sync;
    return true;
}

int line_cut_command(struct str in, size_t max_line, size_t max_literals, unsigned *invited,
                     size_t *ret_consumed, bool *ret_invite, bool *ret_is_sync)
{
    size_t pos = 0;
    unsigned n_sync = 0;
    *ret_invite = false;
    *ret_is_sync = false;
    for (;;) {
        struct str line;
        size_t used;
        uint64_t size;
        bool is_sync;
        int r = line_cut(str_skip(in, pos), max_line, &line, &used, NULL);
        if (r == -ERR_TOO_LONG) {
            *invited = 0;
            *ret_consumed = 0;
        }
        if (r < 0)
            return r;
        pos += used;
        max_line -= line.n;
        if (!line_literal(line, &size, &is_sync)) {
            *invited = 0;
            *ret_consumed = pos;
            return 0;
        }
        if (size > max_literals) {
            *invited = 0;
            *ret_is_sync = is_sync;
            *ret_consumed = is_sync ? pos : 0;
            return -ERR_TOO_LONG;
        }
        if (is_sync && n_sync++ >= *invited) {
            *invited = n_sync;
            *ret_invite = true;
            return -ERR_AGAIN;
        }
        if (in.n - pos < size)
            return -ERR_AGAIN;
        pos += (size_t)size;
        max_literals -= (size_t)size;
    }
}
