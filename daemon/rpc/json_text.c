/* SPDX-License-Identifier: ISC */
/* Writing JSON into buffers. */
#include "rpc/json_text.h"

#include "proto/reply.h"

#define JSON_NUMBER_MAX 20

static int json_append(const char *data, size_t n, void *arg)
{
    return buf_append(arg, data, n) < 0 ? -1 : 0;
}

char *json_text_take(json_t *v)
{
    char *text = v ? json_dumps(v, JSON_COMPACT) : NULL;
    json_decref(v);
    return text;
}

int json_text_value(struct buf *out, const json_t *v)
{
    int failed = json_dump_callback(v, json_append, out, JSON_COMPACT | JSON_ENCODE_ANY);
    return failed ? -ERR_NOMEM : 0;
}

int json_text_members(struct buf *out, const json_t *array)
{
    size_t i;
    json_t *v;
    json_array_foreach ((json_t *)array, i, v) {
        int err = i > 0 ? buf_append_char(out, ',') : 0;
        if (err == 0)
            err = json_text_value(out, v);
        if (err < 0)
            return err;
    }
    return 0;
}

int json_text_key(struct buf *out, const char *name, bool is_first)
{
    size_t n = strlen(name);
    int err = buf_reserve(out, n + 4);
    if (err < 0)
        return err;
    char *p = buf_tail(out), *begin = p;
    if (!is_first)
        *p++ = ',';
    *p++ = '"';
    memcpy(p, name, n);
    p += n;
    *p++ = '"';
    *p++ = ':';
    buf_commit(out, (size_t)(p - begin));
    return 0;
}

static int json_escaped(struct buf *out, struct str s)
{
    int err = 0;
    while (err == 0 && s.n > 0) {
        size_t n = 0; /* bytes that need no escape */
        while (n < s.n && (unsigned char)s.p[n] >= 0x20 && s.p[n] != '"' && s.p[n] != '\\')
            n++;
        err = n > 0 ? buf_append(out, s.p, n) : 0;
        if (err == 0 && n < s.n) {
            bool is_control = (unsigned char)s.p[n] < 0x20;
            err = is_control ? buf_printf(out, "\\u%04x", (unsigned char)s.p[n])
                             : buf_printf(out, "\\%c", s.p[n]);
            n++;
        }
        s = str_n(s.p + n, s.n - n);
    }
    return err;
}

int json_text_string(struct buf *out, struct str s)
{
    AUTO_BUF clean = BUF_INIT;
    if (!str_is_utf8(s)) {
        int err = reply_append_clean(&clean, s, s.n);
        if (err < 0)
            return err;
        s = buf_str(&clean);
    }
    int err = buf_append_char(out, '"');
    if (err == 0)
        err = json_escaped(out, s);
    return err == 0 ? buf_append_char(out, '"') : err;
}

int json_text_number(struct buf *out, uint64_t v)
{
    char digits[JSON_NUMBER_MAX], *p = digits + sizeof(digits);
    v = v > INT64_MAX ? INT64_MAX : v;
    do
        *--p = (char)('0' + v % 10);
    while (v /= 10);
    return buf_append(out, p, (size_t)(digits + sizeof(digits) - p));
}
