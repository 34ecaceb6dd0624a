/* SPDX-License-Identifier: ISC */
/* Reading SMTP replies: codes, lines and enhanced status codes. */
#include "proto/line.h"
#include "proto/smtp/smtp.h"

#define SMTP_REPLY_LINE_MAX 4096 /* RFC 5321 says 512; servers exceed it */
#define SMTP_REPLY_MAX (64 * 1024)

/* The code at the start of a line: three digits, then the end, a blank or '-'. */
static bool smtp_line_code(struct str line, unsigned *ret_code, bool *ret_is_last)
{
    if (line.n < 3 || line.p[0] < '2' || line.p[0] > '5')
        return false;
    unsigned code = 0;
    for (size_t i = 0; i < 3; i++) {
        if (line.p[i] < '0' || line.p[i] > '9')
            return false;
        code = code * 10 + (unsigned)(line.p[i] - '0');
    }
    if (line.n > 3 && line.p[3] != ' ' && line.p[3] != '-')
        return false;
    *ret_code = code;
    *ret_is_last = line.n == 3 || line.p[3] == ' ';
    return true;
}

int smtp_cut_reply(struct str in, struct smtp_reply *ret, size_t *ret_consumed)
{
    unsigned first = 0;
    for (size_t pos = 0; pos < SMTP_REPLY_MAX;) {
        struct str line;
        size_t used;
        unsigned code;
        bool is_last;
        int r = line_cut(str_skip(in, pos), SMTP_REPLY_LINE_MAX, &line, &used, NULL);
        if (r < 0)
            return r;
        bool is_good = smtp_line_code(line, &code, &is_last) && (pos == 0 || code == first);
        pos += used;
        if (!is_good) {
            *ret_consumed = pos;
            return -ERR_SYNTAX;
        }
        first = code;
        if (is_last) {
            *ret = (struct smtp_reply){.code = code, .body = str_n(in.p, pos)};
            *ret_consumed = pos;
            return 0;
        }
    }
    return -ERR_TOO_LONG;
}

bool smtp_next_text(struct str *body, struct str *ret_text)
{
    if (body->n == 0)
        return false;
    struct str line = str_cut(body, '\n');
    if (line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    *ret_text = line.n > 4 ? str_n(line.p + 4, line.n - 4) : STR_NULL;
    return true;
}

/* Length of "class.subject.detail" at the start of text, 0 when there is none. */
static size_t smtp_status_len(struct str text, unsigned class)
{
    if (text.n < 5 || (unsigned)(text.p[0] - '0') != class)
        return 0;
    size_t pos = 1;
    for (int part = 0; part < 2; part++) {
        if (pos >= text.n || text.p[pos] != '.')
            return 0;
        size_t start = ++pos;
        while (pos < text.n && pos - start < 3 && text.p[pos] >= '0' && text.p[pos] <= '9')
            pos++;
        if (pos == start)
            return 0;
    }
    return pos;
}

bool smtp_cut_status(struct str *text, unsigned code, struct str *ret_status)
{
    size_t n = smtp_status_len(*text, code / 100);
    if (n == 0 || (n < text->n && text->p[n] != ' '))
        return false;
    *ret_status = str_n(text->p, n);
    *text = n < text->n ? str_n(text->p + n + 1, text->n - n - 1) : STR_NULL;
    return true;
}

bool smtp_is_failure_code(struct str code)
{
    unsigned number;
    bool is_last;
    if (!smtp_line_code(code, &number, &is_last) || number < 400 || !is_last)
        return false;
    if (code.n == 3)
        return true;
    struct str status = str_n(code.p + 4, code.n - 4);
    size_t n = smtp_status_len(status, number / 100);
    return n > 0 && n == status.n;
}
