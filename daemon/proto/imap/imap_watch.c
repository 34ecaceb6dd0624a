/* SPDX-License-Identifier: ISC */
/* Following IMAP in the relay: whole chunks are skipped up to the next line end, literals by their
 * length; no byte is kept but the end of a line. */
#include <ctype.h>

#include "proto/imap/imap.h"
#include "proto/line.h"

#define IMAP_HASH_START 2166136261u

static uint32_t imap_hash(uint32_t h, char c)
{
    return (h ^ (unsigned char)c) * 16777619u; /* FNV-1a */
}

static void imap_stream_begin(struct imap_stream *s)
{
    *s = (struct imap_stream){.tag = IMAP_HASH_START};
}

void imap_watch_init(struct watch *w, struct str learned)
{
    (void)learned;
    struct imap_watch *i = (struct imap_watch *)w;
    *i = (struct imap_watch){.w = {.is_quiet = true}};
    imap_stream_begin(&i->client);
    imap_stream_begin(&i->server);
}

static void imap_watch_sum_up(struct imap_watch *i)
{
    enum watch_phase p = WATCH_BETWEEN;
    uint32_t open = i->n_tags + i->more;
    if (i->w.phase == WATCH_OPAQUE)
        return;
    i->w.open = open - (i->is_idle && open > 0);
    i->w.is_client_due = i->client.is_within || i->is_auth_challenged;
    i->w.is_quiet = i->w.open == 0 && !i->w.is_client_due && !i->server.is_within;
    if (i->server.is_within)
        p = WATCH_RESPONSE;
    else if (i->client.literal > 0)
        p = WATCH_DATA;
    else if (i->is_idle)
        p = WATCH_IDLE;
    else if (open > 0 || i->client.is_within)
        p = WATCH_COMMAND;
    i->w.phase = (uint8_t)p;
}

/* Keeps the last bytes of the line, however it is cut into chunks. */
static void imap_stream_keep(struct imap_stream *s, struct str piece)
{
    if (piece.n >= IMAP_TAIL) {
        memcpy(s->tail, piece.p + piece.n - IMAP_TAIL, IMAP_TAIL);
        s->tail_len = IMAP_TAIL;
        return;
    }
    size_t kept = s->tail_len;
    if (kept + piece.n > IMAP_TAIL) {
        size_t dropped = kept + piece.n - IMAP_TAIL;
        memmove(s->tail, s->tail + dropped, kept - dropped);
        kept -= dropped;
    }
    memcpy(s->tail + kept, piece.p, piece.n);
    s->tail_len = (uint8_t)(kept + piece.n);
}

