/* SPDX-License-Identifier: ISC */
/* The strings that IMAP commands and responses are made of. */
#include "proto/imap/imap.h"

#include "proto/line.h"

/* Bytes that may stand in an astring without quotes (RFC 3501 ASTRING-CHAR): not ( ) { % * " \ */
static const bool imap_is_atom[256] = {['!'] = true,          ['#' ... '$'] = true,
                                       ['&' ... '\''] = true, ['+' ... '['] = true,
                                       [']' ... 'z'] = true,  ['|' ... '~'] = true};

static bool imap_is_atom_char(char c)
{
    return imap_is_atom[(unsigned char)c];
}

struct str imap_cut_atom(struct str *in)
{
    size_t n = 0;
    while (n < in->n && imap_is_atom_char(in->p[n]))
        n++;
    struct str atom = str_n(in->p, n);
    *in = str_n(in->n ? in->p + n : in->p, in->n - n);
    return atom;
}

bool imap_cut_blank(struct str *in)
{
    bool has_blank = false;
    while (in->n > 0 && in->p[0] == ' ') {
        has_blank = true;
        *in = str_n(in->p + 1, in->n - 1);
    }
    return has_blank;
}

static int imap_cut_quoted(struct str *in, struct buf *ret)
{
    size_t i = 1;
    buf_clear(ret);
    for (; i < in->n && in->p[i] != '"'; i++) {
        if (in->p[i] == '\\' && ++i == in->n)
            return -ERR_SYNTAX;
        char c = in->p[i];
        if (c == '\0' || c == '\r' || c == '\n')
            return -ERR_SYNTAX;
        if (buf_append_char(ret, c) < 0)
            return -ERR_NOMEM;
    }
    if (i >= in->n || !str_is_utf8(buf_str(ret)))
        return -ERR_SYNTAX;
    *in = str_n(in->p + i + 1, in->n - i - 1);
    return 0;
}

static int imap_cut_literal(struct str *in, struct buf *ret)
{
    struct str line;
    size_t used;
    uint64_t size;
    bool is_sync;
    if (line_cut(*in, SIZE_MAX, &line, &used, NULL) < 0 || !line_literal(line, &size, &is_sync))
        return -ERR_SYNTAX;
    /* the announcement must be all that is left of this line */
    if (str_index(line, '{') != 0 || (size_t)str_index(line, '}') != line.n - 1 ||
        in->n - used < size)
        return -ERR_SYNTAX;
    struct str octets = str_n(in->p + used, (size_t)size);
    if (str_index(octets, '\0') >= 0)
        return -ERR_SYNTAX;
    buf_clear(ret);
    if (buf_append_str(ret, octets) < 0)
        return -ERR_NOMEM;
    *in = str_n(octets.p + octets.n, in->n - used - octets.n);
    return 0;
}

int imap_cut_string(struct str *in, struct buf *ret)
{
    if (in->n > 0 && in->p[0] == '"')
        return imap_cut_quoted(in, ret);
    if (in->n > 0 && in->p[0] == '{')
        return imap_cut_literal(in, ret);
    return -ERR_SYNTAX;
}

int imap_cut_astring(struct str *in, struct buf *ret)
{
    if (in->n == 0 || !imap_is_atom_char(in->p[0]))
        return imap_cut_string(in, ret);
    struct str atom = imap_cut_atom(in);
    buf_clear(ret);
    return buf_append_str(ret, atom);
}

bool imap_cut_code(struct str *text, struct str *ret_code)
{
    ptrdiff_t end = str_index(*text, ']');
    if (text->n < 3 || text->p[0] != '[' || end < 2)
        return false;
    struct str code = str_n(text->p + 1, (size_t)end - 1);
    if (code.p[0] == ' ' || !str_is_printable_ascii(code))
        return false;
    *ret_code = code;
    *text = str_n(text->p + end + 1, text->n - (size_t)end - 1);
    (void)imap_cut_blank(text);
    return true;
}

bool imap_is_quotable(struct str value)
{
    return value.n <= IMAP_QUOTED_MAX && str_is_printable_ascii(value);
}

int imap_append_quoted(struct buf *out, struct str value)
{
    if (buf_reserve(out, 2 * value.n + 2) < 0)
        return -ERR_NOMEM;
    char *start = buf_tail(out), *dst = start;
    *dst++ = '"';
    for (size_t i = 0; i < value.n; i++) {
        char c = value.p[i] >= 0x20 && value.p[i] < 0x7f ? value.p[i] : '?';
        if (c == '"' || c == '\\')
            *dst++ = '\\';
        *dst++ = c;
    }
    *dst++ = '"';
    buf_commit(out, (size_t)(dst - start));
    return 0;
}

struct str imap_chomp(struct str command)
{
    if (command.n > 0 && command.p[command.n - 1] == '\n')
        command.n--;
    if (command.n > 0 && command.p[command.n - 1] == '\r')
        command.n--;
    return command;
}
