/* SPDX-License-Identifier: ISC */
/* The tap of one session: masks what is said there and tells it, or keeps it until it is known whom
 * the session belongs to. */
#include "session/trace_tap.h"

#include "base/clock.h"
#include "proto/redact.h"

/* Of one session, and of all together, that nobody may want in the end. */
#define TAP_KEPT_MAX 16384
#define TAPS_KEPT_MAX (4 * (size_t)1024 * 1024)
/* Of secrets that a peer could repeat: bytes, and words to look for in each reply. */
#define TAP_HIDDEN_MAX 65536
#define TAP_HIDDEN_WORDS_MAX 64

struct trace_tap {
    struct list link; /* of traces.taps */
    struct session *session;
    uint8_t live, maybe;  /* slots of traces */
    size_t shown;         /* of the client's input: bytes that were told, before they were used */
    size_t n_public;      /* of the same, as of the last look */
    bool has_stars;       /* the command that is coming in has its stars already */
    bool is_all_hidden;   /* there was no room to keep what is secret */
    struct buf hidden;    /* secrets since the last command began; wiped */
    size_t n_hidden;      /* words of it */
    struct buf kept;      /* struct trace_tap_event and its bytes, again and again */
    uint64_t n_forgotten; /* events that were kept but had to give way */
    struct redact_relay relay;
};

_Static_assert(TRACES_MAX <= 8, "the slots fit the bits of a tap");

/* ---- telling and keeping ---- */

void trace_send(struct worker_trace *t, uint64_t session, const struct trace_tap_event *e,
                const char *bytes)
{
    size_t weight = sizeof(struct session_trace_event) + e->n;
    struct session_trace_event *m = t->flight + weight > TRACE_FLIGHT_MAX ? NULL : malloc(weight);
    if (!m) {
        t->lost++;
        return;
    }
    *m = (struct session_trace_event){.mail = {.fn = t->spec.deliver},
                                      .number = t->spec.number,
                                      .worker = t->env->worker,
                                      .session = session,
                                      .at_ms = e->at_ms,
                                      .direction = e->direction,
                                      .is_masked = e->is_masked,
                                      .left_out = e->left_out,
                                      .lost = t->lost,
                                      .weight = weight,
                                      .n = e->n};
    if (e->n > 0)
        memcpy(m->bytes, bytes, e->n);
    t->flight += weight;
    t->lost = 0;
    mailbox_post(t->spec.reply, &m->mail);
}

static void trace_tap_forget_kept(struct trace_tap *t)
{
    t->session->env->traces->kept_bytes -= t->kept.len;
    buf_fini(&t->kept);
    t->kept = BUF_INIT;
}

static size_t kept_count(const struct buf *kept)
{
    struct trace_tap_event e;
    size_t n = 0;
    for (struct str rest = buf_str(kept); rest.n > 0; n++) {
        memcpy(&e, rest.p, sizeof(e));
        rest = str_skip(rest, sizeof(e) + e.n);
    }
    return n;
}

static void trace_tap_keep(struct trace_tap *t, const struct trace_tap_event *e, const char *bytes)
{
    struct worker_traces *all = t->session->env->traces;
    size_t n = sizeof(*e) + e->n;
    if (t->kept.len + n > TAP_KEPT_MAX || all->kept_bytes + n > TAPS_KEPT_MAX) {
        t->n_forgotten += kept_count(&t->kept);
        trace_tap_forget_kept(t);
    }
    if (all->kept_bytes + n > TAPS_KEPT_MAX || buf_reserve(&t->kept, n) < 0) {
        t->n_forgotten++;
        return;
    }
    memcpy(buf_tail(&t->kept), e, sizeof(*e));
    if (e->n > 0)
        memcpy(buf_tail(&t->kept) + sizeof(*e), bytes, e->n);
    buf_commit(&t->kept, n);
    all->kept_bytes += n;
}

