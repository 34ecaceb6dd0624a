/* SPDX-License-Identifier: ISC */
/* Abstract replies: default sentences, stable names, and making foreign text harmless. */
#include "proto/reply.h"

static const char *const reply_texts[REPLY_KIND_COUNT] = {
#define R(id, text) [REPLY_##id] = text,
    REPLY_KINDS(R)
#undef R
};

static const char *const reply_names[REPLY_KIND_COUNT] = {
    [REPLY_AUTH_FAILED] = "auth-failed",
    [REPLY_AUTH_TEMPFAIL] = "auth-tempfail",
    [REPLY_AUTH_CANCELLED] = "auth-cancelled",
    [REPLY_AUTH_BAD_RESPONSE] = "auth-bad-response",
    [REPLY_MECH_DISABLED] = "mech-disabled",
    [REPLY_TLS_REQUIRED] = "tls-required",
    [REPLY_LIMIT] = "limit",
    [REPLY_BANNED] = "banned",
    [REPLY_LOCKED] = "locked",
    [REPLY_BACKEND_DOWN] = "backend-down",
    [REPLY_BACKEND_FULL] = "backend-full",
    [REPLY_HELD] = "held",
    [REPLY_HOLD_TIMEOUT] = "hold-timeout",
    [REPLY_SHUTDOWN] = "shutdown",
    [REPLY_KICKED] = "kicked",
    [REPLY_TIMEOUT] = "timeout",
    [REPLY_TOO_MANY_BAD] = "too-many-bad",
    [REPLY_TOO_LONG] = "too-long",
    [REPLY_PROTOCOL_MISUSE] = "protocol-misuse",
    [REPLY_BARE_NEWLINE] = "bare-newline",
    [REPLY_NO_CERTIFICATE] = "no-certificate",
    [REPLY_BAD_CERTIFICATE] = "bad-certificate",
    [REPLY_INTERNAL] = "internal",
};

const char *reply_text(enum reply_kind kind)
{
    return reply_texts[(unsigned)kind < REPLY_KIND_COUNT ? kind : REPLY_INTERNAL];
}

const char *reply_name(enum reply_kind kind)
{
    return reply_names[(unsigned)kind < REPLY_KIND_COUNT ? kind : REPLY_INTERNAL];
}

/* Are there two blanks in a row? */
static bool reply_has_gap(struct str text)
{
    ptrdiff_t at;
    while ((at = str_index(text, ' ')) >= 0) {
        text = str_skip(text, (size_t)at + 1);
        if (text.n > 0 && text.p[0] == ' ')
            return true;
    }
    return false;
}

int reply_append_clean(struct buf *out, struct str text, size_t max_bytes)
{
    bool is_clean = text.n > 0 && text.n <= max_bytes && text.p[0] != ' ' &&
                    text.p[text.n - 1] != ' ' && str_is_printable_ascii(text) &&
                    !reply_has_gap(text);
    if (is_clean) /* as nearly all are */
        return buf_append_str(out, text);
    size_t written = 0;
    bool has_gap = false;
    for (size_t i = 0; i < text.n;) {
        unsigned char c = (unsigned char)text.p[i];
        size_t n = 0; /* a run of printable ASCII, one well-formed UTF-8 sequence, or 0 */
        while (i + n < text.n && text.p[i + n] > ' ' && text.p[i + n] < 0x7f)
            n++;
        if (n == 0) {
            n = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
            if (n > text.n - i || !str_is_utf8(str_n(text.p + i, n)))
                n = 0;
        }
        /* C0, DEL and the C1 range, which some terminals obey even in UTF-8 */
        bool is_control =
            c < 0x20 || c == 0x7f || (n == 2 && c == 0xc2 && (unsigned char)text.p[i + 1] < 0xa0);
        if (is_control || c == ' ') {
            has_gap = true;
            i += n ? n : 1;
            continue;
        }
        size_t gap = has_gap && written > 0, room = max_bytes - written;
        if (c < 0x80 && gap < room && n > room - gap)
            n = room - gap; /* of plain bytes those that fit */
        if (gap + (n ? n : 1) > room)
            break;
        if (buf_append(out, " ", gap) < 0 || buf_append(out, n ? text.p + i : "?", n ? n : 1) < 0)
            return -ERR_NOMEM;
        written += gap + (n ? n : 1);
        has_gap = false;
        i += n ? n : 1;
    }
    return 0;
}

int reply_append_text(struct buf *out, enum reply_kind kind, const char *text)
{
    if (!text)
        return buf_append_c(out, reply_text(kind));
    return reply_append_clean(out, str_of(text), REPLY_TEXT_MAX);
}

int reply_end_line(struct buf *out, struct str text, const char *fallback)
{
    size_t before = out->len;
    if (reply_append_clean(out, text, REPLY_TEXT_MAX) < 0 ||
        (out->len == before && buf_append_c(out, fallback) < 0))
        return -ERR_NOMEM;
    return buf_append_c(out, "\r\n");
}
