/* SPDX-License-Identifier: ISC */
/* One session of the load generator: it connects, secures, and works through its dialogues. */
#include <sys/epoll.h>

#include "base/clock.h"
#include "load.h"

#define LOAD_IDLERS 10 /* of so many sessions of a day, one does not only idle */
#define LOAD_PER_SOURCE 20000

static void session_advance(struct load_session *s);
static void on_session(struct net_source *source, uint32_t events);

void load_session_init(struct load_session *s, struct load *l, unsigned number)
{
    *s = (struct load_session){.source = {.fd = -1, .ready = on_session},
                               .load = l,
                               .number = number,
                               .phase = LOAD_CLOSED};
    list_init(&s->link);
}

bool load_session_is_idler(const struct load_session *s)
{
    enum load_work work = s->load->options.work;
    return work == LOAD_IDLE || (work == LOAD_DAY && s->number % LOAD_IDLERS != 0);
}

/* ---- ends ---- */

static void session_close(struct load_session *s)
{
    net_close(&s->source);
    load_tls_end(s);
    s->is_handshaking = s->is_continued = false;
    s->skip = s->body = 0;
    buf_fini(&s->line);
    buf_fini(&s->out);
    list_del(&s->link);
    s->phase = LOAD_CLOSED;
}

static void session_fail(struct load_session *s, const char *why, struct str what)
{
    static const char *const phases[] = {"greeting", "STARTTLS", "login", "rest", "work", "logout"};
    if (s->phase == LOAD_CLOSED)
        return;
    load_report_error(&s->load->report, "session %u, %s: %s %.*s", s->number, phases[s->phase], why,
                      STR_ARG(what));
    if (s->phase != LOAD_READY)
        s->load->n_busy--;
    session_close(s);
}

/* ---- phases ---- */

static void session_enter(struct load_session *s, enum load_phase phase,
                          const struct load_step *steps)
{
    s->phase = phase;
    s->step = steps;
    session_advance(s);
}

/* Goes on with the handshake, and with the dialogue when it is done. */
static void session_shake(struct load_session *s)
{
    int err = load_tls_handshake(s);
    if (err == 0 && s->phase == LOAD_STARTING_TLS)
        session_enter(s, LOAD_LOGGING_IN, s->load->options.proto->login);
    else if (err != 0 && err != -ERR_AGAIN)
        session_fail(s, "handshake failed:", str_of(err_text(err)));
}

static void session_secure(struct load_session *s)
{
    if (load_tls_start(s) == 0)
        session_shake(s);
    else
        session_fail(s, "no TLS", STR_NULL);
}

static void session_rest(struct load_session *s)
{
    s->phase = LOAD_READY;
    s->load->n_busy--;
}

static void session_logged_in(struct load_session *s)
{
    const struct load_dialogue *d = s->load->options.proto;
    if (s->load->options.work == LOAD_LOGIN) {
        load_report_unit(&s->load->report, clock_us() - s->begun_us);
        session_enter(s, LOAD_LEAVING, d->logout);
    } else if (load_session_is_idler(s)) {
        session_enter(s, LOAD_WORKING, d->work[LOAD_IDLE]);
    } else {
        session_rest(s);
    }
}

static void session_worked(struct load_session *s)
{
    struct load *l = s->load;
    session_rest(s);
    if (load_session_is_idler(s))
        return;
    uint64_t now_us = clock_us();
    load_report_unit(&l->report, now_us - s->begun_us);
    if (l->options.think_ms == 0) {
        load_session_work(s);
        return;
    }
    s->due_us = now_us + l->options.think_ms * 1000;
    list_add_tail(&l->thinking, &s->link);
}

static void session_left(struct load_session *s)
{
    s->load->n_busy--;
    session_close(s);
    load_session_work(s);
}

