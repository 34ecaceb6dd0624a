/* SPDX-License-Identifier: ISC */
/* What may be shown of commands before and during a login: judged by the protocols' tables of
 * verbs, in favour of the secret. */
#include "proto/redact.h"

#include "proto/line.h"
#include "proto/proto.h"

/* Names of the field that no client can use here, but asks for. */
static const char *const foreign_mechanisms[] = {
    "ANONYMOUS", "DIGEST-MD5",  "GS2-KRB5",         "GSSAPI",        "KERBEROS_V4",        "MSN",
    "NTLM",      "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-512", "SCRAM-SHA-512-PLUS", "SKEY",
};

/* A line that is being looked at. */
struct redact_line {
    struct str text; /* without its end, as far as it is there */
    size_t end;      /* bytes with the end; 0 = it is not whole */
    size_t at;       /* how far it was read */
};

static struct redact_line line_of(struct str in)
{
    const char *lf = in.n ? memchr(in.p, '\n', in.n) : NULL;
    size_t n = lf ? (size_t)(lf - in.p) : in.n;
    struct redact_line l = {.text = str_n(in.p, n), .end = lf ? n + 1 : 0};
    if (n > 0 && in.p[n - 1] == '\r')
        l.text.n--;
    return l;
}

/* The next word; false when it may still grow. */
static bool line_word(struct redact_line *l, struct str *ret)
{
    size_t from = l->at;
    while (l->at < l->text.n && l->text.p[l->at] != ' ')
        l->at++;
    *ret = str_n(l->text.p + from, l->at - from);
    return l->at < l->text.n || l->end;
}

static void line_skip_blanks(struct redact_line *l)
{
    while (l->at < l->text.n && l->text.p[l->at] == ' ')
        l->at++;
}

static bool line_is_over(const struct redact_line *l)
{
    return l->at == l->text.n && l->end;
}

static const struct redact_verb *verb_find(const struct proto *proto, struct str verb)
{
    for (const struct redact_verb *v = proto->redact_verbs; v->verb; v++)
        if (str_ieq(verb, str_of(v->verb)))
            return v;
    return NULL;
}

bool redact_is_login(const struct proto *proto, struct str verb)
{
    const struct redact_verb *v = verb_find(proto, verb);
    return v && v->args >= REDACT_FIRST;
}

/* ---- arguments: each returns how many bytes of the line may be shown ---- */

static size_t args_mechanism(struct redact_line *l)
{
    struct str name;
    line_skip_blanks(l);
    size_t at = l->at;
    bool is_known = false;
    if (line_is_over(l)) /* POP3's question which there are */
        return l->end;
    if (!line_word(l, &name))
        return at;
    if (name.n > 2 && name.p[0] == '"' && name.p[name.n - 1] == '"') /* ManageSieve */
        name = str_n(name.p + 1, name.n - 2);
    is_known = sasl_find(name) != SASL_NONE;
    for (size_t i = 0; i < ARRAY_LEN(foreign_mechanisms); i++)
        is_known = is_known || str_ieq(name, str_of(foreign_mechanisms[i]));
    if (!is_known)
        return at;
    at = l->at;
    line_skip_blanks(l);
    return line_is_over(l) ? l->end : l->at > at ? l->at : at;
}

/* Where a quoted string at `at` ends; 0 when it does not. */
static size_t quoted_end(struct str s, size_t at)
{
    for (size_t i = at + 1; i < s.n; i++) {
        if (s.p[i] == '\\')
            i++;
        else if (s.p[i] == '"')
            return i + 1;
    }
    return 0;
}

/* The first of several arguments: word, quoted string or literal, which goes on in the next line.
 */
static size_t args_first(struct redact_line *l, struct str in)
{
    struct str word;
    uint64_t size;
    bool is_sync;
    line_skip_blanks(l);
    size_t from = l->at, end = 0;
    if (line_is_over(l))
        return l->end;
    if (from < l->text.n && l->text.p[from] == '"') {
        end = quoted_end(l->text, from);
    } else if (line_word(l, &word) && line_is_over(l) && line_literal(word, &size, &is_sync) &&
               word.p[0] == '{') {
        if (size >= in.n - l->end)
            return l->end;
        end = l->end + (size_t)size;
        return in.p[end] == ' ' ? end + 1 : l->end;
    } else {
        end = l->at;
    }
    return end > from && end < l->text.n && l->text.p[end] == ' ' ? end + 1 : from;
}

