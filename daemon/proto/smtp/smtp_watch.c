/* SPDX-License-Identifier: ISC */
/* Following SMTP during the relay: commands and replies, message data after DATA, chunks of BDAT.
 */
#include <ctype.h>

#include "base/cleanup.h"
#include "proto/smtp/smtp.h"

/* Commands that are not for a client whose relay has begun. The server believes the first two as it
 * believes the proxy, AUTH would be judged by nobody here, and behind STARTTLS nothing is seen. */
static const char *const smtp_forbidden[] = {"XCLIENT", "XFORWARD", "AUTH", "STARTTLS"};

static void smtp_watch_sum_up(struct smtp_watch *w)
{
    bool is_data = w->client == SMTP_CLIENT_DATA || w->client == SMTP_CLIENT_CHUNK;
    w->head.is_client_due = is_data || w->is_mid_line || w->client == SMTP_CLIENT_RESPONSE;
    w->head.is_quiet = w->head.open == 0 && !w->head.is_client_due && !w->is_in_reply;
    w->head.phase = w->is_in_reply                       ? WATCH_RESPONSE
                    : is_data                            ? WATCH_DATA
                    : w->head.open > 0 || w->is_mid_line ? WATCH_COMMAND
                                                         : WATCH_BETWEEN;
}

void smtp_watch_init(struct watch *head, struct str learned)
{
    struct smtp_watch *w = (struct smtp_watch *)head;
    *w = (struct smtp_watch){.client = SMTP_CLIENT_WORD};
    while (learned.n > 0 && !w->has_chunks)
        w->has_chunks = str_ieq(str_trim(str_cut(&learned, '\n')), STR("CHUNKING"));
    smtp_watch_sum_up(w);
}

/* ---- client ---- */

/* Is the word one of smtp_forbidden? It is the verb then. */
static bool smtp_watch_forbid(struct smtp_watch *w)
{
    struct str word = str_n(w->word, w->word_len);
    if (str_is_among(word, smtp_forbidden, ARRAY_LEN(smtp_forbidden))) {
        watch_set_verb(&w->head, word, smtp_forbidden, ARRAY_LEN(smtp_forbidden));
        w->head.is_forbidden = true;
    }
    return w->head.is_forbidden;
}

/* Only known verbs are shown: an early SASL response must not appear in a listing. */
static void smtp_watch_set_verb(struct smtp_watch *w)
{
    static const char *const verbs[] = {"EHLO", "HELO", "MAIL", "RCPT", "DATA", "BDAT", "RSET",
                                        "NOOP", "VRFY", "EXPN", "HELP", "QUIT", "ETRN", "BURL"};
    if (smtp_watch_forbid(w))
        return;
    watch_set_verb(&w->head, str_n(w->word, w->word_len), verbs, ARRAY_LEN(verbs));
    w->is_chunk_number = w->has_chunks && strcmp(w->head.verb, "BDAT") == 0;
    w->has_chunk_digit = false;
    w->chunk_left = 0;
}

static void smtp_watch_line_end(struct smtp_watch *w)
{
    bool is_response = w->client == SMTP_CLIENT_RESPONSE;
    w->is_mid_line = false;
    if (!is_response) {
        if (w->client == SMTP_CLIENT_WORD)
            smtp_watch_set_verb(w);
        if (w->head.open < UINT32_MAX)
            w->head.open++;
    }
    w->client = !is_response && w->chunk_left > 0 ? SMTP_CLIENT_CHUNK : SMTP_CLIENT_WORD;
    w->is_chunk_number = false;
    w->word_len = 0;
}

/* Gathers the first word of a line; true when it is whole. Blanks are what any server takes for
 * one, also before the word (Postfix: whatever isspace() knows). */
static bool smtp_watch_word(struct smtp_watch *w, char c)
{
    bool is_blank = isspace((unsigned char)c);
    if (!is_blank && w->word_len < sizeof(w->word))
        w->word[w->word_len++] = c;
    return c == '\n' || (is_blank && w->word_len > 0);
}