/* To those of `live`, and kept when one of `maybe` waits. bytes are fit to be shown. */
static void trace_tap_tell(struct trace_tap *t, unsigned live, unsigned maybe,
                           enum trace_direction d, struct str bytes, bool is_masked)
{
    struct worker_traces *all = t->session->env->traces;
    struct trace_tap_event e = {.at_ms = clock_wall_ms(),
                                .direction = d,
                                .is_masked = is_masked,
                                .n = bytes.n < TRACE_BYTES_MAX ? bytes.n : TRACE_BYTES_MAX};
    e.left_out = bytes.n - e.n;
    for (unsigned i = 0; i < TRACES_MAX; i++)
        if (live & 1u << i)
            trace_send(all->slots[i], t->session->id, &e, bytes.p);
    if (maybe)
        trace_tap_keep(t, &e, bytes.p);
}

static void trace_tap_tell_all(struct trace_tap *t, enum trace_direction d, struct str bytes,
                               bool is_masked)
{
    if (bytes.n > 0)
        trace_tap_tell(t, t->live, t->maybe, d, bytes, is_masked);
}

/* Without memory, stars for all of it. */
static void trace_tap_tell_redacted(struct trace_tap *t, enum trace_direction d, struct str bytes)
{
    AUTO_BUF out = BUF_INIT;
    if (t->is_all_hidden || redact_append(&out, bytes, buf_str(&t->hidden)) < 0)
        trace_tap_tell_all(t, d, STR(REDACT_STARS), true);
    else
        trace_tap_tell_all(t, d, buf_str(&out), !str_eq(buf_str(&out), bytes));
}

void trace_tap_note(struct session *s, const char *fmt, ...)
{
    AUTO_BUF text = BUF_INIT;
    va_list ap;
    va_start(ap, fmt);
    int err = buf_vprintf(&text, fmt, ap);
    va_end(ap);
    if (err == 0)
        trace_tap_tell_all(s->tap, TRACE_NOTE, buf_str(&text), false);
}

/* Stars in the place of one known word would tell the word. */
void trace_tap_note_words(struct session *s, const char *what, struct str words)
{
    const struct trace_tap *t = s->tap;
    AUTO_BUF out = BUF_INIT;
    bool is_fit = !t->is_all_hidden && redact_append(&out, words, buf_str(&t->hidden)) == 0 &&
                  str_eq(buf_str(&out), words);
    if (!is_fit)
        words = STR("words that are not shown here");
    trace_tap_note(s, "%s: %.*s", what, STR_ARG(words));
}

/* ---- life ---- */

struct session *trace_tap_session(struct list *link)
{
    return LIST_ITEM(link, struct trace_tap, link)->session;
}

static bool trace_tap_is_between(const struct session *s)
{
    return s->watch && (s->watch->phase == WATCH_BETWEEN || s->watch->phase == WATCH_IDLE);
}

static struct trace_tap *trace_tap_new(struct session *s)
{
    struct trace_tap *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    t->session = s;
    if (!s->pre)
        redact_relay_init(&t->relay, s->proto, trace_tap_is_between(s),
                          str_of(s->watch ? s->watch->verb : NULL));
    list_add_tail(&s->env->traces->taps, &t->link);
    s->tap = t;
    return t;
}

/* The first words: who it is and how far it has come. */
static void trace_tap_introduce(struct trace_tap *t, unsigned live, unsigned maybe)
{
    const struct session *s = t->session;
    char peer[ADDR_TEXT_MAX];
    AUTO_BUF text = BUF_INIT;
    addr_format(peer, &s->peer);
    int err = buf_printf(&text, "%s session of %s on listener %s", s->proto->name, peer,
                         s->listener->config->name);
    if (err == 0 && s->state != SESSION_ACCEPT && s->state != SESSION_PROXY_HEADER)
        err = buf_printf(&text, ", under way: %s", session_state_name(s->state));
    if (err == 0 && s->user)
        err = buf_printf(&text, ", user %s", s->user);
    if (err == 0 && s->backend)
        err = buf_printf(&text, ", backend %s/%s", s->backend->pool, s->backend->name);
    if (err == 0)
        trace_tap_tell(t, live, maybe, TRACE_NOTE, buf_str(&text), false);
}

