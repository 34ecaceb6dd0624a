/* SPDX-License-Identifier: ISC */
/* Widths and escapes of UTF-8 text. */
#include "ctl/output_text.h"

#include <stdint.h>

/* One character of UTF-8; returns its length, 0 for a broken one. */
static size_t output_text_char(struct str s, uint32_t *ret)
{
    unsigned char c = (unsigned char)s.p[0];
    size_t n = c < 0x80                ? 1
               : c >= 0xc2 && c < 0xe0 ? 2
               : (c & 0xf0) == 0xe0    ? 3
               : c >= 0xf0 && c < 0xf5 ? 4
                                       : 0;
    if (n == 0 || n > s.n || !str_is_utf8((struct str){s.p, n}))
        return 0;
    uint32_t v = n == 1 ? c : c & (0x7fu >> n);
    for (size_t i = 1; i < n; i++)
        v = v << 6 | ((unsigned char)s.p[i] & 0x3f);
    *ret = v;
    return n;
}

struct range {
    uint32_t first, last;
};

static bool output_text_in(uint32_t c, const struct range *ranges, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (c >= ranges[i].first && c <= ranges[i].last)
            return true;
    return false;
}

static int output_text_columns(uint32_t c)
{
    static const struct range zero[] = {
        {0x300, 0x36f},   {0x483, 0x489},   {0x591, 0x5bd},   {0x610, 0x61a},   {0x64b, 0x65f},
        {0x900, 0x902},   {0xe31, 0xe31},   {0xe34, 0xe3a},   {0xe47, 0xe4e},   {0x1ab0, 0x1aff},
        {0x1dc0, 0x1dff}, {0x200b, 0x200d}, {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f},
    };
    static const struct range two[] = {
        {0x1100, 0x115f},   {0x2e80, 0x303e},   {0x3041, 0xa4cf},   {0xac00, 0xd7a3},
        {0xf900, 0xfaff},   {0xfe30, 0xfe6f},   {0xff00, 0xff60},   {0xffe0, 0xffe6},
        {0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff}, {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd},
    };
    if (output_text_in(c, zero, ARRAY_LEN(zero)))
        return 0;
    return output_text_in(c, two, ARRAY_LEN(two)) ? 2 : 1;
}

int output_text_width(struct str s)
{
    int width = 0;
    while (s.n) {
        uint32_t c;
        size_t n = output_text_char(s, &c);
        width += n ? output_text_columns(c) : 1;
        n = n ? n : 1;
        s = (struct str){s.p + n, s.n - n};
    }
    return width;
}

/* Control characters, and marks that turn the direction of writing. */
static bool output_text_is_unsafe(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x61c || c == 0x200e || c == 0x200f ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

int output_text_clean(struct buf *out, struct str s)
{
    int err = 0;
    while (s.n && !err) {
        uint32_t c;
        size_t n = output_text_char(s, &c);
        if (n == 0) {
            n = 1;
            err = buf_printf(out, "\\x%02x", (unsigned char)s.p[0]);
        } else if (c == '\n' || c == '\t' || c == '\r') {
            err = buf_printf(out, "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
        } else if (output_text_is_unsafe(c)) {
            err = buf_printf(out, c < 0x100 ? "\\x%02x" : "\\u%04x", c);
        } else {
            err = buf_append(out, s.p, n);
        }
        s = (struct str){s.p + n, s.n - n};
    }
    return err;
}

int output_text_ascii(struct buf *out, struct str s)
{
    int err = 0;
    while (s.n && !err) {
        uint32_t c = 0;
        size_t n = output_text_char(s, &c);
        if (n <= 1)
            err = n && c < 0x80 ? buf_append_char(out, (char)c)
                                : buf_printf(out, "\\x%02x", (unsigned char)s.p[0]);
        else
            err = buf_printf(out, c > 0xffff ? "\\U%08x" : "\\u%04x", c);
        n = n ? n : 1;
        s = (struct str){s.p + n, s.n - n};
    }
    return err;
}

int output_text_cut(struct buf *out, struct str s, int width, bool is_utf8)
{
    int used = 0;
    bool is_cut = output_text_width(s) > width;
    int room = is_cut ? width - 1 : width;
    while (s.n) {
        uint32_t c;
        size_t n = output_text_char(s, &c);
        int columns = n ? output_text_columns(c) : 1;
        n = n ? n : 1;
        if (used + columns > room)
            break;
        if (buf_append(out, s.p, n))
            return used;
        used += columns;
        s = (struct str){s.p + n, s.n - n};
    }
    if (is_cut && width > 0 && buf_append_c(out, is_utf8 ? "\u2026" : "~") == 0)
        used++;
    return used;
}

size_t output_text_fit(struct str s, int width)
{
    size_t fits = 0;
    for (size_t n = 0; n <= s.n; n++) {
        if (n < s.n && s.p[n] != ' ')
            continue;
        if (fits > 0 && output_text_width(str_n(s.p, n)) > width)
            break;
        fits = n;
    }
    return fits;
}
