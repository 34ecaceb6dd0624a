/* SPDX-License-Identifier: ISC */
/* What may be shown of a relay: a client that logs in again, after UNAUTHENTICATE or over a relay
 * without login, sends secrets there too. */
#include "base/cleanup.h"
#include "proto/proto.h"
#include "proto/redact.h"

void redact_relay_init(struct redact_relay *r, const struct proto *proto, bool is_between,
                       struct str verb)
{
    *r = (struct redact_relay){.proto = proto};
    r->is_login = !is_between && redact_is_login(proto, verb);
    r->is_line_hidden = !is_between;
}

struct relay_out {
    struct buf *buf;
    bool is_masked; /* the last thing are stars */
    bool has_stars;
    int err;
};

static void relay_show(struct relay_out *o, struct str bytes)
{
    o->is_masked = false;
    if (o->err == 0)
        o->err = buf_append_str(o->buf, bytes);
}

static void relay_hide(struct relay_out *o)
{
    if (!o->is_masked && o->err == 0)
        o->err = buf_append_c(o->buf, REDACT_STARS);
    o->is_masked = o->has_stars = true;
}

/* The next word of a line's start; false when it may still grow. */
static bool relay_word(struct str *rest, struct str *ret)
{
    size_t n = 0;
    while (rest->n > 0 && (rest->p[0] == ' ' || rest->p[0] == '\t'))
        *rest = str_skip(*rest, 1);
    while (n < rest->n && !strchr(" \t\r\n", rest->p[n]))
        n++;
    *ret = str_head(*rest, n);
    *rest = str_skip(*rest, n);
    return rest->n > 0;
}

/* Looks at the start of a line with one byte more. */
static void relay_head(struct redact_relay *r, char c, struct relay_out *o)
{
    struct str verb;
    r->head[r->n_head++] = c;
    struct str head = str_n(r->head, r->n_head), rest = head;
    bool is_whole = (!r->proto->has_tags || relay_word(&rest, &verb)) && relay_word(&rest, &verb);
    bool is_line = c == '\n';
    if (!is_whole && !is_line && r->n_head < sizeof(r->head))
        return;
    if (is_whole || is_line)
        relay_show(o, head);
    else
        relay_hide(o);
    r->is_login = is_whole && !is_line && redact_is_login(r->proto, verb);
    r->is_line_shown = is_whole && !is_line;
    r->is_line_hidden = !is_whole && !is_line;
    r->n_head = 0;
}

/* Takes some of the bytes, at least one; returns how many. */
static size_t relay_some(struct redact_relay *r, struct str bytes, struct relay_out *o)
{
    if (r->is_login) {
        relay_hide(o);
        return bytes.n;
    }
    if (!r->is_line_shown && !r->is_line_hidden) {
        relay_head(r, bytes.p[0], o);
        return 1;
    }
    const char *lf = memchr(bytes.p, '\n', bytes.n);
    size_t n = lf ? (size_t)(lf - bytes.p) + 1 : bytes.n;
    if (r->is_line_hidden)
        relay_hide(o);
    else
        relay_show(o, str_head(bytes, n));
    if (lf)
        r->is_line_shown = r->is_line_hidden = false;
    return n;
}

int redact_relay_client(struct redact_relay *r, struct str bytes, struct buf *out,
                        bool *ret_is_masked)
{
    struct relay_out o = {.buf = out};
    while (bytes.n > 0)
        bytes = str_skip(bytes, relay_some(r, bytes, &o));
    *ret_is_masked = o.has_stars;
    return o.err;
}

void redact_relay_login_over(struct redact_relay *r)
{
    if (r->is_login)
        r->is_login = r->is_line_shown = r->is_line_hidden = false;
}
