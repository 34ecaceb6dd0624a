/* SPDX-License-Identifier: ISC */
/* Byte slices and small string functions. */
#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"

static char str_lower_char(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool str_is_prefix(struct str s, struct str prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

bool str_is_iprefix(struct str s, struct str prefix)
{
    size_t i = 0;
    if (s.n < prefix.n)
        return false;
    while (i + 8 <= prefix.n && memcmp(s.p + i, prefix.p + i, 8) == 0) /* in the same case */
        i += 8;
    for (; i < prefix.n; i++)
        if (s.p[i] != prefix.p[i] && str_lower_char(s.p[i]) != str_lower_char(prefix.p[i]))
            return false;
    return true;
}

static bool str_is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct str str_trim(struct str s)
{
    while (s.n && str_is_space(s.p[0]))
        s = (struct str){s.p + 1, s.n - 1};
    while (s.n && str_is_space(s.p[s.n - 1]))
        s.n--;
    return s;
}

struct str str_cut(struct str *s, char sep)
{
    ptrdiff_t i = str_index(*s, sep);
    struct str head = *s;
    if (i < 0) {
        *s = STR_NULL;
        return head;
    }
    head.n = (size_t)i;
    *s = (struct str){s->p + i + 1, s->n - (size_t)i - 1};
    return head;
}

struct str str_word(struct str *s)
{
    struct str word = *s;
    while (word.n > 0 && (word.p[0] == ' ' || word.p[0] == '\t'))
        word = str_skip(word, 1);
    const char *blank = word.n > 0 ? memchr(word.p, ' ', word.n) : NULL;
    size_t n = blank ? (size_t)(blank - word.p) : word.n;
    const char *tab = n > 0 ? memchr(word.p, '\t', n) : NULL;
    n = tab ? (size_t)(tab - word.p) : n;
    *s = str_skip(word, n);
    word.n = n;
    return word;
}

ptrdiff_t str_index(struct str s, char c)
{
    const char *at = s.n ? memchr(s.p, c, s.n) : NULL;
    return at ? at - s.p : -1;
}

ptrdiff_t str_find(struct str s, struct str part)
{
    if (s.n == 0 || part.n == 0) /* memmem wants pointers also where there is nothing */
        return part.n == 0 ? 0 : -1;
    const char *at = memmem(s.p, s.n, part.p, part.n);
    return at ? at - s.p : -1;
}

bool str_has_crlf_nul(struct str s)
{
    if (str_is_printable_ascii(s)) /* as most are: one look instead of three */
        return false;
    return str_index(s, '\r') >= 0 || str_index(s, '\n') >= 0 || str_index(s, '\0') >= 0;
}

ptrdiff_t str_find_among(struct str s, const char *const *words, size_t n)
{
    char first = s.n > 0 ? str_lower_char(s.p[0]) : '\0';
    for (size_t i = 0; i < n; i++)
        if (str_lower_char(words[i][0]) == first && str_ieq(s, str_of(words[i])))
            return (ptrdiff_t)i;
    return -1;
}

/* Eight bytes at once: none has its high bit, gets it by one more (0x7f), or loses it, where it is
 * set, by 0x20 less (control bytes). */
static bool str_is_printable_word(const char *p)
{
    const uint64_t ones = 0x0101010101010101, high = 0x80 * ones;
    uint64_t w;
    memcpy(&w, p, sizeof(w));
    return ((w | (w + ones)) & high) == 0 && (((w | high) - 0x20 * ones) & high) == high;
}

bool str_is_printable_ascii(struct str s)
{
    size_t i = 0;
    for (; i + 8 <= s.n; i += 8)
        if (!str_is_printable_word(s.p + i))
            return false;
    if (s.n >= 8) /* some of the last eight were seen already */
        return str_is_printable_word(s.p + s.n - 8);
    for (; i < s.n; i++)
        if (s.p[i] < 0x20 || s.p[i] > 0x7e)
            return false;
    return true;
}

/* Length of the valid UTF-8 sequence at the start of s (no overlong forms, no surrogates), 0 when
 * there is none. */
static size_t str_utf8_len(struct str s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    if (p[0] < 0x80)
        return 1;
    size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || s.n < n)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return n;
}

bool str_is_utf8(struct str s)
{
    if (str_is_printable_ascii(s))
        return true;
    while (s.n) {
        size_t n = str_utf8_len(s);
        if (n == 0)
            return false;
        s = (struct str){s.p + n, s.n - n};
    }
    return true;
}

char *str_dup(struct str s)
{
    char *copy = malloc(s.n + 1);
    if (!copy)
        return NULL;
    if (s.n)
        memcpy(copy, s.p, s.n);
    copy[s.n] = '\0';
    return copy;
}

char *str_dup_c(const char *s)
{
    return s ? str_dup(str_of(s)) : NULL;
}

char *str_printf(const char *fmt, ...)
{
    struct buf b = BUF_INIT;
    va_list ap;
    va_start(ap, fmt);
    int err = buf_vprintf(&b, fmt, ap);
    va_end(ap);
    if (err) {
        buf_fini(&b);
        return NULL;
    }
    return buf_steal(&b);
}

bool str_copy(char *dst, size_t dst_size, struct str s)
{
    size_t n = s.n < dst_size ? s.n : dst_size - 1;
    if (n)
        memcpy(dst, s.p, n);
    dst[n] = '\0';
    return n == s.n;
}

void str_lower(char *s)
{
    for (; *s; s++)
        *s = str_lower_char(*s);
}

int str_to_u64(struct str s, uint64_t max, uint64_t *ret_value)
{
    uint64_t v = 0;
    if (s.n == 0)
        return -ERR_SYNTAX;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return -ERR_SYNTAX;
        unsigned digit = (unsigned)(s.p[i] - '0');
        if (v > (UINT64_MAX - digit) / 10)
            return -ERR_RANGE;
        v = v * 10 + digit;
    }
    if (v > max)
        return -ERR_RANGE;
    *ret_value = v;
    return 0;
}