int trace_tap_add(struct session *s, unsigned live, unsigned maybe)
{
    struct trace_tap *t = s->tap ? s->tap : trace_tap_new(s);
    if (!t)
        return -ERR_NOMEM;
    unsigned known = t->live | t->maybe;
    live &= ~known;
    maybe &= ~known;
    bool is_kept = t->maybe != 0; /* the words stand there already */
    t->live |= (uint8_t)live;
    t->maybe |= (uint8_t)maybe;
    if (live || (maybe && !is_kept))
        trace_tap_introduce(t, live, is_kept ? 0 : maybe);
    return 0;
}

bool trace_tap_waits(const struct trace_tap *t, unsigned slot)
{
    return t->maybe & 1u << slot;
}

void trace_tap_promote(struct session *s, unsigned slot)
{
    struct trace_tap *t = s->tap;
    struct trace_tap_event e;
    if (t->n_forgotten > 0) {
        char text[80];
        int n = snprintf(text, sizeof(text), "%llu events before this were not kept",
                         (unsigned long long)t->n_forgotten);
        trace_tap_tell(t, 1u << slot, 0, TRACE_NOTE, str_n(text, (size_t)n), false);
    }
    for (struct str rest = buf_str(&t->kept); rest.n > 0;) {
        memcpy(&e, rest.p, sizeof(e));
        trace_send(s->env->traces->slots[slot], s->id, &e, rest.p + sizeof(e));
        rest = str_skip(rest, sizeof(e) + e.n);
    }
    t->maybe &= (uint8_t) ~(1u << slot);
    t->live |= (uint8_t)(1u << slot);
    if (!t->maybe)
        trace_tap_forget_kept(t);
}

void trace_tap_free(struct session *s)
{
    struct trace_tap *t = STEAL(s->tap);
    if (!t)
        return;
    trace_tap_forget_kept(t);
    list_del(&t->link);
    buf_wipe(&t->hidden);
    explicit_bzero(t, sizeof(*t));
    free(t);
}

void trace_tap_drop(struct session *s, unsigned slot)
{
    struct trace_tap *t = s->tap;
    t->live &= (uint8_t) ~(1u << slot);
    t->maybe &= (uint8_t) ~(1u << slot);
    if (!t->live && !t->maybe)
        trace_tap_free(s);
    else if (!t->maybe)
        trace_tap_forget_kept(t);
}

/* ---- masking: commands with secrets ---- */

static void trace_tap_hide_nothing(struct trace_tap *t)
{
    buf_wipe(&t->hidden);
    t->n_hidden = 0;
    t->is_all_hidden = false;
}

/* Tells what was said, of which the first n_public bytes may be shown. */
static void trace_tap_tell_masked(struct trace_tap *t, enum trace_direction d, struct str said,
                                  size_t n_public)
{
    AUTO_BUF out = BUF_INIT;
    struct str shown = str_head(said, n_public), secret = str_skip(said, shown.n);
    if (secret.n == 0) {
        trace_tap_tell_all(t, d, shown, false);
        return;
    }
    t->n_hidden += redact_count_words(secret);
    if (t->n_hidden > TAP_HIDDEN_WORDS_MAX || t->hidden.len + secret.n > TAP_HIDDEN_MAX ||
        buf_append_str(&t->hidden, secret) < 0 || buf_append_char(&t->hidden, '\n') < 0)
        t->is_all_hidden = true;
    int err = buf_append_str(&out, str_head(shown, TRACE_BYTES_MAX));
    if (err == 0)
        err = buf_append_c(&out, REDACT_STARS);
    if (err == 0 && secret.p[secret.n - 1] == '\n')
        err = buf_append_c(&out, "\r\n");
    trace_tap_tell_all(t, d, err < 0 ? STR(REDACT_STARS) : buf_str(&out), true);
}

void trace_tap_proxy_header(struct session *s, struct str bytes)
{
    trace_tap_tell_all(s->tap, TRACE_CLIENT_IN, bytes, false);
}

