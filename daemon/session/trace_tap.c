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

struct tap {
    struct list link; /* of traces.taps */
    struct session *session;
    uint8_t live, maybe;  /* slots of traces */
    size_t shown;         /* of the client's input: bytes that were told, before they were used */
    size_t n_public;      /* of the same, as of the last look */
    bool has_stars;       /* the command that is coming in has its stars already */
    bool is_all_hidden;   /* there was no room to keep what is secret */
    struct buf hidden;    /* secrets since the last command began; wiped */
    size_t n_hidden;      /* words of it */
    struct buf kept;      /* struct tap_event and its bytes, again and again */
    uint64_t n_forgotten; /* events that were kept but had to give way */
    struct public_relay relay;
};

_Static_assert(TRACES_MAX <= 8, "the slots fit the bits of a tap");

/* ---- telling and keeping ---- */

void trace_send(struct trace *t, uint64_t session, const struct tap_event *e, const char *bytes)
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

static void tap_forget_kept(struct tap *t)
{
    t->session->env->traces->kept_bytes -= t->kept.len;
    buf_fini(&t->kept);
    t->kept = BUF_INIT;
}

static size_t kept_count(const struct buf *kept)
{
    struct tap_event e;
    size_t n = 0;
    for (struct str rest = buf_str(kept); rest.n > 0; n++) {
        memcpy(&e, rest.p, sizeof(e));
        rest = str_skip(rest, sizeof(e) + e.n);
    }
    return n;
}