static void smtp_watch_char(struct smtp_watch *w, char c)
{
    if (c == '\n') {
        smtp_watch_line_end(w);
        return;
    }
    w->is_mid_line = true;
    if (w->client == SMTP_CLIENT_WORD) {
        if (smtp_watch_word(w, c)) {
            smtp_watch_set_verb(w);
            w->is_chunk_number = w->is_chunk_number && c == ' ';
            w->client = SMTP_CLIENT_ARGS;
        }
    } else if (w->is_chunk_number && c >= '0' && c <= '9') {
        w->has_chunk_digit = true;
        if (__builtin_mul_overflow(w->chunk_left, 10, &w->chunk_left) ||
            __builtin_add_overflow(w->chunk_left, (uint64_t)(c - '0'), &w->chunk_left))
            w->chunk_left = UINT64_MAX;
    } else if (w->is_chunk_number && (c != ' ' || w->has_chunk_digit)) {
        w->is_chunk_number = false;
    }
}

/* The state behind a byte that is no part of a line with a dot alone. */
static enum smtp_dot smtp_watch_text(char c)
{
    return c == '\r' ? SMTP_DOT_CR : c == '\n' ? SMTP_DOT_BARE_LINE : SMTP_DOT_NONE;
}

static void smtp_watch_false_end(struct smtp_watch *w, enum watch_false_end end)
{
    if (w->head.is_strict) {
        w->head.false_end = (uint8_t)end;
        return;
    }
    w->is_word_over = w->is_end_doubtful && w->is_word_over;
    w->is_end_doubtful = true;
}

/* Takes a byte of message data that may be a command to the server. */
static void smtp_watch_doubt(struct smtp_watch *w, char c)
{
    bool is_whole = !w->is_word_over && smtp_watch_word(w, c);
    if (is_whole)
        (void)smtp_watch_forbid(w);
    w->is_word_over = (w->is_word_over || is_whole) && c != '\n';
    if (c == '\n')
        w->word_len = 0;
}

/* Takes one byte of message data; false: a strict watcher stops before it. */
static bool smtp_watch_data(struct smtp_watch *w, char c)
{
    bool is_end = c == '\r' || c == '\n';
    enum smtp_dot next = smtp_watch_text(c);
    switch ((enum smtp_dot)w->dot) {
    case SMTP_DOT_CR: /* a CR alone, if no LF follows it */
        next = c == '\n' ? SMTP_DOT_LINE : c == '.' ? SMTP_DOT_BARE_DOT : next;
        break;
    case SMTP_DOT_LINE:
        next = c == '.' ? SMTP_DOT_DOT : next;
        break;
    case SMTP_DOT_BARE_LINE:
        next = c == '.' ? SMTP_DOT_BARE_DOT : next;
        break;
    case SMTP_DOT_DOT:
        next = c == '\r' ? SMTP_DOT_DOT_CR : next;
        if (c == '\n')
            smtp_watch_false_end(w, WATCH_FALSE_END_AT_DOT);
        break;
    case SMTP_DOT_BARE_DOT:
        if (is_end)
            smtp_watch_false_end(w, WATCH_FALSE_END_AT_DOT);
        break;
    case SMTP_DOT_DOT_CR:
        if (c == '\n') {
            w->client = SMTP_CLIENT_WORD;
            w->word_len = 0;
            w->is_end_doubtful = false;
            w->head.open = 1;
        } else {
            smtp_watch_false_end(w, WATCH_FALSE_END_BEHIND);
        }
        break;
    case SMTP_DOT_NONE:
        break;
    }
    w->dot = w->head.false_end ? SMTP_DOT_NONE : (uint8_t)next;
    if (w->is_end_doubtful)
        smtp_watch_doubt(w, c);
    return !w->head.false_end;
}