void trace_tap_before_feed(struct session *s)
{
    struct trace_tap *t = s->tap;
    const struct front *f = s->pre->front;
    if (t->shown == 0 && !f->is_exchange)
        trace_tap_hide_nothing(t);
    t->n_public = redact_bytes(s->proto, buf_str(&s->pre->in), f->is_exchange);
}

/* Of a command that is not whole only what can be shown is told: what the rest of it is must be
 * known before stars stand for it. */
static void trace_tap_tell_input(struct session *s, size_t end)
{
    struct trace_tap *t = s->tap;
    struct str in = str_head(buf_str(&s->pre->in), end);
    size_t from = t->shown < in.n ? t->shown : in.n;
    size_t n_public = t->n_public < in.n ? t->n_public : in.n;
    trace_tap_tell_masked(t, TRACE_CLIENT_IN, str_skip(in, from),
                          n_public > from ? n_public - from : 0);
}

void trace_tap_after_feed(struct session *s, size_t used)
{
    struct trace_tap *t = s->tap;
    trace_tap_tell_input(s, used ? used : t->n_public);
    if (used)
        t->shown = 0;
    else if (t->n_public > t->shown)
        t->shown = t->n_public;
}

void trace_tap_input_dropped(struct session *s)
{
    if (s->pre->in.len > s->tap->shown)
        trace_tap_note(s, "bytes of the client that came before TLS are thrown away");
    s->tap->shown = 0;
}

void trace_tap_client_out(struct session *s, struct str bytes)
{
    trace_tap_tell_redacted(s->tap, TRACE_CLIENT_OUT, bytes);
}

void trace_tap_login(struct session *s, enum login_speaker who, struct str bytes)
{
    struct trace_tap *t = s->tap;
    switch (who) {
    case LOGIN_SERVER:
        trace_tap_tell_redacted(t, TRACE_SERVER_IN, bytes);
        break;
    case LOGIN_PROXY_HEADER:
        trace_tap_tell_all(t, TRACE_SERVER_OUT, bytes, false);
        break;
    case LOGIN_PROXY:
    case LOGIN_PROXY_SECRET:
        trace_tap_tell_masked(t, TRACE_SERVER_OUT, bytes,
                              redact_bytes(s->proto, bytes, who == LOGIN_PROXY_SECRET));
        break;
    }
}

/* ---- the relay ---- */

void trace_tap_relay_begin(struct session *s)
{
    for (unsigned i = 0; i < TRACES_MAX && s->tap; i++)
        if (trace_tap_waits(s->tap, i))
            trace_tap_drop(s, i);
    if (!s->tap)
        return;
    trace_tap_hide_nothing(s->tap);
    redact_relay_init(&s->tap->relay, s->proto, true, STR_NULL);
    bool has_user = s->user && s->user[0];
    trace_tap_note(s, "%s%s; relaying to %s/%s", has_user ? "logged in as " : "without login",
                   has_user ? s->user : "", s->backend->pool, s->backend->name);
}

void trace_tap_relay(struct session *s, bool is_client, struct str bytes)
{
    struct trace_tap *t = s->tap;
    AUTO_BUF out = BUF_INIT;
    bool is_masked;
    if (!is_client) {
        trace_tap_tell_all(t, TRACE_RELAY_OUT, bytes, false);
        if (trace_tap_is_between(s))
            redact_relay_login_over(&t->relay);
    } else if (redact_relay_client(&t->relay, bytes, &out, &is_masked) < 0) {
        trace_tap_tell_all(t, TRACE_RELAY_IN, STR(REDACT_STARS), true);
    } else {
        trace_tap_tell_all(t, TRACE_RELAY_IN, buf_str(&out), is_masked);
    }
}

/* ---- the end ---- */

void trace_tap_input_over(struct session *s)
{
    if (!s->pre || !s->pre->front || s->pre->in.len <= s->tap->shown)
        return;
    trace_tap_before_feed(s);
    trace_tap_tell_input(s, s->pre->in.len);
}

void trace_tap_end(struct session *s)
{
    trace_tap_input_over(s);
    trace_tap_note(s, "ended by %s: %s", session_end_who(s->end), session_end_name(s->end));
    trace_tap_free(s);
}
