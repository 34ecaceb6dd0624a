/* SPDX-License-Identifier: ISC */
/* Following IMAP in the relay: whole chunks are skipped up to the next line end, literals by their
 * length; no byte is kept but the end of a line. */
#include <ctype.h>

#include "base/cleanup.h"
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

static uint32_t imap_tag_bit(uint32_t tag)
{
    return 1u << (tag & 31);
}

void imap_watch_init(struct watch *w, struct str learned)
{
    (void)learned;
    struct imap_watch *i = (struct imap_watch *)w;
    *i = (struct imap_watch){.w = {.is_quiet = true}};
    imap_stream_begin(&i->client);
    imap_stream_begin(&i->server);
}

static bool imap_is_server_due(const struct imap_watch *i)
{
    return i->asked != IMAP_ASKED_NOTHING && !i->is_auth_challenged;
}

static void imap_watch_sum_up(struct imap_watch *i)
{
    enum watch_phase p = WATCH_BETWEEN;
    uint32_t open = i->n_tags + i->more;
    if (i->w.phase == WATCH_OPAQUE)
        return;
    i->w.open = open - (i->is_idle && open > 0);
    i->w.is_server_due = imap_is_server_due(i);
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

/* The tag of a line up to the blank behind it, in as many pieces as it comes. Returns what follows.
 */
static struct str imap_stream_tag(struct imap_stream *s, struct str piece)
{
    uint32_t tag = s->tag;
    size_t n = 0, len = s->tag_len;
    for (; n < piece.n && piece.p[n] != ' '; n++) {
        if (piece.p[n] == '\r')
            continue;
        if (len++ == 0)
            s->tag_first = piece.p[n];
        tag = imap_hash(tag, piece.p[n]);
    }
    s->tag = tag;
    s->tag_len = (uint8_t)(len < UINT8_MAX ? len : UINT8_MAX);
    if (n < piece.n) {
        s->words = 1;
        n++;
    }
    return str_skip(piece, n);
}

static char imap_upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

/* ---- client ---- */

/* Looks at tag and verb; stops where they end. UID says nothing without the word behind it. */
static void imap_client_words(struct imap_watch *i, struct str piece)
{
    struct imap_stream *s = &i->client;
    if (s->words == 0) {
        piece = imap_stream_tag(s, piece);
        if (s->words == 0)
            return;
        i->verb_len = 0;
    }
    for (size_t n = 0; n < piece.n && s->words < 2; n++) {
        char c = piece.p[n];
        bool is_gap = c == ' ' && i->verb_len == 0; /* some servers bear two */
        if (c == '\r' || is_gap)
            continue;
        if (c == ' ' && i->verb_len == 3 && memcmp(i->w.verb, "UID", 3) == 0)
            i->w.verb[i->verb_len++] = ' ';
        else if (c == ' ')
            s->words = 2;
        else if (i->verb_len < sizeof(i->w.verb) - 1)
            i->w.verb[i->verb_len++] = c > ' ' && c <= '~' ? imap_upper(c) : '?';
    }
    i->w.verb[i->verb_len] = '\0';
}

/* The client waits from here on, or should: what it sends is looked at when the answer is there. A
 * tag that a line without a command had, too, leaves open which of the two is answered. */
static void imap_client_asks(struct imap_watch *i, enum imap_asked what)
{
    uint32_t tag = i->client.tag;
    if (i->bare_bits && (i->is_tag_shared || i->bare_bits & imap_tag_bit(tag)))
        i->w.is_forbidden = i->w.is_ambiguous = true;
    i->asked = (uint8_t)what;
    i->asked_tag = tag;
}

/* May the response to another command look like the one to this? */
static bool imap_tag_is_taken(const struct imap_watch *i, uint32_t tag)
{
    for (uint8_t n = 0; n < i->n_tags; n++)
        if (i->tags[n] == tag)
            return true;
    return i->more > 0 && i->more_bits & imap_tag_bit(tag);
}

/* A line that is a tag and no command, perhaps the DONE of an IDLE that is over. */
static void imap_client_bare_line(struct imap_watch *i)
{
    const struct imap_stream *s = &i->client;
    static const char done[] = "DONE";
    uint32_t tags[2] = {IMAP_HASH_START, IMAP_HASH_START};
    for (const char *c = done; *c; c++) {
        tags[0] = imap_hash(tags[0], *c);
        tags[1] = imap_hash(tags[1], (char)tolower((unsigned char)*c));
    }
    if (s->tag_len > 0 && s->tag != tags[0] && s->tag != tags[1])
        i->bare_bits |= imap_tag_bit(s->tag);
}

/* The first line of a command is there: it is open until its tagged response. */
static void imap_client_command(struct imap_watch *i)
{
    static const struct {
        const char *verb;
        enum imap_asked asked;
    } asking[] = {{"IDLE", IMAP_ASKED_IDLE},
                  {"COMPRESS", IMAP_ASKED_COMPRESS},
                  {"STARTTLS", IMAP_ASKED_COMPRESS},
                  {"AUTHENTICATE", IMAP_ASKED_AUTH}}; /* of a client that nobody has logged in */
    struct imap_stream *s = &i->client;
    if (s->words == 0 || i->verb_len == 0) {
        imap_client_bare_line(i);
        return;
    }
    i->is_tag_shared = imap_tag_is_taken(i, s->tag);
    if (i->n_tags < IMAP_TAGS_MAX) {
        i->tags[i->n_tags++] = s->tag;
    } else if (i->more < UINT32_MAX - IMAP_TAGS_MAX) {
        i->more_bits = imap_tag_bit(s->tag) | (i->more > 0 ? i->more_bits : 0);
        i->more++;
    }
    for (size_t n = 0; n < ARRAY_LEN(asking); n++)
        if (i->w.verb[0] == asking[n].verb[0] && strcmp(i->w.verb, asking[n].verb) == 0)
            imap_client_asks(i, asking[n].asked);
    if (WATCH_VERB_IS(&i->w, "UNAUTHENTICATE"))
        i->w.is_forbidden = true;
}

static void imap_client_line(struct imap_watch *i)
{
    struct imap_stream *s = &i->client;
    uint64_t size;
    bool is_sync, was_idle = i->is_idle, is_first = !s->is_tail_line;
    bool is_response = i->is_auth_challenged;
    i->is_idle = i->is_auth_challenged = false; /* any line ends IDLE, DONE has no verb */
    if (is_response) {
        imap_stream_begin(s);
        return;
    }
    if (is_first)
        imap_client_command(i);
    if (!imap_stream_literal(s, &size, &is_sync)) {
        imap_stream_begin(s);
        return;
    }
    /* Where no command can be some servers take what follows for a literal, some for commands. */
    if (was_idle || (is_first && (s->words == 0 || i->verb_len == 0))) {
        i->w.is_forbidden = i->w.is_ambiguous = true;
        return;
    }
    s->is_tail_line = true;
    s->words = 2;
    s->tail_len = 0;
    if (is_sync) {
        imap_client_asks(i, IMAP_ASKED_LITERAL);
        i->waiting_literal = size;
    } else {
        s->literal = size;
    }
}

static size_t imap_client_feed(struct imap_watch *i, struct str bytes)
{
    struct imap_stream *s = &i->client;
    const char *start = bytes.p;
    while (bytes.n > 0 && !imap_is_server_due(i)) {
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
    if (s->words == 0)
        piece = imap_stream_tag(s, piece);
    for (size_t n = 0; n < piece.n && s->words < 2; n++) {
        char c = piece.p[n];
        if (c == ' ')
            s->words = 2;
        else if (c != '\r' && s->word_len < sizeof(s->word))
            s->word[s->word_len++] = imap_upper(c);
    }
}

/* With a literal, so that it is compared in place. */
#define IMAP_WORD_IS(s, literal)                                                                   \
    ((s)->word_len == sizeof(literal) - 1 && memcmp((s)->word, literal, sizeof(literal) - 1) == 0)

/* The command that asked has its tagged response. */
static bool imap_is_answered(const struct imap_watch *i)
{
    return i->server.tag == i->asked_tag && (!i->is_tag_shared || i->n_tags + i->more == 0);
}

/* A tagged response closes a command; true when the stream is compressed from the next byte on. */
static bool imap_server_tagged(struct imap_watch *i)
{
    struct imap_stream *s = &i->server;
    uint8_t n = 0, asked = i->asked;
    while (n < i->n_tags && i->tags[n] != s->tag)
        n++;
    if (n < i->n_tags)
        i->tags[n] = i->tags[--i->n_tags];
    else if (i->more > 0 && !(i->bare_bits & imap_tag_bit(s->tag)))
        i->more--; /* of those that found no room */
    if (i->n_tags + i->more == 0)
        i->bare_bits = 0; /* they were answered before */
    if (!imap_is_answered(i))
        return false;
    if (asked == IMAP_ASKED_LITERAL) /* refused: the literal will not come, the command is over */
        imap_stream_begin(&i->client);
    i->asked = IMAP_ASKED_NOTHING;
    i->is_idle = i->is_auth_challenged = false;
    return asked == IMAP_ASKED_COMPRESS && IMAP_WORD_IS(s, "OK");
}

/* Some servers leave the blank behind the plus out; no command may have such a tag, but the one of
 * a client that wants its response taken for this. */
static bool imap_server_is_continuation(const struct imap_watch *i)
{
    const struct imap_stream *s = &i->server;
    return s->tag_first == '+' && (s->tag_len == 1 || (!imap_tag_is_taken(i, s->tag) &&
                                                       !(i->bare_bits & imap_tag_bit(s->tag))));
}

/* The server lets the client go on. */
static void imap_server_continues(struct imap_watch *i)
{
    if (i->asked == IMAP_ASKED_AUTH) { /* more challenges may follow */
        i->is_auth_challenged = true;
        return;
    }
    if (i->asked == IMAP_ASKED_LITERAL)
        i->client.literal = i->waiting_literal;
    if (i->asked == IMAP_ASKED_IDLE)
        i->is_idle = true;
    if (i->asked != IMAP_ASKED_COMPRESS)
        i->asked = IMAP_ASKED_NOTHING;
}

/* A line of the server is complete; false when nothing can be said any more. */
static bool imap_server_line(struct imap_watch *i)
{
    struct imap_stream *s = &i->server;
    uint64_t size;
    bool is_sync;
    bool is_first = !s->is_tail_line;
    bool is_untagged = s->tag_len == 1 && s->tag_first == '*';
    bool is_continuation = imap_server_is_continuation(i);
    bool is_status = IMAP_WORD_IS(s, "OK") || IMAP_WORD_IS(s, "NO") || IMAP_WORD_IS(s, "BAD") ||
                     IMAP_WORD_IS(s, "BYE") || IMAP_WORD_IS(s, "PREAUTH");
    if (is_untagged && !is_status && imap_stream_literal(s, &size, &is_sync)) {
        s->is_tail_line = true;
        s->words = 2;
        s->tail_len = 0;
        s->literal = size;
        return true;
    }
    if (is_first && is_continuation)
        imap_server_continues(i);
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