/* How many bytes of the text of a message need no look: up to the next CR or LF. */
static size_t smtp_watch_skip(struct str bytes)
{
    const char *cr = memchr(bytes.p, '\r', bytes.n);
    size_t n = cr ? (size_t)(cr - bytes.p) : bytes.n;
    const char *lf = n > 0 ? memchr(bytes.p, '\n', n) : NULL;
    return lf ? (size_t)(lf - bytes.p) : n;
}

static size_t smtp_watch_client_some(struct smtp_watch *w, struct str bytes)
{
    size_t n = 0;
    if (w->client == SMTP_CLIENT_CHUNK) {
        n = w->chunk_left < bytes.n ? (size_t)w->chunk_left : bytes.n;
        w->chunk_left -= n;
        if (w->chunk_left == 0)
            w->client = SMTP_CLIENT_WORD;
        return n;
    }
    if (w->client != SMTP_CLIENT_DATA) {
        smtp_watch_char(w, bytes.p[0]);
        return 1;
    }
    if (w->dot == SMTP_DOT_NONE && !w->is_end_doubtful && (n = smtp_watch_skip(bytes)) > 0)
        return n;
    return smtp_watch_data(w, bytes.p[0]) ? 1 : 0;
}

/* ---- server ---- */

static void smtp_watch_reply_done(struct smtp_watch *w)
{
    unsigned code = 0;
    for (size_t i = 0; i < 3; i++)
        code = code * 10 + (unsigned)(unsigned char)(w->reply[i] - '0');
    if (code == 334) { /* the exchange goes on */
        w->client = SMTP_CLIENT_RESPONSE;
        return;
    }
    if (w->head.open > 0)
        w->head.open--;
    if (code == 354) {
        w->client = SMTP_CLIENT_DATA;
        w->dot = SMTP_DOT_LINE;
        w->is_mid_line = false;
    }
    if (w->head.open == 0 && w->client == SMTP_CLIENT_RESPONSE && !w->is_mid_line)
        w->client = SMTP_CLIENT_WORD;
}

static void smtp_watch_server_char(struct smtp_watch *w, char c)
{
    w->is_in_reply = true;
    if (c != '\n') {
        if (w->reply_pos < sizeof(w->reply))
            w->reply[w->reply_pos++] = c;
        return;
    }
    bool is_last = w->reply_pos < 4 || w->reply[3] != '-';
    if (is_last) {
        w->is_in_reply = false;
        smtp_watch_reply_done(w);
    }
    w->reply_pos = 0;
    memset(w->reply, 0, sizeof(w->reply));
}

/* Of a line only its code counts, and its end. */
static size_t smtp_watch_server_some(struct smtp_watch *w, struct str bytes)
{
    if (w->reply_pos == sizeof(w->reply) && bytes.p[0] != '\n') {
        const char *lf = memchr(bytes.p, '\n', bytes.n);
        return lf ? (size_t)(lf - bytes.p) : bytes.n;
    }
    smtp_watch_server_char(w, bytes.p[0]);
    return 1;
}

size_t smtp_watch_feed(struct watch *head, enum watch_side side, struct str bytes)
{
    struct smtp_watch *w = (struct smtp_watch *)head;
    const char *start = bytes.p;
    while (bytes.n > 0) {
        size_t n = side == WATCH_CLIENT ? smtp_watch_client_some(w, bytes)
                                        : smtp_watch_server_some(w, bytes);
        bytes = str_n(bytes.p + n, bytes.n - n);
        if (head->false_end || head->is_forbidden)
            break;
        bool is_step = side == WATCH_SERVER ? !w->is_in_reply
                                            : w->client == SMTP_CLIENT_WORD && !w->is_mid_line;
        if (head->is_stepwise && is_step)
            break;
    }
    smtp_watch_sum_up(w);
    return (size_t)(bytes.p - start);
}
