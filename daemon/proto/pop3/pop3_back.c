/* SPDX-License-Identifier: ISC */
/* POP3 towards a mail server: greeting, STLS, capabilities, identity, login; the same dialogue
 * checks its health. */
#include "base/zalloc.h"
#include "proto/back_sasl.h"
#include "proto/line.h"
#include "proto/pop3/pop3.h"

enum pop3_step {
    POP3_STLS,
    POP3_CAPA,
    POP3_XCLIENT,
    POP3_USER,
    POP3_PASS,
    POP3_AUTH,
    POP3_QUIT,
    POP3_STEP_COUNT
};

static const char *const pop3_step_names[POP3_STEP_COUNT] = {
    [POP3_STLS] = "starttls", [POP3_CAPA] = "capability", [POP3_XCLIENT] = "xclient",
    [POP3_USER] = "auth",     [POP3_PASS] = "auth",       [POP3_AUTH] = "auth",
    [POP3_QUIT] = "logout",
};

struct pop3_back {
    struct back b;
    struct buf capabilities; /* a line each */
    bool has_capabilities;   /* the server answered CAPA */
    bool is_greeted, is_tls, is_logged_in;
    bool is_capa_body; /* within the list of CAPA */
    bool has_xclient;  /* announced in the greeting */
    unsigned sent;     /* bits of steps */
    uint8_t n_queue;   /* commands that wait for their response, in order */
    uint8_t queue[POP3_STEP_COUNT];
    enum sasl_mech mech; /* of AUTH; SASL_NONE: USER and PASS */
    unsigned sasl_sent;  /* messages of the mechanism sent so far */
};

/* ---- object ---- */

struct back *pop3_back_new(const struct back_env *env)
{
    struct pop3_back *p = zalloc(sizeof(*p));
    if (!p)
        return NULL;
    back_init(&p->b, env);
    p->is_tls = env->is_tls_active || env->tls == BACK_TLS_IMPLICIT;
    p->mech = SASL_NONE;
    return &p->b;
}

void pop3_back_free(struct back *b)
{
    struct pop3_back *p = (struct pop3_back *)b;
    if (!p)
        return;
    back_fini(&p->b);
    buf_fini(&p->capabilities);
    free(p);
}

static enum back_result pop3_back_nomem(struct pop3_back *p)
{
    return back_fail_own(&p->b, BACK_FAIL_SHORTAGE, STR("out of memory"));
}

/* ---- capabilities ---- */

/* The arguments of a capability; false when it is not there. */
static bool pop3_back_find(const struct pop3_back *p, const char *name, struct str *ret_args)
{
    struct str rest = buf_str(&p->capabilities);
    while (rest.n > 0) {
        struct str line = str_cut(&rest, '\n');
        if (str_ieq(str_word(&line), str_of(name))) {
            *ret_args = line;
            return true;
        }
    }
    return false;
}

static bool pop3_back_has(const struct pop3_back *p, const char *name)
{
    struct str args;
    return pop3_back_find(p, name, &args);
}

/* One line of the list of CAPA; the list may be shown to clients, so it holds nothing strange. */
static enum back_result pop3_back_capa_line(struct pop3_back *p, struct str line)
{
    if (p->capabilities.len + line.n > POP3_CAPA_MAX)
        return back_fail_own(&p->b, BACK_FAIL_PROTOCOL, STR("list of capabilities is too long"));
    line = str_trim(line);
    if (line.n == 0 || !str_is_printable_ascii(line))
        return BACK_NEED_MORE;
    if (buf_append_str(&p->capabilities, line) < 0 || buf_append_char(&p->capabilities, '\n') < 0 ||
        buf_append_str(&p->b.learned, line) < 0 || buf_append_char(&p->b.learned, '\n') < 0)
        return pop3_back_nomem(p);
    return BACK_NEED_MORE;
}

/* ---- commands ---- */

static int pop3_back_begin(struct pop3_back *p, enum pop3_step step, const char *words,
                           struct buf *out)
{
    p->b.step = pop3_step_names[step];
    p->sent |= 1u << step;
    p->queue[p->n_queue++] = (uint8_t)step;
    return buf_append_c(out, words);
}

static enum back_result pop3_back_simple(struct pop3_back *p, enum pop3_step step,
                                         const char *words, struct buf *out)
{
    return pop3_back_begin(p, step, words, out) < 0 ? pop3_back_nomem(p) : BACK_NEED_MORE;
}

static int pop3_back_xclient_addr(struct buf *out, const char *addr, const char *port,
                                  const struct addr *a)
{
    char ip[ADDR_TEXT_MAX];
    if (a->family != AF_INET && a->family != AF_INET6)
        return 0;
    addr_format_ip(ip, a);
    return buf_printf(out, " %s=%s %s=%u", addr, ip, port, (unsigned)a->port);
}