/* The literal that the line, now complete, announces. */
static bool imap_stream_literal(struct imap_stream *s, uint64_t *ret_size, bool *ret_is_sync)
{
    struct str line = str_n(s->tail, s->tail_len);
    if (line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    return line_literal(line, ret_size, ret_is_sync);
}

/* Skips octets of a literal; returns how many. */
static size_t imap_stream_skip(struct imap_stream *s, size_t n)
{
    if (n > s->literal)
        n = (size_t)s->literal;
    s->literal -= n;
    return n;
}

/* ---- client ---- */

/* Looks at tag and verb; stops where they end. UID says nothing without the word behind it. */
static void imap_client_words(struct imap_watch *i, struct str piece)
{
    struct imap_stream *s = &i->client;
    for (size_t n = 0; n < piece.n && s->words < 2; n++) {
        char c = piece.p[n];
        bool is_gap = c == ' ' && s->words == 1 && i->verb_len == 0; /* some servers bear two */
        if (c == '\r' || is_gap)
            continue;
        if (c != ' ' && s->words == 0) {
            s->tag = imap_hash(s->tag, c);
        } else if (c == ' ') {
            if (s->words == 0)
                i->verb_len = 0;
            if (s->words == 1 && i->verb_len == 3 && memcmp(i->w.verb, "UID", 3) == 0)
                i->w.verb[i->verb_len++] = ' ';
            else
                s->words++;
        } else if (i->verb_len < sizeof(i->w.verb) - 1) {
            char upper = (char)toupper((unsigned char)c);
            i->w.verb[i->verb_len++] = isgraph((unsigned char)c) ? upper : '?';
        }
        if (s->words > 0)
            i->w.verb[i->verb_len] = '\0';
    }
}

/* The first line of a command is there: it is open until its tagged response. */
static void imap_client_command(struct imap_watch *i)
{
    struct imap_stream *s = &i->client;
    i->is_idle = i->is_idle_asked = false; /* any line ends IDLE, DONE has no verb */
    if (i->is_auth_challenged) {
        i->is_auth_challenged = false;
        return;
    }
    if (s->words == 0 || i->verb_len == 0)
        return;
    if (i->n_tags < IMAP_TAGS_MAX)
        i->tags[i->n_tags++] = s->tag;
    else if (i->more < UINT32_MAX - IMAP_TAGS_MAX)
        i->more++;
    if (strcmp(i->w.verb, "IDLE") == 0) {
        i->is_idle_asked = true;
        i->idle_tag = s->tag;
    }
    if (strcmp(i->w.verb, "COMPRESS") == 0 || strcmp(i->w.verb, "STARTTLS") == 0) {
        i->is_compress_asked = true;
        i->compress_tag = s->tag;
    }
    i->w.is_forbidden = strcmp(i->w.verb, "UNAUTHENTICATE") == 0;
    if (strcmp(i->w.verb, "AUTHENTICATE") == 0) { /* of a client that nobody has logged in yet */
        i->is_auth_asked = true;
        i->auth_tag = s->tag;
    }
}

static void imap_client_line(struct imap_watch *i)
{
    struct imap_stream *s = &i->client;
    uint64_t size;
    bool is_sync;
    if (!s->is_tail_line)
        imap_client_command(i);
    if (!imap_stream_literal(s, &size, &is_sync)) {
        imap_stream_begin(s);
        return;
    }
    s->is_tail_line = true;
    s->words = 2;
    s->tail_len = 0;
    if (is_sync) {
        i->is_literal_waiting = true;
        i->waiting_literal = size;
    } else {
        s->literal = size;
    }
}

static size_t imap_client_feed(struct imap_watch *i, struct str bytes)
{
    struct imap_stream *s = &i->client;
    const char *start = bytes.p;
    while (bytes.n > 0) {
        if (i->is_literal_waiting) { /* impatient: it comes without its go-ahead */
            i->is_literal_waiting = false;
            s->literal = i->waiting_literal;
        }
        size_t n = imap_stream_skip(s, bytes.n);
        bytes = str_n(bytes.p + n, bytes.n - n);
        if (bytes.n == 0)
            break;
        const char *lf = memchr(bytes.p, '\n', bytes.n);
        struct str piece = str_n(bytes.p, lf ? (size_t)(lf - bytes.p) : bytes.n);
        s->is_within = true;
        if (i->is_auth_challenged)
            s->words = 2; /* no verb, but a secret */
        if (s->words < 2)
            imap_client_words(i, piece);
        imap_stream_keep(s, piece);
        bytes = str_n(piece.p + piece.n, bytes.n - piece.n);
        if (!lf)
            break;
        bytes = str_n(bytes.p + 1, bytes.n - 1);
        imap_client_line(i);
        if (i->w.is_forbidden || (i->w.is_stepwise && !s->is_within))
            break;
    }
    return (size_t)(bytes.p - start);
}

/* ---- server ---- */

/* Looks at the first two words. */
static void imap_server_words(struct imap_stream *s, struct str piece)
{
    for (size_t n = 0; n < piece.n && s->words < 2; n++) {
        char c = piece.p[n];
        if (c == '\r')
            continue;
        if (c == ' ')
            s->words++;
        else if (s->words == 0)
            s->tag = imap_hash(s->tag, c);
        else if (s->word_len < sizeof(s->word))
            s->word[s->word_len++] = (char)toupper((unsigned char)c);
    }
}

static bool imap_server_word_is(const struct imap_stream *s, const char *word)
{
    return str_eq(str_n(s->word, s->word_len), str_of(word));
}

/* A tagged response closes a command; true when the stream is compressed from the next byte on. */
static bool imap_server_tagged(struct imap_watch *i)
{
    struct imap_stream *s = &i->server;
    bool is_ok = imap_server_word_is(s, "OK");
    uint8_t n = 0;
    while (n < i->n_tags && i->tags[n] != s->tag)
        n++;
    if (n < i->n_tags)
        i->tags[n] = i->tags[--i->n_tags];
    else if (i->more > 0) /* of those that found no room, or of a line that was no command */
        i->more--;
    if (i->is_auth_asked && s->tag == i->auth_tag)
        i->is_auth_asked = i->is_auth_challenged = false;
    if (i->is_idle_asked && s->tag == i->idle_tag)
        i->is_idle_asked = i->is_idle = false;
    if (i->is_literal_waiting && s->tag == i->client.tag) {
        /* refused: the literal will not come, the command is over */
        i->is_literal_waiting = false;
        imap_stream_begin(&i->client);
    }
    if (!i->is_compress_asked || s->tag != i->compress_tag)
        return false;
    i->is_compress_asked = false;
    return is_ok;
}

/* A line of the server is complete; false when nothing can be said any more. */
static bool imap_server_line(struct imap_watch *i)
{
    struct imap_stream *s = &i->server;
    uint64_t size;
    bool is_sync;
    bool is_first = !s->is_tail_line;
    bool is_untagged = s->tag == imap_hash(IMAP_HASH_START, '*');
    bool is_continuation = s->tag == imap_hash(IMAP_HASH_START, '+');
    bool is_status = imap_server_word_is(s, "OK") || imap_server_word_is(s, "NO") ||
                     imap_server_word_is(s, "BAD") || imap_server_word_is(s, "BYE") ||
                     imap_server_word_is(s, "PREAUTH");
    if (is_untagged && !is_status && imap_stream_literal(s, &size, &is_sync)) {
        s->is_tail_line = true;
        s->words = 2;
        s->tail_len = 0;
        s->literal = size;
        return true;
    }
    if (is_first && is_continuation) {
        if (i->is_literal_waiting) {
            i->is_literal_waiting = false;
            i->client.literal = i->waiting_literal;
        } else if (i->is_idle_asked) {
            i->is_idle = true;
        } else if (i->is_auth_asked) {
            i->is_auth_challenged = true;
        }
    }
    if (is_first && !is_untagged && !is_continuation && is_status && imap_server_tagged(i)) {
        watch_go_opaque(&i->w);
        return false;
    }
    imap_stream_begin(s);
    return true;
}

static size_t imap_server_feed(struct imap_watch *i, struct str bytes)
{
    struct imap_stream *s = &i->server;
    const char *start = bytes.p;
    while (bytes.n > 0) {
        size_t n = imap_stream_skip(s, bytes.n);
        bytes = str_n(bytes.p + n, bytes.n - n);
        if (bytes.n == 0)
            break;
        const char *lf = memchr(bytes.p, '\n', bytes.n);
        struct str piece = str_n(bytes.p, lf ? (size_t)(lf - bytes.p) : bytes.n);
        s->is_within = true;
        if (s->words < 2)
            imap_server_words(s, piece);
        imap_stream_keep(s, piece);
        bytes = str_n(piece.p + piece.n, bytes.n - piece.n);
        if (!lf)
            break;
        bytes = str_n(bytes.p + 1, bytes.n - 1);
        if (!imap_server_line(i) || (i->w.is_stepwise && !s->is_within))
            break;
    }
    return (size_t)(bytes.p - start);
}

size_t imap_watch_feed(struct watch *w, enum watch_side side, struct str bytes)
{
    struct imap_watch *i = (struct imap_watch *)w;
    if (w->phase == WATCH_OPAQUE)
        return bytes.n;
    size_t n = side == WATCH_CLIENT ? imap_client_feed(i, bytes) : imap_server_feed(i, bytes);
    imap_watch_sum_up(i);
    return w->phase == WATCH_OPAQUE ? bytes.n : n;
}