static void session_phase_over(struct load_session *s)
{
    const struct load_options *o = &s->load->options;
    switch (s->phase) {
    case LOAD_GREETING:
        if (o->tls == LOAD_TLS_STARTTLS)
            session_enter(s, LOAD_STARTING_TLS, o->proto->starttls);
        else
            session_enter(s, LOAD_LOGGING_IN, o->proto->login);
        break;
    case LOAD_STARTING_TLS:
        session_secure(s);
        break;
    case LOAD_LOGGING_IN:
        session_logged_in(s);
        break;
    case LOAD_WORKING:
        session_worked(s);
        break;
    case LOAD_LEAVING:
        session_left(s);
        break;
    case LOAD_READY:
    case LOAD_CLOSED:
        break;
    }
}

/* ---- speaking ---- */

/* AUTH PLAIN (RFC 4616). */
static int session_say_plain(struct load_session *s)
{
    char text[64];
    int n = snprintf(text, sizeof(text), "%cuser%05u@bench.test%csecret", 0, s->number, 0);
    return str_base64_encode(str_n(text, (size_t)n), &s->out);
}

static int session_say(struct load_session *s, const char *text)
{
    int err = 0;
    for (; err == 0 && *text; text++) {
        if (*text != '$') {
            err = buf_append_char(&s->out, *text);
            continue;
        }
        text++;
        if (*text == 'a')
            err = session_say_plain(s);
        else if (*text == 'u')
            err = buf_printf(&s->out, "user%05u@bench.test", s->number);
        else
            err = buf_printf(&s->out, "%llu", (unsigned long long)s->load->options.bytes);
    }
    return err;
}

/* What was said, then the body: 0 when all of it left, -ERR_AGAIN, -ERR_x. */
static int session_flush(struct load_session *s)
{
    int err = 0;
    size_t n;
    while (err == 0 && s->out.len > 0) {
        struct str out = buf_str(&s->out);
        if ((err = load_send(s, out.p, out.n, &n)) == 0)
            buf_consume(&s->out, n);
    }
    while (err == 0 && s->body > 0) {
        size_t piece = s->body < LOAD_READ_BYTES ? s->body : LOAD_READ_BYTES;
        if ((err = load_send(s, s->load->body, piece, &n)) == 0)
            s->body -= n;
    }
    return err;
}

/* Sends what the kernel takes, and goes on behind a body that has left as a whole. */
static void session_push(struct load_session *s)
{
    int err = session_flush(s);
    if (err == 0 && s->step->kind == LOAD_BODY) {
        s->step++;
        session_advance(s);
    } else if (err != 0 && err != -ERR_AGAIN) {
        session_fail(s, "cannot send:", str_of(err_text(err)));
    }
}

/* Goes through the steps up to one that has to wait. */
static void session_advance(struct load_session *s)
{
    const struct load_step *step = s->step;
    int err = 0;
    for (; err == 0 && step->kind == LOAD_SEND; step++)
        err = session_say(s, step->text);
    s->step = step;
    if (err == 0 && step->kind == LOAD_BODY)
        s->body = s->load->options.bytes;
    if (err < 0)
        session_fail(s, "cannot speak:", str_of(err_text(err)));
    else if (step->kind == LOAD_END)
        session_phase_over(s);
    else
        session_push(s);
}

/* ---- listening ---- */

/* Length of the literal that a line ends in, 0 = none. */
static uint64_t line_literal(struct str line)
{
    uint64_t n;
    const char *open =
        line.n > 2 && line.p[line.n - 1] == '}' ? memrchr(line.p, '{', line.n) : NULL;
    if (!open || str_to_u64(str_n(open + 1, (size_t)(line.p + line.n - open) - 2), UINT32_MAX, &n))
        return 0;
    return n;
}

static void session_line(struct load_session *s, struct str line)
{
    const char *notes = s->load->options.proto->notes;
    bool is_awaited = s->step->kind == LOAD_EXPECT;
    if (s->is_continued) {
        s->is_continued = false;
    } else if (is_awaited && str_is_prefix(line, str_of(s->step->text))) {
        s->step++;
        session_advance(s);
    } else if (notes && str_is_prefix(line, str_of(notes))) {
        s->skip = line_literal(line);
        s->is_continued = s->skip > 0;
    } else {
        session_fail(s, "unexpected", line);
    }
}