static void tap_keep(struct tap *t, const struct tap_event *e, const char *bytes)
{
    struct traces *all = t->session->env->traces;
    size_t n = sizeof(*e) + e->n;
    if (t->kept.len + n > TAP_KEPT_MAX || all->kept_bytes + n > TAPS_KEPT_MAX) {
        t->n_forgotten += kept_count(&t->kept);
        tap_forget_kept(t);
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
static void tap_tell(struct tap *t, unsigned live, unsigned maybe, enum trace_direction d,
                     struct str bytes, bool is_masked)
{
    struct traces *all = t->session->env->traces;
    struct tap_event e = {.at_ms = clock_wall_ms(),
                          .direction = d,
                          .is_masked = is_masked,
                          .n = bytes.n < TRACE_BYTES_MAX ? bytes.n : TRACE_BYTES_MAX};
    e.left_out = bytes.n - e.n;
    for (unsigned i = 0; i < TRACES_MAX; i++)
        if (live & 1u << i)
            trace_send(all->slots[i], t->session->id, &e, bytes.p);
    if (maybe)
        tap_keep(t, &e, bytes.p);
}

static void tap_tell_all(struct tap *t, enum trace_direction d, struct str bytes, bool is_masked)
{
    if (bytes.n > 0)
        tap_tell(t, t->live, t->maybe, d, bytes, is_masked);
}

/* Without memory, stars for all of it. */
static void tap_tell_redacted(struct tap *t, enum trace_direction d, struct str bytes)
{
    AUTO_BUF out = BUF_INIT;
    if (t->is_all_hidden || public_append_redacted(&out, bytes, buf_str(&t->hidden)) < 0)
        tap_tell_all(t, d, STR(PUBLIC_STARS), true);
    else
        tap_tell_all(t, d, buf_str(&out), !str_eq(buf_str(&out), bytes));
}

void tap_note(struct session *s, const char *fmt, ...)
{
    AUTO_BUF text = BUF_INIT;
    va_list ap;
    va_start(ap, fmt);
    int err = buf_vprintf(&text, fmt, ap);
    va_end(ap);
    if (err == 0)
        tap_tell_all(s->tap, TRACE_NOTE, buf_str(&text), false);
}

/* Stars in the place of one known word would tell the word. */
void tap_note_words(struct session *s, const char *what, struct str words)
{
    const struct tap *t = s->tap;
    AUTO_BUF out = BUF_INIT;
    bool is_fit = !t->is_all_hidden &&
                  public_append_redacted(&out, words, buf_str(&t->hidden)) == 0 &&
                  str_eq(buf_str(&out), words);
    if (!is_fit)
        words = STR("words that are not shown here");
    tap_note(s, "%s: %.*s", what, STR_ARG(words));
}

/* ---- life ---- */

struct session *tap_session(struct list *link)
{
    return LIST_ITEM(link, struct tap, link)->session;
}

static bool tap_is_between(const struct session *s)
{
    return s->watch && (s->watch->phase == WATCH_BETWEEN || s->watch->phase == WATCH_IDLE);
}

static struct tap *tap_new(struct session *s)
{
    struct tap *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    t->session = s;
    if (!s->pre)
        public_relay_init(&t->relay, s->proto, tap_is_between(s),
                          str_of(s->watch ? s->watch->verb : NULL));
    list_add_tail(&s->env->traces->taps, &t->link);
    s->tap = t;
    return t;
}

/* The first words: who it is and how far it has come. */
static void tap_introduce(struct tap *t, unsigned live, unsigned maybe)
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
        tap_tell(t, live, maybe, TRACE_NOTE, buf_str(&text), false);
}

int tap_add(struct session *s, unsigned live, unsigned maybe)
{
    struct tap *t = s->tap ? s->tap : tap_new(s);
    if (!t)
        return -ERR_NOMEM;
    unsigned known = t->live | t->maybe;
    live &= ~known;
    maybe &= ~known;
    bool is_kept = t->maybe != 0; /* the words stand there already */
    t->live |= (uint8_t)live;
    t->maybe |= (uint8_t)maybe;
    if (live || (maybe && !is_kept))
        tap_introduce(t, live, is_kept ? 0 : maybe);
    return 0;
}

bool tap_waits(const struct tap *t, unsigned slot)
{
    return t->maybe & 1u << slot;
}

static void tap_tell_forgotten(struct tap *t, unsigned slot)
{
    char text[80];
    int n = snprintf(text, sizeof(text), "%llu events before this were not kept",
                     (unsigned long long)t->n_forgotten);
    tap_tell(t, 1u << slot, 0, TRACE_NOTE, str_n(text, (size_t)n), false);
}

void tap_promote(struct session *s, unsigned slot)
{
    struct tap *t = s->tap;
    struct tap_event e;
    if (t->n_forgotten > 0)
        tap_tell_forgotten(t, slot);
    for (struct str rest = buf_str(&t->kept); rest.n > 0;) {
        memcpy(&e, rest.p, sizeof(e));
        trace_send(s->env->traces->slots[slot], s->id, &e, rest.p + sizeof(e));
        rest = str_skip(rest, sizeof(e) + e.n);
    }
    t->maybe &= (uint8_t) ~(1u << slot);
    t->live |= (uint8_t)(1u << slot);
    if (!t->maybe)
        tap_forget_kept(t);
}

void tap_free(struct session *s)
{
    struct tap *t = STEAL(s->tap);
    if (!t)
        return;
    tap_forget_kept(t);
    list_del(&t->link);
    buf_wipe(&t->hidden);
    explicit_bzero(t, sizeof(*t));
    free(t);
}

void tap_drop(struct session *s, unsigned slot)
{
    struct tap *t = s->tap;
    t->live &= (uint8_t) ~(1u << slot);
    t->maybe &= (uint8_t) ~(1u << slot);
    if (!t->live && !t->maybe)
        tap_free(s);
    else if (!t->maybe)
        tap_forget_kept(t);
}

/* ---- masking: commands with secrets ---- */

static void tap_hide(struct tap *t, struct str secret)
{
    t->n_hidden += public_count_words(secret);
    if (t->n_hidden > TAP_HIDDEN_WORDS_MAX || t->hidden.len + secret.n > TAP_HIDDEN_MAX ||
        buf_append_str(&t->hidden, secret) < 0 || buf_append_char(&t->hidden, '\n') < 0)
        t->is_all_hidden = true;
}

static void tap_hide_nothing(struct tap *t)
{
    buf_wipe(&t->hidden);
    t->n_hidden = 0;
    t->is_all_hidden = false;
}

/* Tells what was said, of which the first n_public bytes may be shown. */
static void tap_tell_masked(struct tap *t, enum trace_direction d, struct str said, size_t n_public)
{
    AUTO_BUF out = BUF_INIT;
    struct str shown = str_head(said, n_public), secret = str_skip(said, shown.n);
    if (secret.n == 0) {
        tap_tell_all(t, d, shown, false);
        return;
    }
    tap_hide(t, secret);
    int err = buf_append_str(&out, str_head(shown, TRACE_BYTES_MAX));
    if (err == 0)
        err = buf_append_c(&out, PUBLIC_STARS);
    if (err == 0 && secret.p[secret.n - 1] == '\n')
        err = buf_append_c(&out, "\r\n");
    tap_tell_all(t, d, err < 0 ? STR(PUBLIC_STARS) : buf_str(&out), true);
}

void tap_proxy_header(struct session *s, struct str bytes)
{
    tap_tell_all(s->tap, TRACE_CLIENT_IN, bytes, false);
}

void tap_before_feed(struct session *s)
{
    struct tap *t = s->tap;
    const struct front *f = s->pre->front;
    if (t->shown == 0 && !f->is_exchange)
        tap_hide_nothing(t);
    t->n_public = public_bytes(s->proto, buf_str(&s->pre->in), f->is_exchange);
}

/* Of a command that is not whole only what can be shown is told: what the rest of it is must be
 * known before stars stand for it. */
static void tap_tell_input(struct session *s, size_t end)
{
    struct tap *t = s->tap;
    struct str in = str_head(buf_str(&s->pre->in), end);
    size_t from = t->shown < in.n ? t->shown : in.n;
    size_t n_public = t->n_public < in.n ? t->n_public : in.n;
    tap_tell_masked(t, TRACE_CLIENT_IN, str_skip(in, from), n_public > from ? n_public - from : 0);
}

void tap_after_feed(struct session *s, size_t used)
{
    struct tap *t = s->tap;
    tap_tell_input(s, used ? used : t->n_public);
    if (used)
        t->shown = 0;
    else if (t->n_public > t->shown)
        t->shown = t->n_public;
}

void tap_input_dropped(struct session *s)
{
    if (s->pre->in.len > s->tap->shown)
        tap_note(s, "bytes of the client that came before TLS are thrown away");
    s->tap->shown = 0;
}

void tap_client_out(struct session *s, struct str bytes)
{
    tap_tell_redacted(s->tap, TRACE_CLIENT_OUT, bytes);
}

void tap_login(struct session *s, enum login_speaker who, struct str bytes)
{
    struct tap *t = s->tap;
    switch (who) {
    case LOGIN_SERVER:
        tap_tell_redacted(t, TRACE_SERVER_IN, bytes);
        break;
    case LOGIN_PROXY_HEADER:
        tap_tell_all(t, TRACE_SERVER_OUT, bytes, false);
        break;
    case LOGIN_PROXY:
    case LOGIN_PROXY_SECRET:
        tap_tell_masked(t, TRACE_SERVER_OUT, bytes,
                        public_bytes(s->proto, bytes, who == LOGIN_PROXY_SECRET));
        break;
    }
}

/* ---- the relay ---- */

void tap_relay_begin(struct session *s)
{
    for (unsigned i = 0; i < TRACES_MAX && s->tap; i++)
        if (tap_waits(s->tap, i))
            tap_drop(s, i);
    if (!s->tap)
        return;
    tap_hide_nothing(s->tap);
    public_relay_init(&s->tap->relay, s->proto, true, STR_NULL);
    bool has_user = s->user && s->user[0];
    tap_note(s, "%s%s; relaying to %s/%s", has_user ? "logged in as " : "without login",
             has_user ? s->user : "", s->backend->pool, s->backend->name);
}

void tap_relay(struct session *s, bool is_client, struct str bytes)
{
    struct tap *t = s->tap;
    AUTO_BUF out = BUF_INIT;
    bool is_masked;
    if (!is_client) {
        tap_tell_all(t, TRACE_RELAY_OUT, bytes, false);
        if (tap_is_between(s))
            public_relay_settle(&t->relay);
    } else if (public_relay_client(&t->relay, bytes, &out, &is_masked) < 0) {
        tap_tell_all(t, TRACE_RELAY_IN, STR(PUBLIC_STARS), true);
    } else {
        tap_tell_all(t, TRACE_RELAY_IN, buf_str(&out), is_masked);
    }
}

/* ---- the end ---- */

void tap_input_over(struct session *s)
{
    if (!s->pre || !s->pre->front || s->pre->in.len <= s->tap->shown)
        return;
    tap_before_feed(s);
    tap_tell_input(s, s->pre->in.len);
}

void tap_end(struct session *s)
{
    tap_input_over(s);
    tap_note(s, "ended by %s: %s", session_end_who(s->end), session_end_name(s->end));
    tap_free(s);
}