static const char digits[] = "0123456789abcdef";

static inline char *str_put_digits(char *dst, uint64_t v, unsigned base, unsigned width)
{
    unsigned n = 1;
    for (uint64_t left = v; left >= base; left /= base)
        n++;
    n = n < width ? width : n;
    for (unsigned i = n; i-- > 0; v /= base)
        dst[i] = digits[v % base];
    return dst + n;
}

/* Each log line has several: no division by a register in the usual bases. */
char *str_put_number(char *dst, uint64_t v, unsigned base, unsigned width)
{
    return base == 10   ? str_put_digits(dst, v, 10, width)
           : base == 16 ? str_put_digits(dst, v, 16, width)
                        : str_put_digits(dst, v, base, width);
}

void str_hex(char *dst, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    for (size_t i = 0; i < n; i++) {
        dst[2 * i] = digits[p[i] >> 4];
        dst[2 * i + 1] = digits[p[i] & 15];
    }
    dst[2 * n] = '\0';
}

/* Greedy matching with one point to fall back to: the last star. */
bool str_glob(struct str pattern, struct str s)
{
    size_t p = 0, i = 0, star = SIZE_MAX, star_i = 0;
    while (i < s.n) {
        if (p < pattern.n && pattern.p[p] == '*') {
            star = p++;
            star_i = i;
        } else if (p < pattern.n && (pattern.p[p] == '?' ||
                                     str_lower_char(pattern.p[p]) == str_lower_char(s.p[i]))) {
            p++;
            i++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            i = ++star_i;
        } else {
            return false;
        }
    }
    while (p < pattern.n && pattern.p[p] == '*')
        p++;
    return p == pattern.n;
}

#define STR_NEAREST_MAX 63