/* Full lines are handled; the beginning of one waits in s->line. */
static int session_feed(struct load_session *s, struct str in)
{
    while (in.n > 0 && s->phase != LOAD_CLOSED) {
        size_t n = in.n < s->skip ? in.n : s->skip;
        s->skip -= n;
        in = str_n(in.p + n, in.n - n);
        const char *end = in.n > 0 ? memchr(in.p, '\n', in.n) : NULL;
        if (!end)
            return buf_append_str(&s->line, in);
        struct str line = str_n(in.p, (size_t)(end - in.p));
        in = str_n(end + 1, in.n - line.n - 1);
        AUTO_BUF whole = s->line;
        s->line = BUF_INIT;
        if (whole.len > 0) {
            if (buf_append_str(&whole, line) < 0)
                return -ERR_NOMEM;
            line = buf_str(&whole);
        }
        session_line(s, str_trim(line));
    }
    return 0;
}

/* Bytes that TLS keeps back and the end of the stream are not announced again. */
static void session_read(struct load_session *s, uint32_t events)
{
    struct load *l = s->load;
    bool is_ending = s->ssl || (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
    int err = 0;
    size_t n = sizeof(l->in);
    int fd = s->source.fd;
    while (err == 0 && s->source.fd == fd && (is_ending || n == sizeof(l->in))) {
        err = load_recv(s, l->in, sizeof(l->in), &n);
        if (err == 0)
            err = session_feed(s, str_n(l->in, n));
        if (s->is_handshaking) /* STARTTLS was said: what follows is the handshake's */
            return;
    }
    if (s->source.fd != fd || err == 0 || err == -ERR_AGAIN)
        return;
    if (err == -ERR_EOF && s->step->kind == LOAD_EOF) {
        s->step++;
        session_advance(s);
    } else {
        session_fail(s, "connection lost:", str_of(err_text(err)));
    }
}

static void on_session(struct net_source *source, uint32_t events)
{
    struct load_session *s = CONTAINER_OF(source, struct load_session, source);
    if (s->phase == LOAD_CLOSED)
        return;
    if (s->load->options.tls == LOAD_TLS_ON && !s->ssl)
        session_secure(s);
    else if (s->is_handshaking)
        session_shake(s);
    if (s->phase == LOAD_CLOSED || s->is_handshaking)
        return;
    if (s->out.len > 0 || s->body > 0)
        session_push(s);
    if (s->phase != LOAD_CLOSED)
        session_read(s, events);
}

/* ---- begins ---- */

void load_session_open(struct load_session *s)
{
    const struct load_options *o = &s->load->options;
    struct addr source = o->to;
    unsigned block = s->number / LOAD_PER_SOURCE;
    if (o->sources > 0) /* loopback has more addresses than one has ports */
        source = (struct addr){.ip = {[10] = 0xff, 0xff, 127, 1, (uint8_t)(block % o->sources), 1},
                               .family = AF_INET};
    s->phase = LOAD_GREETING;
    s->step = o->proto->greeting;
    s->begun_us = clock_us();
    s->load->n_busy++;
    int fd = net_connect(&o->to, o->sources > 0 ? &source : NULL);
    int err = fd < 0 ? fd : net_add(&s->load->net, &s->source, fd);
    if (err != 0)
        session_fail(s, "cannot connect:", str_of(err_text(err)));
}

static bool load_is_over(const struct load *l)
{
    return l->is_over || (l->options.units > 0 && l->n_begun >= l->options.units) ||
           (l->end_us > 0 && clock_us() >= l->end_us);
}

void load_session_work(struct load_session *s)
{
    struct load *l = s->load;
    if (load_is_over(l))
        return;
    l->n_begun++;
    if (l->options.work == LOAD_LOGIN) {
        load_session_open(s);
        return;
    }
    l->n_busy++;
    s->begun_us = clock_us();
    session_enter(s, LOAD_WORKING, l->options.proto->work[l->options.work]);
}