/* The attributes that Dovecot reads. */
static int pop3_back_send_xclient(struct pop3_back *p, struct buf *out)
{
    const struct back_env *env = p->b.env;
    if (pop3_back_begin(p, POP3_XCLIENT, "XCLIENT", out) < 0 ||
        pop3_back_xclient_addr(out, "ADDR", "PORT", &env->client) < 0 ||
        pop3_back_xclient_addr(out, "DESTADDR", "DESTPORT", &env->local) < 0)
        return -ERR_NOMEM;
    if (env->session_id &&
        (buf_append_c(out, " SESSION=") < 0 || back_append_xtext(out, str_of(env->session_id)) < 0))
        return -ERR_NOMEM;
    return buf_printf(out, " TTL=%u CLIENT-TRANSPORT=%s\r\n", env->ttl,
                      env->client_tls ? "TLS" : "insecure");
}

/* ---- login ---- */

/* Is a mechanism needed: a token, or a second identity, which USER cannot name? */
static bool pop3_back_demands_sasl(const struct back_env *env)
{
    const struct credentials *c = env->cred;
    bool is_token = c->mech == SASL_XOAUTH2 || c->mech == SASL_OAUTHBEARER;
    bool has_authzid = c->authzid.len > 0 && !str_eq(buf_str(&c->authzid), buf_str(&c->user));
    return is_token || has_authzid || env->master_user;
}

/* USER and PASS wherever they do; false when the server offers no way. */
static bool pop3_back_choose(struct pop3_back *p)
{
    const struct back_env *env = p->b.env;
    struct str args;
    /* All that can be sent when nothing is known of the server. */
    unsigned offered = SASL_BIT(SASL_PLAIN) | SASL_BIT(SASL_XOAUTH2) | SASL_BIT(SASL_OAUTHBEARER);
    if (p->has_capabilities)
        offered =
            pop3_back_find(p, "SASL", &args) ? back_sasl_mask(args) & ~SASL_BIT(SASL_LOGIN) : 0;
    bool is_user_missing = p->has_capabilities && !pop3_back_has(p, "USER");
    bool has_blank = str_index(buf_str(&env->cred->user), ' ') >= 0;
    p->mech = SASL_NONE;
    if (pop3_back_demands_sasl(env)) {
        p->mech = back_sasl_pick(env, offered);
        return p->mech != SASL_NONE;
    }
    if (is_user_missing || (has_blank && p->has_capabilities))
        p->mech = back_sasl_pick(env, offered);
    return p->mech != SASL_NONE || !is_user_missing;
}

/* What the server says now counts before what it said to others. */
static bool pop3_back_is_pipelining(const struct pop3_back *p)
{
    const struct back_env *env = p->b.env;
    return env->is_pipelining_allowed &&
           (p->has_capabilities ? pop3_back_has(p, "PIPELINING") : env->is_pipelining_known);
}

static int pop3_back_send_pass(struct pop3_back *p, struct buf *out)
{
    if (pop3_back_begin(p, POP3_PASS, "PASS ", out) < 0 ||
        buf_append_str(out, buf_str(&p->b.env->cred->secret)) < 0)
        return -ERR_NOMEM;
    return buf_append_c(out, "\r\n");
}

/* The next message of the mechanism; more than it has is cancelled. */
static int pop3_back_message(struct pop3_back *p, struct buf *out)
{
    AUTO_SECRET_BUF message = BUF_INIT;
    int r = back_sasl_message(p->b.env, p->mech, p->sasl_sent++, &message);
    if (r == -ERR_RANGE)
        return buf_append_char(out, '*');
    return r < 0 ? r : str_base64_encode(buf_str(&message), out);
}

/* With the message at once where the server is known to take it and the line stays short. */
static int pop3_back_send_auth(struct pop3_back *p, struct buf *out)
{
    AUTO_SECRET_BUF line = BUF_INIT;
    AUTO_SECRET_BUF initial = BUF_INIT;
    if (pop3_back_begin(p, POP3_AUTH, "AUTH ", &line) < 0 ||
        buf_append_c(&line, sasl_name(p->mech)) < 0 || pop3_back_message(p, &initial) < 0)
        return -ERR_NOMEM;
    bool is_short = line.len + 1 + initial.len + 2 <= POP3_INITIAL_MAX;
    if (p->has_capabilities && is_short) {
        if (buf_append_char(&line, ' ') < 0 || buf_append_str(&line, buf_str(&initial)) < 0)
            return -ERR_NOMEM;
    } else {
        p->sasl_sent = 0;
    }
    if (buf_append_str(out, buf_str(&line)) < 0)
        return -ERR_NOMEM;
    return buf_append_c(out, "\r\n");
}

