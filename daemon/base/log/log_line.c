/* SPDX-License-Identifier: ISC */
/* Formatting of log events. */
#include "base/log/log_line.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"

/* Kept free at the end: closing quote, brace, LF and the mark of a cut. */
#define LOG_TAIL 16
/* A field begins only where there is so much left: all of a number, a word or an address. */
#define LOG_FIELD_ROOM (8 + ADDR_TEXT_MAX)

static inline bool log_put(struct log_line *l, const char *p, size_t n)
{
    if (l->n + n > LOG_LINE_MAX - LOG_TAIL)
        return false;
    memcpy(l->text + l->n, p, n);
    l->n += n;
    return true;
}

static inline bool log_put_str(struct log_line *l, struct str s)
{
    return log_put(l, s.p, s.n);
}

/* Inline: mostly of a literal, whose length is a constant then. */
static inline bool log_put_c(struct log_line *l, const char *s)
{
    return log_put(l, s, strlen(s));
}

/* Escape of one byte; "" = as it is. Control bytes, quotes, backslashes, DEL. JSON has no \x, so it
 * gets \u00NN. */
static void log_escape(char dst[8], unsigned char c, enum log_format format)
{
    dst[0] = '\0';
    if (c == '"' || c == '\\')
        snprintf(dst, 8, "\\%c", c);
    else if (c == '\n')
        snprintf(dst, 8, "\\n");
    else if (c == '\r')
        snprintf(dst, 8, "\\r");
    else if (c < 0x20 || c >= 0x7f)
        snprintf(dst, 8, format == LOG_FORMAT_JSON ? "\\u%04x" : "\\x%02x", c);
}

/* Writes an escaped value; UTF-8 passes when the whole value is valid, else its high bytes are
 * escaped. */
static void log_put_value(struct log_line *l, struct str s, enum log_format format)
{
    bool is_utf8 = str_is_utf8(s);
    char escape[8];
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        log_escape(escape, c, format);
        bool is_plain = escape[0] == '\0' || (c >= 0x80 && is_utf8);
        size_t step = 1;
        /* A multi-byte character goes in whole or not at all. */
        while (is_plain && c >= 0x80 && i + step < s.n &&
               ((unsigned char)s.p[i + step] & 0xc0) == 0x80)
            step++;
        bool ok = is_plain ? log_put(l, s.p + i, step) : log_put_c(l, escape);
        if (!ok) {
            memcpy(l->text + l->n, "...", 3);
            l->n += 3;
            return;
        }
        i += step - 1;
    }
}

/* Bytes of a value that stands without quotes: printable ASCII but for quote, backslash and "=". */
static const bool log_is_bare[256] = {
    ['!'] = true, ['#' ... '<'] = true, ['>' ... '['] = true, [']' ... '~'] = true};

/* Looks at the bytes while it copies them; false when some want quotes, or do not fit. */
static bool log_put_bare(struct log_line *l, struct str s)
{
    char *dst = l->text + l->n;
    if (s.n > LOG_LINE_MAX - LOG_TAIL - l->n)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (!log_is_bare[(unsigned char)s.p[i]])
            return false;
        dst[i] = s.p[i];
    }
    l->n += s.n;
    return true;
}

static void log_put_string(struct log_line *l, struct str s, enum log_format format)
{
    bool has_quotes = format == LOG_FORMAT_JSON || s.n == 0;
    if (!has_quotes && log_put_bare(l, s)) /* nothing in it wants an escape either */
        return;
    for (size_t i = 0; i < s.n && !has_quotes; i++)
        has_quotes = !log_is_bare[(unsigned char)s.p[i]];
    if (has_quotes && !log_put_c(l, "\""))
        return;
    log_put_value(l, s, format);
    if (has_quotes)
        l->text[l->n++] = '"'; /* in the reserved tail */
}