/* Edit distance of two words of at most STR_NEAREST_MAX bytes (Levenshtein, one row). */
static size_t str_distance(struct str a, struct str b)
{
    size_t row[STR_NEAREST_MAX + 1];
    for (size_t j = 0; j <= b.n; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            size_t change = diagonal + (str_lower_char(a.p[i - 1]) != str_lower_char(b.p[j - 1]));
            diagonal = row[j];
            size_t best = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            row[j] = change < best ? change : best;
        }
    }
    return row[b.n];
}

const char *str_nearest(const char *word, const char *const *names, size_t n)
{
    struct str w = str_of(word);
    if (w.n == 0 || w.n > STR_NEAREST_MAX)
        return NULL;
    size_t best = w.n <= 3 ? 2 : 3;
    const char *nearest = NULL;
    for (size_t i = 0; i < n; i++) {
        struct str name = str_of(names[i]);
        if (name.n == 0 || name.n > STR_NEAREST_MAX)
            continue;
        size_t d = str_distance(w, name);
        if (d < best) {
            best = d;
            nearest = names[i];
        }
    }
    return nearest;
}

bool str_eq_secret(struct str a, struct str b)
{
    if (a.n != b.n)
        return false;
    volatile unsigned char diff = 0;
    for (size_t i = 0; i < a.n; i++)
        diff = (unsigned char)(diff | (a.p[i] ^ b.p[i]));
    return diff == 0;
}

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int str_base64_encode(struct str in, struct buf *out)
{
    int err = buf_reserve(out, 4 * ((in.n + 2) / 3));
    if (err)
        return err;
    const unsigned char *p = (const unsigned char *)in.p;
    for (size_t i = 0; i < in.n; i += 3) {
        size_t left = in.n - i;
        uint32_t v = (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
                     (left > 2 ? p[i + 2] : 0);
        char *dst = buf_tail(out);
        dst[0] = base64_digits[v >> 18];
        dst[1] = base64_digits[v >> 12 & 63];
        dst[2] = left > 1 ? base64_digits[v >> 6 & 63] : '=';
        dst[3] = left > 2 ? base64_digits[v & 63] : '=';
        buf_commit(out, 4);
    }
    return 0;
}

/* Values of the base64 digits, plus one; 0 for any other byte. */
static const uint8_t base64_values[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,
    ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16,
    ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
    ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32,
    ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
    ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
    ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
    ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['+'] = 63, ['/'] = 64};

/* One group of four digits. dst has room for three bytes. */
static int base64_decode_group(const char *p, char *dst)
{
    const unsigned char *digit = (const unsigned char *)p;
    unsigned a = base64_values[digit[0]], b = base64_values[digit[1]], c = base64_values[digit[2]],
             d = base64_values[digit[3]];
    if (!a || !b || !c || !d)
        return -ERR_SYNTAX;
    uint32_t v = (a - 1) << 18 | (b - 1) << 12 | (c - 1) << 6 | (d - 1);
    dst[0] = (char)(v >> 16);
    dst[1] = (char)(v >> 8);
    dst[2] = (char)v;
    return 0;
}

int str_base64_decode(struct str in, struct buf *out)
{
    if (in.n % 4)
        return -ERR_SYNTAX;
    size_t padding = in.n == 0 || in.p[in.n - 1] != '=' ? 0 : in.p[in.n - 2] == '=' ? 2 : 1;
    size_t whole = padding ? in.n - 4 : in.n;
    int err = buf_reserve(out, in.n / 4 * 3);
    char *dst = buf_tail(out);
    for (size_t i = 0; err == 0 && i < whole; i += 4, dst += 3)
        err = base64_decode_group(in.p + i, dst);
    if (err == 0 && padding) {
        char last[4] = {'A', 'A', 'A', 'A'};
        memcpy(last, in.p + whole, 4 - padding);
        err = base64_decode_group(last, dst);
        /* Unused bits must be zero, so that a text has one decoding. */
        if (err == 0 && (dst[2] || (padding == 2 && dst[1])))
            err = -ERR_SYNTAX;
    }
    if (err == 0)
        buf_commit(out, in.n / 4 * 3 - padding);
    return err;
}
