/* SPDX-License-Identifier: ISC */
/* The strings and atoms of ManageSieve (RFC 5804 section 4). */
#include "proto/line.h"
#include "proto/sieve/sieve.h"

static struct str sieve_skip(struct str in, size_t n)
{
    return str_n(in.p + n, in.n - n);
}

static int sieve_cut_quoted(struct str *in, struct buf *ret)
{
    struct str rest = sieve_skip(*in, 1);
    while (rest.n > 0) {
        char c = rest.p[0];
        if (c == '"') {
            *in = sieve_skip(rest, 1);
            return 0;
        }
        if (c == '\\' && rest.n > 1) {
            rest = sieve_skip(rest, 1);
            c = rest.p[0];
        }
        if (c == '\0' || c == '\r' || c == '\n')
            return -ERR_SYNTAX;
        if (buf_append_char(ret, c) < 0)
            return -ERR_NOMEM;
        rest = sieve_skip(rest, 1);
    }
    return -ERR_SYNTAX;
}

static int sieve_cut_literal(struct str *in, struct buf *ret)
{
    struct str rest = *in, line;
    size_t used;
    uint64_t size;
    bool is_sync;
    if (line_cut(rest, rest.n, &line, &used, NULL) < 0 || !line_literal(line, &size, &is_sync))
        return -ERR_SYNTAX;
    /* the announcement is all of this line */
    if (str_index(sieve_skip(line, 1), '{') >= 0)
        return -ERR_SYNTAX;
    rest = sieve_skip(rest, used);
    if (size > rest.n)
        return -ERR_SYNTAX;
    if (buf_append(ret, rest.p, (size_t)size) < 0)
        return -ERR_NOMEM;
    *in = sieve_skip(rest, (size_t)size);
    return 0;
}

int sieve_cut_string(struct str *in, struct buf *ret)
{
    buf_clear(ret);
    if (in->n > 0 && in->p[0] == '"')
        return sieve_cut_quoted(in, ret);
    if (in->n > 0 && in->p[0] == '{')
        return sieve_cut_literal(in, ret);
    return -ERR_SYNTAX;
}

bool sieve_cut_blank(struct str *in)
{
    size_t n = 0;
    while (n < in->n && (in->p[n] == ' ' || in->p[n] == '\t'))
        n++;
    *in = str_skip(*in, n);
    return n > 0 && in->n > 0;
}

struct str sieve_cut_atom(struct str *in)
{
    size_t n = 0;
    while (n < in->n && (unsigned char)in->p[n] > ' ' && in->p[n] != 0x7f &&
           !strchr("\"(){", in->p[n]))
        n++;
    struct str atom = str_n(in->p, n);
    *in = str_skip(*in, n);
    return atom;
}

static int sieve_append_quoted(struct buf *out, struct str value)
{
    if (buf_append_char(out, '"') < 0)
        return -ERR_NOMEM;
    for (size_t i = 0; i < value.n; i++) {
        if ((value.p[i] == '"' || value.p[i] == '\\') && buf_append_char(out, '\\') < 0)
            return -ERR_NOMEM;
        if (buf_append_char(out, value.p[i]) < 0)
            return -ERR_NOMEM;
    }
    return buf_append_char(out, '"');
}

int sieve_append_string(struct buf *out, struct str value, bool is_client)
{
    if (value.n <= SIEVE_QUOTED_MAX && !str_has_crlf_nul(value))
        return sieve_append_quoted(out, value);
    if (buf_printf(out, is_client ? "{%zu+}\r\n" : "{%zu}\r\n", value.n) < 0)
        return -ERR_NOMEM;
    return buf_append_str(out, value);
}

struct str sieve_chomp(struct str command)
{
    if (command.n > 0 && command.p[command.n - 1] == '\n')
        command.n--;
    if (command.n > 0 && command.p[command.n - 1] == '\r')
        command.n--;
    return command;
}
