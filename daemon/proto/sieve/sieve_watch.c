/* SPDX-License-Identifier: ISC */
/* Following ManageSieve during the relay: commands, responses and their literals. */
#include "base/cleanup.h"
#include "proto/sieve/sieve.h"

enum sieve_tail_state { SIEVE_TAIL_NONE, SIEVE_TAIL_NUMBER, SIEVE_TAIL_PLUS, SIEVE_TAIL_CLOSED };

/* Follows one character; at LF: is the line's end the announcement of a literal of tail->size? */
static bool sieve_tail_char(struct sieve_tail *t, char c)
{
    bool is_digit = c >= '0' && c <= '9';
    if (c == '\n') {
        bool is_literal = t->state == SIEVE_TAIL_CLOSED;
        t->state = SIEVE_TAIL_NONE;
        return is_literal;
    }
    if (c == '\r' && t->state == SIEVE_TAIL_CLOSED)
        return false;
    if (c == '{') {
        *t = (struct sieve_tail){.state = SIEVE_TAIL_NUMBER};
    } else if (t->state == SIEVE_TAIL_NUMBER && is_digit) {
        if (__builtin_mul_overflow(t->size, 10, &t->size) ||
            __builtin_add_overflow(t->size, (uint64_t)(c - '0'), &t->size))
            t->size = UINT64_MAX;
    } else if (t->state == SIEVE_TAIL_NUMBER && c == '+') {
        t->state = SIEVE_TAIL_PLUS;
    } else if ((t->state == SIEVE_TAIL_NUMBER || t->state == SIEVE_TAIL_PLUS) && c == '}') {
        t->state = SIEVE_TAIL_CLOSED;
    } else {
        t->state = SIEVE_TAIL_NONE;
    }
    return false;
}

static void sieve_watch_sum_up(struct sieve_watch *w)
{
    w->head.is_client_due = w->is_mid_command || w->is_challenged;
    w->head.is_quiet = w->head.open == 0 && !w->head.is_client_due && !w->is_in_reply;
    w->head.phase = w->is_in_reply                          ? WATCH_RESPONSE
                    : w->client_literal > 0                 ? WATCH_DATA
                    : w->head.open > 0 || w->is_mid_command ? WATCH_COMMAND
                                                            : WATCH_BETWEEN;
}

void sieve_watch_init(struct watch *head, struct str learned)
{
    (void)learned;
    struct sieve_watch *w = (struct sieve_watch *)head;
    *w = (struct sieve_watch){0};
    sieve_watch_sum_up(w);
}

/* ---- client ---- */

/* Only known verbs are shown: a SASL response must not appear in a listing. */
static void sieve_watch_set_verb(struct sieve_watch *w)
{
    static const char *const verbs[] = {
        "AUTHENTICATE", "STARTTLS",     "CAPABILITY",  "NOOP",          "LOGOUT",
        "HAVESPACE",    "PUTSCRIPT",    "LISTSCRIPTS", "SETACTIVE",     "GETSCRIPT",
        "DELETESCRIPT", "RENAMESCRIPT", "CHECKSCRIPT", "UNAUTHENTICATE"};
    watch_set_verb(&w->head, str_n(w->word, w->word_len), verbs, ARRAY_LEN(verbs));
    w->is_starttls = strcmp(w->head.verb, "STARTTLS") == 0;
    w->head.is_forbidden = strcmp(w->head.verb, "UNAUTHENTICATE") == 0;
    w->is_word_over = true;
}

static void sieve_watch_command_end(struct sieve_watch *w)
{
    bool is_string = w->word_len > 0 && (w->word[0] == '"' || w->word[0] == '{');
    if (!is_string) { /* else an answer within AUTHENTICATE */
        if (!w->is_word_over)
            sieve_watch_set_verb(w);
        if (w->head.open < UINT32_MAX)
            w->head.open++;
    }
    w->word_len = 0;
    w->is_word_over = w->is_mid_command = w->is_challenged = false;
    explicit_bzero(w->word, sizeof(w->word));
}

static void sieve_watch_client_char(struct sieve_watch *w, char c)
{
    bool is_literal = sieve_tail_char(&w->client_tail, c);
    bool is_string = w->word_len > 0 && (w->word[0] == '"' || w->word[0] == '{');
    w->is_mid_command = true;
    if (is_literal) {
        if (!w->is_word_over && !is_string)
            sieve_watch_set_verb(w);
        w->client_literal = w->client_tail.size;
    } else if (c == '\n') {
        sieve_watch_command_end(w);
    } else if (!w->is_word_over && !is_string) {
        if ((c == ' ' || c == '\t') && w->word_len > 0)
            sieve_watch_set_verb(w);
        else if (c != '\r' && w->word_len < sizeof(w->word))
            w->word[w->word_len++] = c;
    }
}

/* ---- server ---- */

static void sieve_watch_line_end(struct sieve_watch *w)
{
    bool is_challenge = w->status_len > 0 && (w->status[0] == '"' || w->status[0] == '{') &&
                        strcmp(w->head.verb, "AUTHENTICATE") == 0;
    struct str status = str_n(w->status, w->status_len);
    bool is_ok = str_ieq(status, STR("OK"));
    bool is_final = is_ok || str_ieq(status, STR("NO")) || str_ieq(status, STR("BYE"));
    w->status_len = 0;
    w->is_status_over = false;
    if (is_challenge) {
        w->is_in_reply = false;
        w->is_challenged = w->head.open > 0;
    }
    if (!is_final)
        return;
    w->is_in_reply = w->is_challenged = false;
    if (w->head.open > 0)
        w->head.open--;
    if (w->is_starttls && w->head.open == 0) {
        w->is_starttls = false;
        if (is_ok)
            watch_go_opaque(&w->head);
    }
}

static void sieve_watch_server_char(struct sieve_watch *w, char c)
{
    w->is_in_reply = true;
    if (sieve_tail_char(&w->server_tail, c)) {
        w->server_literal = w->server_tail.size;
        w->is_status_over = true;
    } else if (c == '\n') {
        sieve_watch_line_end(w);
    } else if (!w->is_status_over) {
        bool is_word = c != ' ' && c != '\r' && c != '(' && w->status_len < sizeof(w->status);
        if (is_word)
            w->status[w->status_len++] = c;
        else
            w->is_status_over = c != '\r';
    }
}

size_t sieve_watch_feed(struct watch *head, enum watch_side side, struct str bytes)
{
    struct sieve_watch *w = (struct sieve_watch *)head;
    const char *start = bytes.p;
    size_t all = bytes.n;
    uint64_t *literal = side == WATCH_CLIENT ? &w->client_literal : &w->server_literal;
    while (bytes.n > 0 && head->phase != WATCH_OPAQUE) {
        size_t n = 1;
        if (*literal > 0) { /* skips what is left of it */
            n = *literal < bytes.n ? (size_t)*literal : bytes.n;
            *literal -= n;
        } else if (side == WATCH_CLIENT) {
            sieve_watch_client_char(w, bytes.p[0]);
        } else {
            sieve_watch_server_char(w, bytes.p[0]);
        }
        bytes = str_n(bytes.p + n, bytes.n - n);
        bool is_step = side == WATCH_CLIENT ? !w->is_mid_command : !w->is_in_reply;
        if (is_step && (head->is_stepwise || head->is_forbidden))
            break;
    }
    if (head->phase == WATCH_OPAQUE)
        return all;
    sieve_watch_sum_up(w);
    return (size_t)(bytes.p - start);
}