/* ---- lines ---- */

static size_t line_public(const struct proto *proto, struct str in, bool is_exchange,
                          bool *ret_is_open)
{
    struct redact_line l = line_of(in);
    struct str tag, verb, name;
    *ret_is_open = false;
    if (proto->has_tags) {
        if (!line_word(&l, &tag) || tag.n == 0 || tag.n > 128 || !str_is_printable_ascii(tag) ||
            l.at == l.text.n)
            return 0;
        l.at++;
    }
    const struct redact_verb *v = line_word(&l, &verb) ? verb_find(proto, verb) : NULL;
    /* A response could be a verb by chance, but it has no blanks. */
    bool is_fit = !is_exchange || (v && v->args == REDACT_NOTHING && l.at < l.text.n);
    if (!v || !is_fit)
        return 0;
    size_t n = l.at + (l.at < l.text.n); /* one blank: the next may be the secret's */
    switch (v->args) {
    case REDACT_NO_ARGS:
        line_skip_blanks(&l);
        if (line_is_over(&l))
            n = l.end;
        break;
    case REDACT_ALL:
        n = l.end ? l.end : l.text.n;
        break;
    case REDACT_NAME:
        line_skip_blanks(&l);
        n = l.at;
        if (line_word(&l, &name))
            n = line_is_over(&l) ? l.end : l.at;
        break;
    case REDACT_MECHANISM:
        return args_mechanism(&l);
    case REDACT_FIRST:
        return args_first(&l, in);
    case REDACT_NOTHING:
        return n;
    }
    *ret_is_open = l.end && n == l.end;
    return n;
}

size_t redact_bytes(const struct proto *proto, struct str in, bool is_exchange)
{
    size_t n = 0;
    bool is_open = true;
    const struct redact_line l = line_of(in);
    /* "*" breaks a SASL exchange off. */
    if (is_exchange && l.end && (str_eq(l.text, STR("*")) || str_eq(l.text, STR("\"*\""))))
        return l.end;
    while (is_open && n < in.n)
        n += line_public(proto, str_skip(in, n), is_exchange, &is_open);
    return n;
}

/* ---- what peers repeat ---- */

static bool is_separator(char c)
{
    return (unsigned char)c <= ' ' || strchr("\"'()<>[]{}", c);
}

static struct str hidden_word(struct str *rest)
{
    while (rest->n > 0 && is_separator(rest->p[0]))
        *rest = str_skip(*rest, 1);
    size_t n = 0;
    while (n < rest->n && !is_separator(rest->p[n]))
        n++;
    struct str word = str_head(*rest, n);
    *rest = str_skip(*rest, n);
    return word;
}

size_t redact_count_words(struct str hidden)
{
    size_t n = 0;
    while (hidden_word(&hidden).n > 0)
        n++;
    return n;
}

/* Length of the longest hidden word at a place of the text; short ones count only as words of it.
 */
static size_t hidden_at(struct str text, size_t at, struct str hidden)
{
    struct str here = str_skip(text, at);
    size_t most = 0;
    for (struct str word = hidden_word(&hidden); word.n > 0; word = hidden_word(&hidden)) {
        bool is_word = (at == 0 || is_separator(text.p[at - 1])) &&
                       (word.n >= here.n || is_separator(here.p[word.n]));
        if (word.n > most && (word.n >= 4 || is_word) && str_is_prefix(here, word))
            most = word.n;
    }
    return most;
}

int redact_append(struct buf *out, struct str text, struct str hidden)
{
    int err = 0;
    if (hidden.n == 0)
        return buf_append_str(out, text);
    for (size_t i = 0; i < text.n && err == 0;) {
        size_t n = hidden_at(text, i, hidden);
        err = n ? buf_append_c(out, REDACT_STARS) : buf_append_char(out, text.p[i]);
        i += n ? n : 1;
    }
    return err;
}
