/* SPDX-License-Identifier: ISC */
/* Following POP3 in the relay: which responses have several lines is known from the commands, which
 * are answered in order. */
#include <ctype.h>

#include "proto/pop3/pop3.h"

void pop3_watch_init(struct watch *w, struct str learned)
{
    (void)learned;
    struct pop3_watch *p = (struct pop3_watch *)w;
    *p = (struct pop3_watch){.w = {.is_quiet = true}};
}

static void pop3_watch_sum_up(struct pop3_watch *p)
{
    struct watch *w = &p->w;
    bool is_server_due = p->is_server_within || p->is_body;
    if (w->phase == WATCH_OPAQUE)
        return;
    w->is_client_due = p->is_client_within || p->is_challenged;
    w->is_quiet = w->open == 0 && !w->is_client_due && !is_server_due;
    w->phase = is_server_due                        ? WATCH_RESPONSE
               : w->open > 0 || p->is_client_within ? WATCH_COMMAND
                                                    : WATCH_BETWEEN;
}

/* Is a positive response followed by lines up to a dot? LIST, UIDL and LANG only without an
 * argument. */
static bool pop3_is_multi(const char *verb, bool has_argument)
{
    static const struct {
        const char *verb;
        bool always;
    } rows[] = {{"RETR", true},  {"TOP", true},   {"CAPA", true},
                {"LIST", false}, {"UIDL", false}, {"LANG", false}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (strcmp(verb, rows[i].verb) == 0)
            return rows[i].always || !has_argument;
    return false;
}

/* Verb, and whether there is more; then nothing of the line matters but its end. */
static void pop3_client_words(struct pop3_watch *p, struct str piece)
{
    for (size_t i = 0; i < piece.n && p->words < 2; i++) {
        unsigned char c = (unsigned char)piece.p[i];
        if (c == '\r')
            continue;
        if (c == ' ')
            p->words = 1;
        else if (p->words == 1)
            p->words = 2;
        else if (p->verb_len < sizeof(p->w.verb) - 1)
            p->w.verb[p->verb_len++] = isgraph(c) ? (char)toupper(c) : '?';
    }
    p->w.verb[p->verb_len] = '\0';
}

static void pop3_client_line(struct pop3_watch *p)
{
    p->is_client_within = false;
    if (p->is_challenged) {
        p->is_challenged = false;
        return;
    }
    if (p->w.open == POP3_PIPELINE_MAX) { /* more in flight than can be told apart */
        watch_go_opaque(&p->w);
        return;
    }
    unsigned at = (p->oldest + p->w.open++) % POP3_PIPELINE_MAX;
    unsigned bit = pop3_is_multi(p->w.verb, p->words == 2);
    p->multi[at / 8] = (uint8_t)((p->multi[at / 8] & ~(1u << at % 8)) | bit << at % 8);
}

static size_t pop3_client_feed(struct pop3_watch *p, struct str bytes)
{
    const char *start = bytes.p;
    while (bytes.n > 0 && p->w.phase != WATCH_OPAQUE) {
        const char *lf = memchr(bytes.p, '\n', bytes.n);
        struct str piece = str_n(bytes.p, lf ? (size_t)(lf - bytes.p) : bytes.n);
        if (!p->is_client_within)
            p->words = p->verb_len = 0;
        p->is_client_within = true;
        if (!p->is_challenged)
            pop3_client_words(p, piece);
        bytes = str_n(piece.p + piece.n, bytes.n - piece.n);
        if (!lf)
            break;
        bytes = str_n(bytes.p + 1, bytes.n - 1);
        pop3_client_line(p);
        if (p->w.is_stepwise)
            break;
    }
    return (size_t)(bytes.p - start);
}

/* The first line of a response: a positive one may be followed by others. */
static void pop3_server_response(struct pop3_watch *p)
{
    const char *h = p->head;
    if (p->head_len >= 2 && h[0] == '+' && h[1] == ' ') {
        p->is_challenged = true;
        return;
    }
    bool is_multi = p->multi[p->oldest / 8] & 1u << p->oldest % 8;
    p->is_body = is_multi && p->head_len >= 3 && memcmp(h, "+OK", 3) == 0;
    p->is_challenged = false;
    p->oldest = (uint16_t)((p->oldest + 1) % POP3_PIPELINE_MAX);
    p->w.open--;
}

static void pop3_server_line(struct pop3_watch *p)
{
    const char *h = p->head;
    if (p->is_body) {
        bool is_dot = (p->head_len == 1 || (p->head_len == 2 && h[1] == '\r')) && h[0] == '.';
        p->is_body = !is_dot;
    } else if (p->w.open > 0) {
        pop3_server_response(p);
    }
    p->head_len = 0;
    p->is_server_within = false;
}

static size_t pop3_server_feed(struct pop3_watch *p, struct str bytes)
{
    const char *start = bytes.p;
    while (bytes.n > 0) {
        const char *lf = memchr(bytes.p, '\n', bytes.n);
        struct str piece = str_n(bytes.p, lf ? (size_t)(lf - bytes.p) : bytes.n);
        p->is_server_within = true;
        for (size_t i = 0; i < piece.n && p->head_len <= sizeof(p->head); i++) {
            if (p->head_len < sizeof(p->head))
                p->head[p->head_len] = piece.p[i];
            p->head_len++;
        }
        bytes = str_n(piece.p + piece.n, bytes.n - piece.n);
        if (!lf)
            break;
        bytes = str_n(bytes.p + 1, bytes.n - 1);
        pop3_server_line(p);
        if (p->w.is_stepwise && !p->is_body)
            break;
    }
    return (size_t)(bytes.p - start);
}

size_t pop3_watch_feed(struct watch *w, enum watch_side side, struct str bytes)
{
    struct pop3_watch *p = (struct pop3_watch *)w;
    if (w->phase == WATCH_OPAQUE)
        return bytes.n;
    size_t n = side == WATCH_CLIENT ? pop3_client_feed(p, bytes) : pop3_server_feed(p, bytes);
    pop3_watch_sum_up(p);
    return w->phase == WATCH_OPAQUE ? bytes.n : n;
}