/* ---- order of the steps ---- */

static enum back_result pop3_back_next(struct pop3_back *p, struct buf *out)
{
    const struct back_env *env = p->b.env;
    if (env->tls == BACK_TLS_STARTTLS && !p->is_tls)
        return pop3_back_simple(p, POP3_STLS, "STLS\r\n", out);
    bool is_known = p->has_capabilities || p->is_logged_in || (p->sent & 1u << POP3_CAPA);
    bool needs_capa =
        env->want_capabilities ||
        (env->cred && ((env->forward_id && !p->has_xclient) || pop3_back_demands_sasl(env)));
    if (needs_capa && !is_known)
        return pop3_back_simple(p, POP3_CAPA, "CAPA\r\n", out);
    if (env->is_warming)
        return BACK_READY;
    if (!env->cred || (p->is_logged_in && env->is_check))
        return pop3_back_simple(p, POP3_QUIT, "QUIT\r\n", out);
    if (p->is_logged_in)
        return BACK_DONE;
    bool knows_xclient = env->forward_id && (p->has_xclient || pop3_back_has(p, "XCLIENT"));
    if (!(p->sent & 1u << POP3_XCLIENT) && (env->xclient_forced || knows_xclient)) {
        if (pop3_back_send_xclient(p, out) < 0)
            return pop3_back_nomem(p);
        if (!pop3_back_is_pipelining(p))
            return BACK_NEED_MORE;
    }
    if (!pop3_back_choose(p)) {
        p->b.step = pop3_step_names[POP3_AUTH];
        return back_fail_own(&p->b, BACK_FAIL_NO_MECHANISM,
                             STR("the server offers no way to log in with these credentials"));
    }
    p->b.were_credentials_sent = true;
    if (p->mech != SASL_NONE)
        return pop3_back_send_auth(p, out) < 0 ? pop3_back_nomem(p) : BACK_NEED_MORE;
    if (pop3_back_begin(p, POP3_USER, "USER ", out) < 0 ||
        buf_append_str(out, buf_str(&env->cred->user)) < 0 || buf_append_c(out, "\r\n") < 0 ||
        (pop3_back_is_pipelining(p) && pop3_back_send_pass(p, out) < 0))
        return pop3_back_nomem(p);
    return BACK_NEED_MORE;
}

/* ---- responses ---- */

/* What must be true before a single byte is sent. */
static enum back_result pop3_back_check_env(struct pop3_back *p)
{
    const struct back_env *env = p->b.env;
    if (!env->cred)
        return BACK_NEED_MORE;
    enum back_failure failure = back_sasl_check(env);
    if (failure == BACK_FAIL_LOOP)
        return back_fail_own(&p->b, failure, STR("hop limit reached: proxies loop"));
    if (failure != BACK_FAIL_NONE || env->cred->user.len == 0)
        return back_fail_own(&p->b, BACK_FAIL_BAD_CREDENTIAL, STR("a credential must not be sent"));
    if (!back_sasl_has_secret(env))
        return back_fail_own(&p->b, BACK_FAIL_NO_MECHANISM, STR("no password for the mail server"));
    return BACK_NEED_MORE;
}

static enum back_result pop3_back_greeting(struct pop3_back *p, bool is_ok, bool is_err,
                                           struct str text, struct buf *out)
{
    p->is_greeted = true;
    if (is_err) /* busy, or closed to us: another one may serve */
        return back_fail(&p->b, BACK_FAIL_BYE, text);
    if (!is_ok)
        return back_fail(&p->b, BACK_FAIL_PROTOCOL, text);
    p->has_xclient = str_find(text, STR("[XCLIENT]")) >= 0;
    enum back_result r = pop3_back_check_env(p);
    return r == BACK_NEED_MORE ? pop3_back_next(p, out) : r;
}

static const struct {
    const char *code; /* RFC 2449, RFC 3206 */
    enum back_failure failure;
} pop3_failures[] = {
    {"AUTH", BACK_FAIL_AUTH},          {"SYS/TEMP", BACK_FAIL_AUTH_TEMP},
    {"SYS/PERM", BACK_FAIL_AUTH_TEMP}, {"LOGIN-DELAY", BACK_FAIL_AUTH_TEMP},
    {"IN-USE", BACK_FAIL_LIMIT},
};