/* Needs no escape. */
static void log_put_word(struct log_line *l, struct str s, enum log_format format)
{
    bool has_quotes = format == LOG_FORMAT_JSON;
    if (has_quotes)
        log_put(l, "\"", 1);
    log_put_str(l, s);
    if (has_quotes)
        l->text[l->n++] = '"'; /* in the reserved tail */
}

static void log_put_field(struct log_line *l, const struct log_field *f, enum log_format format)
{
    char number[STR_NUMBER_MAX + 8], *end = number, address[ADDR_TEXT_MAX];
    switch (f->type) {
    case LOG_F_WORD:
        log_put_word(l, str_of(f->s), format);
        return;
    case LOG_F_ADDR:
        addr_format(address, f->addr);
        log_put_word(l, str_of(address), format);
        return;
    case LOG_F_STR:
        log_put_string(l, str_of(f->s), format);
        return;
    case LOG_F_STRN:
        log_put_string(l, str_n(f->s, f->u), format);
        return;
    case LOG_F_ERR:
        log_put_string(l, str_of(err_text((int)(int64_t)f->u)), format);
        return;
    case LOG_F_U64:
        end = str_put_number(end, f->u, 10, 0);
        break;
    case LOG_F_I64:
        if ((int64_t)f->u < 0)
            *end++ = '-';
        end = str_put_number(end, (int64_t)f->u < 0 ? 0 - f->u : f->u, 10, 0);
        break;
    case LOG_F_MS:
        end = str_put_number(end, f->u / 1000, 10, 0);
        *end++ = '.';
        end = str_put_number(end, f->u % 1000, 10, 3);
        break;
    }
    log_put(l, number, (size_t)(end - number));
}

static void log_line_head(struct log_line *l, enum log_format format, uint64_t wall_ms,
                          enum log_level level, const char *event)
{
    char time[25];
    clock_format(time, wall_ms);
    static const struct str frames[][4] = {
        [LOG_FORMAT_JSON] = {STR("{\"time\":\""), STR("\",\"level\":\""), STR("\",\"event\":\""),
                             STR("\"")},
        [LOG_FORMAT_TEXT] = {STR(""), STR(" "), STR(" "), STR("")}};
    const struct str *frame = frames[format];
    l->n = 0;
    log_put_str(l, frame[0]);
    log_put_str(l, str_n(time, sizeof(time) - 1));
    log_put_str(l, frame[1]);
    log_put_str(l, str_of(log_level_name(level)));
    log_put_str(l, frame[2]);
    l->body = format == LOG_FORMAT_JSON ? 0 : l->n;
    log_put_str(l, str_of(event));
    log_put_str(l, frame[3]);
}

void log_line_make(struct log_line *line, enum log_format format, uint64_t wall_ms,
                   enum log_level level, const char *event, const struct log_field *fields,
                   size_t n)
{
    log_line_head(line, format, wall_ms, level, event);
    for (size_t i = 0; i < n; i++) {
        const struct log_field *f = &fields[i];
        bool is_text = f->type == LOG_F_STR || f->type == LOG_F_WORD;
        if ((is_text && !f->s) || (f->type == LOG_F_ADDR && !f->addr))
            continue;
        /* A field that does not fit any more is left out whole: half a JSON member would spoil the
         * line. */
        if (line->n + f->key_n + LOG_FIELD_ROOM > LOG_LINE_MAX - LOG_TAIL)
            continue;
        char *dst = line->text + line->n;
        *dst++ = format == LOG_FORMAT_JSON ? ',' : ' ';
        if (format == LOG_FORMAT_JSON)
            *dst++ = '"';
        dst = mempcpy(dst, f->key, f->key_n);
        if (format == LOG_FORMAT_JSON)
            *dst++ = '"';
        *dst++ = format == LOG_FORMAT_JSON ? ':' : '=';
        line->n = (size_t)(dst - line->text);
        log_put_field(line, f, format);
    }
    if (format == LOG_FORMAT_JSON)
        line->text[line->n++] = '}';
    line->text[line->n++] = '\n';
}