/* Without a code it is the word on the credentials. */
static enum back_result pop3_back_refused(struct pop3_back *p, struct str text)
{
    struct str rest = text, code;
    enum back_failure failure = BACK_FAIL_AUTH;
    if (pop3_cut_code(&rest, &code))
        for (size_t i = 0; i < ARRAY_LEN(pop3_failures); i++)
            if (str_ieq(code, str_of(pop3_failures[i].code)))
                failure = pop3_failures[i].failure;
    return back_fail(&p->b, failure, text);
}

/* The response of the oldest command. */
static enum back_result pop3_back_answer(struct pop3_back *p, bool is_ok, struct str text,
                                         struct buf *out)
{
    struct str code;
    enum pop3_step step = p->queue[0];
    memmove(p->queue, p->queue + 1, --p->n_queue);
    switch (step) {
    case POP3_STLS:
        return is_ok ? BACK_STARTTLS : back_fail(&p->b, BACK_FAIL_NO_TLS, text);
    case POP3_CAPA:
        if (is_ok) {
            p->is_capa_body = p->has_capabilities = true;
            return BACK_NEED_MORE;
        }
        break;
    case POP3_USER:
        if (!is_ok)
            return pop3_back_refused(p, text);
        if (!(p->sent & 1u << POP3_PASS))
            return pop3_back_send_pass(p, out) < 0 ? pop3_back_nomem(p) : BACK_NEED_MORE;
        break;
    case POP3_PASS:
    case POP3_AUTH:
        if (!is_ok)
            return pop3_back_refused(p, text);
        p->is_logged_in = true;
        (void)pop3_cut_code(&text, &code);
        buf_clear(&p->b.success.text);
        if (reply_append_clean(&p->b.success.text, text, REPLY_TEXT_MAX) < 0)
            return pop3_back_nomem(p);
        break;
    case POP3_QUIT:
        return BACK_DONE;
    default: /* whether the server took the client's identity does not matter to the login */
        break;
    }
    return p->n_queue == 0 ? pop3_back_next(p, out) : BACK_NEED_MORE;
}

static enum back_result pop3_back_line(struct pop3_back *p, struct str line, struct buf *out)
{
    if (p->is_capa_body) {
        if (!str_eq(line, STR(".")))
            return pop3_back_capa_line(p, line);
        p->is_capa_body = false;
        return pop3_back_next(p, out);
    }
    struct str text = line;
    struct str status = str_cut(&text, ' ');
    bool is_ok = str_ieq(status, STR("+OK")), is_err = str_ieq(status, STR("-ERR"));
    if (!p->is_greeted)
        return pop3_back_greeting(p, is_ok, is_err, is_ok || is_err ? text : line, out);
    if (p->n_queue > 0 && (is_ok || is_err))
        return pop3_back_answer(p, is_ok, text, out);
    if (p->n_queue == 0 || p->queue[0] != POP3_AUTH || !str_eq(status, STR("+")))
        return back_fail(&p->b, BACK_FAIL_PROTOCOL, line);
    /* The server asks for the next message of the mechanism. */
    return pop3_back_message(p, out) < 0 || buf_append_c(out, "\r\n") < 0 ? pop3_back_nomem(p)
                                                                          : BACK_NEED_MORE;
}

enum back_result pop3_back_feed(struct back *b, struct str in, size_t *ret_consumed,
                                struct buf *out)
{
    struct pop3_back *p = (struct pop3_back *)b;
    enum back_result result = BACK_NEED_MORE;
    *ret_consumed = 0;
    while (result == BACK_NEED_MORE && *ret_consumed < in.n) {
        struct str line;
        size_t used;
        int r = line_cut(str_skip(in, *ret_consumed), POP3_RESPONSE_MAX, &line, &used, NULL);
        if (r == -ERR_AGAIN)
            break;
        if (r < 0)
            return back_fail_own(b, BACK_FAIL_PROTOCOL, STR("response is too long"));
        *ret_consumed += used;
        result = pop3_back_line(p, line, out);
    }
    /* nothing that came in clear behind the go-ahead may be taken for the server's own words */
    if (result == BACK_STARTTLS)
        *ret_consumed = in.n;
    return result;
}

enum back_result pop3_back_tls_started(struct back *b, struct buf *out)
{
    struct pop3_back *p = (struct pop3_back *)b;
    p->is_tls = true;
    p->has_capabilities = false;
    buf_clear(&p->capabilities);
    buf_clear(&b->learned);
    return pop3_back_next(p, out);
}

enum back_result pop3_back_resume(struct back *b, struct buf *out)
{
    struct pop3_back *p = (struct pop3_back *)b;
    enum back_result r = pop3_back_check_env(p);
    return r == BACK_NEED_MORE ? pop3_back_next(p, out) : r;
}
