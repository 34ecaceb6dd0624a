/* SPDX-License-Identifier: ISC */
/* SMTP towards mail servers: EHLO, STARTTLS, XCLIENT, AUTH, or the replay of MAIL and RCPT. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/zalloc.h"
#include "proto/back_sasl.h"
#include "proto/smtp/smtp.h"

#define SMTP_COMMAND_MAX                                                                           \
    510 /* octets of a command line without its end, RFC 5321 section 4.5.3.1 */
#define SMTP_COMMANDS_MAX 24
#define SMTP_LEARNED_MAX 8192

/* Steps of the dialogue, which are also the replies waited for. */
enum smtp_step {
    SMTP_STEP_GREETING,
    SMTP_STEP_EHLO,
    SMTP_STEP_HELO,
    SMTP_STEP_STARTTLS,
    SMTP_STEP_XCLIENT,
    SMTP_STEP_NAME, /* EHLO or HELO with the client's name */
    SMTP_STEP_AUTH,
    SMTP_STEP_MAIL,
    SMTP_STEP_RCPT,
    SMTP_STEP_QUIT,
    SMTP_STEP_COUNT
};

struct smtp_back {
    struct back head;
    struct buf script; /* commands not sent yet (secret) */
    uint8_t steps[SMTP_COMMANDS_MAX];
    size_t lengths[SMTP_COMMANDS_MAX]; /* of the commands in script, in the order of steps */
    unsigned n_steps;                  /* replies to come, the first n_sent of sent commands */
    unsigned n_sent;
    unsigned mechanisms; /* offered by the server */
    enum sasl_mech mech; /* in use */
    unsigned message;    /* SASL messages sent */
    bool is_tls_active, has_starttls, has_pipelining, has_xclient, is_xclient_done;
    struct buf xclient; /* attributes that the server takes */
};

/* A command may follow another one before its reply only where the server announced PIPELINING, and
 * never behind one that changes the state of the session: RFC 2920 section 3.1 (EHLO, QUIT), RFC
 * 3207 (STARTTLS), RFC 4954 (AUTH). XCLIENT takes the server back to its greeting. Servers refuse
 * what comes early ("554 5.5.0 SMTP protocol synchronization"). */
static const struct smtp_step_row {
    const char *name;
    bool may_be_followed;
} smtp_steps[SMTP_STEP_COUNT] = {
    [SMTP_STEP_GREETING] = {"greeting", false}, [SMTP_STEP_EHLO] = {"capability", false},
    [SMTP_STEP_HELO] = {"capability", false},   [SMTP_STEP_STARTTLS] = {"starttls", false},
    [SMTP_STEP_XCLIENT] = {"xclient", false},   [SMTP_STEP_NAME] = {"helo", false},
    [SMTP_STEP_AUTH] = {"auth", false},         [SMTP_STEP_MAIL] = {"mail", true},
    [SMTP_STEP_RCPT] = {"rcpt", true},          [SMTP_STEP_QUIT] = {"quit", false},
};

static enum back_result smtp_fail(struct smtp_back *b, enum back_failure f, const char *why)
{
    return back_fail_own(&b->head, f, str_of(why));
}

static enum back_result smtp_nomem(struct smtp_back *b)
{
    return smtp_fail(b, BACK_FAIL_SHORTAGE, "out of memory");
}

/* ---- commands ---- */

/* Ends the command that was appended to script since `start`. */
static int smtp_end_command(struct smtp_back *b, enum smtp_step step, size_t start)
{
    if (b->n_steps >= SMTP_COMMANDS_MAX)
        return -ERR_RANGE;
    if (buf_append_c(&b->script, "\r\n") < 0)
        return -ERR_NOMEM;
    b->steps[b->n_steps] = (uint8_t)step;
    b->lengths[b->n_steps++] = b->script.len - start;
    return 0;
}

static int smtp_queue(struct smtp_back *b, enum smtp_step step, const char *verb, struct str arg)
{
    size_t start = b->script.len;
    if (buf_append_c(&b->script, verb) < 0 || buf_append_str(&b->script, arg) < 0)
        return -ERR_NOMEM;
    return smtp_end_command(b, step, start);
}

/* Sends what may go now. */
static enum back_result smtp_flush(struct smtp_back *b, struct buf *out)
{
    bool is_pipelining = b->has_pipelining && b->head.env->is_pipelining_allowed;
    while (b->n_sent < b->n_steps) {
        /* May it go before the last one that was sent is answered? */
        if (b->n_sent > 0 &&
            !(is_pipelining && smtp_steps[b->steps[b->n_sent - 1]].may_be_followed))
            break;
        size_t n = b->lengths[b->n_sent];
        if (buf_append_str(out, str_n(buf_str(&b->script).p, n)) < 0)
            return smtp_nomem(b);
        buf_consume(&b->script, n);
        b->n_sent++;
    }
    if (b->n_steps == 0)
        return BACK_DONE;
    b->head.step = smtp_steps[b->steps[0]].name;
    return BACK_NEED_MORE;
}

static void smtp_shift(struct smtp_back *b)
{
    b->n_steps--;
    b->n_sent--;
    memmove(b->steps, b->steps + 1, b->n_steps * sizeof(b->steps[0]));
    memmove(b->lengths, b->lengths + 1, b->n_steps * sizeof(b->lengths[0]));
}

/* ---- failures ---- */

/* The server's words: its lines without codes, and the codes beside them. */
static enum back_result smtp_refused(struct smtp_back *b, enum back_failure f,
                                     const struct smtp_reply *r)
{
    AUTO_BUF words = BUF_INIT;
    struct str body = r->body, text, status = STR_NULL, first = STR_NULL;
    while (smtp_next_text(&body, &text)) {
        (void)smtp_cut_status(&text, r->code, &status);
        first = first.n ? first : status;
        if (buf_append(&words, " ", words.len > 0) < 0 || buf_append_str(&words, text) < 0)
            break;
    }
    buf_clear(&b->head.message_code);
    if (buf_printf(&b->head.message_code, "%u%s%.*s", r->code, first.n ? " " : "", STR_ARG(first)) <
        0)
        buf_clear(&b->head.message_code);
    return back_fail(&b->head, f, buf_str(&words));
}

static const struct smtp_judgement {
    unsigned code;
    enum back_failure failure;
} smtp_judgements[] = {
    {454, BACK_FAIL_AUTH_TEMP}, {504, BACK_FAIL_NO_MECHANISM}, {534, BACK_FAIL_NO_MECHANISM},
    {538, BACK_FAIL_NO_TLS},    {530, BACK_FAIL_NO_TLS},       {500, BACK_FAIL_PROTOCOL},
    {501, BACK_FAIL_PROTOCOL},  {502, BACK_FAIL_PROTOCOL},     {503, BACK_FAIL_PROTOCOL},
    {535, BACK_FAIL_AUTH},
};

/* A refused step; what the server says about this client or mail is passed on, the rest is trouble
 * with the server. */
static enum back_failure smtp_judge(const struct smtp_back *b, enum smtp_step step, unsigned code)
{
    bool is_failure = code >= 400;
    if (code == 421)
        return BACK_FAIL_BYE;
    switch (step) {
    case SMTP_STEP_GREETING:
        return is_failure ? BACK_FAIL_BYE : BACK_FAIL_PROTOCOL;
    case SMTP_STEP_STARTTLS:
        return code / 100 == 5 ? BACK_FAIL_NO_TLS : BACK_FAIL_TLS;
    case SMTP_STEP_AUTH:
        for (size_t i = 0; i < ARRAY_LEN(smtp_judgements); i++)
            if (smtp_judgements[i].code == code)
                return smtp_judgements[i].failure;
        return code / 100 == 4   ? BACK_FAIL_AUTH_TEMP
               : code / 100 == 5 ? BACK_FAIL_AUTH
                                 : BACK_FAIL_PROTOCOL;
    case SMTP_STEP_XCLIENT:
        /* 50x: no such command; else access rules speak, of which this is the client's first sight
         */
        return !is_failure || code / 10 == 50 ? BACK_FAIL_PROTOCOL : BACK_FAIL_REJECTED;
    case SMTP_STEP_NAME:
    case SMTP_STEP_MAIL:
    case SMTP_STEP_RCPT:
        return is_failure && b->head.env->cred ? BACK_FAIL_REJECTED : BACK_FAIL_PROTOCOL;
    default:
        return code / 100 == 4 ? BACK_FAIL_BYE : BACK_FAIL_PROTOCOL;
    }
}

/* ---- EHLO ---- */

static void smtp_forget_capabilities(struct smtp_back *b)
{
    b->mechanisms = 0;
    b->has_starttls = b->has_pipelining = b->has_xclient = false;
    buf_clear(&b->xclient);
    buf_clear(&b->head.learned);
}

static int smtp_learn_line(struct smtp_back *b, struct str line)
{
    struct str rest = line, word = str_word(&rest);
    if (str_ieq(word, STR("STARTTLS")))
        b->has_starttls = true;
    else if (str_ieq(word, STR("PIPELINING")))
        b->has_pipelining = true;
    else if (str_ieq(word, STR("AUTH")))
        b->mechanisms |= back_sasl_mask(rest);
    else if (str_is_iprefix(word, STR("AUTH="))) /* an old spelling beside the current one */
        b->mechanisms |= back_sasl_mask(str_n(line.p + 5, line.n - 5));
    else if (str_ieq(word, STR("XCLIENT"))) {
        b->has_xclient = true;
        buf_clear(&b->xclient);
        if (buf_append_str(&b->xclient, rest) < 0)
            return -ERR_NOMEM;
    }
    /* What follows the relay has to know whether BDAT brings octets. */
    bool is_wanted = b->head.env->want_capabilities || str_ieq(word, STR("CHUNKING"));
    if (!is_wanted || word.n == 0 || b->head.learned.len + line.n >= SMTP_LEARNED_MAX)
        return 0;
    if (reply_append_clean(&b->head.learned, line, line.n) < 0)
        return -ERR_NOMEM;
    return buf_append_char(&b->head.learned, '\n');
}

static int smtp_learn(struct smtp_back *b, const struct smtp_reply *r)
{
    struct str body = r->body, line;
    smtp_forget_capabilities(b);
    for (bool is_first = true; smtp_next_text(&body, &line); is_first = false)
        if (!is_first && smtp_learn_line(b, line) < 0)
            return -ERR_NOMEM;
    return 0;
}

/* ---- XCLIENT ---- */

/* Appends " NAME=value" to the XCLIENT command that begins at *start, or begins another one. */
static int smtp_add_attribute(struct smtp_back *b, const char *name, struct str value,
                              size_t *start)
{
    size_t n = 2 + strlen(name) + value.n;
    /* Without an advertisement nothing is known of the server: the attributes that nginx sends. */
    if (!back_has_word(b->has_xclient ? buf_str(&b->xclient) : STR("ADDR LOGIN NAME"), name))
        return 0;
    if (b->script.len > *start && b->script.len - *start + n > SMTP_COMMAND_MAX) {
        int r = smtp_end_command(b, SMTP_STEP_XCLIENT, *start);
        if (r < 0)
            return r;
        *start = b->script.len;
    }
    if (b->script.len == *start && buf_append_c(&b->script, "XCLIENT") < 0)
        return -ERR_NOMEM;
    return buf_printf(&b->script, " %s=%.*s", name, STR_ARG(value));
}

/* The value as xtext; what is empty or does not fit a line counts as unknown. */
static int smtp_add_text(struct smtp_back *b, const char *name, struct str value, size_t *start)
{
    AUTO_BUF coded = BUF_INIT;
    if (back_append_xtext(&coded, value) < 0)
        return -ERR_NOMEM;
    bool is_known = coded.len > 0 && coded.len + strlen(name) + 9 <= SMTP_COMMAND_MAX;
    return smtp_add_attribute(b, name, is_known ? buf_str(&coded) : STR("[UNAVAILABLE]"), start);
}

static int smtp_add_address(struct smtp_back *b, const char *name, const char *port_name,
                            const struct addr *a, size_t *start)
{
    char ip[ADDR_TEXT_MAX], value[ADDR_TEXT_MAX + 8], port[8];
    bool is_ip = a->family == AF_INET || a->family == AF_INET6;
    addr_format_ip(ip, a);
    snprintf(value, sizeof(value), "%s%s", a->family == AF_INET6 ? "IPV6:" : "", ip);
    snprintf(port, sizeof(port), "%u", a->port);
    int r = smtp_add_attribute(b, name, is_ip ? str_of(value) : STR("[UNAVAILABLE]"), start);
    return r < 0 ? r
                 : smtp_add_attribute(
                       b, port_name, is_ip && a->port ? str_of(port) : STR("[UNAVAILABLE]"), start);
}

static int smtp_queue_xclient(struct smtp_back *b)
{
    const struct back_env *env = b->head.env;
    size_t start = b->script.len;
    char ttl[16];
    snprintf(ttl, sizeof(ttl), "%u", env->ttl);
    int r = smtp_add_attribute(b, "PROTO", env->is_ehlo ? STR("ESMTP") : STR("SMTP"), &start);
    r = r < 0 ? r : smtp_add_text(b, "HELO", env->helo, &start);
    r = r < 0 ? r : smtp_add_address(b, "ADDR", "PORT", &env->client, &start);
    /* A server that sees the login itself needs no claim of ours; mail without a login has none. */
    if (r == 0 && !env->is_auth_wanted && env->cred->user.len > 0)
        r = smtp_add_text(b, "LOGIN", buf_str(&env->cred->user), &start);
    r = r < 0 ? r : smtp_add_text(b, "NAME", str_of(env->client_name), &start);
    r = r < 0 ? r : smtp_add_address(b, "DESTADDR", "DESTPORT", &env->local, &start);
    if (r == 0 && env->session_id) /* these two are Dovecot's */
        r = smtp_add_text(b, "SESSION", str_of(env->session_id), &start);
    if (r == 0 && env->ttl > 0)
        r = smtp_add_attribute(b, "TTL", str_of(ttl), &start);
    return r < 0 || b->script.len == start ? r : smtp_end_command(b, SMTP_STEP_XCLIENT, start);
}

/* ---- what comes next ---- */

static bool smtp_is_relay(const struct back_env *env)
{
    return env->cred->mech == SASL_NONE && env->rcpt_to.n > 0;
}

static bool smtp_is_auth(const struct back_env *env)
{
    return env->cred && env->is_auth_wanted && !smtp_is_relay(env);
}

/* The client's own verb goes with its name, but AUTH needs ESMTP. */
static bool smtp_says_helo(const struct back_env *env)
{
    return env->helo.n > 0 && !env->is_ehlo && !smtp_is_auth(env);
}

static enum back_result smtp_finish(struct smtp_back *b, struct buf *out)
{
    if (b->head.env->is_check && smtp_queue(b, SMTP_STEP_QUIT, "QUIT", STR_NULL) < 0)
        return smtp_nomem(b);
    return smtp_flush(b, out);
}

/* Appends the next SASL message in base64 to `line`. */
static int smtp_encode_message(struct smtp_back *b, bool is_initial, struct buf *line)
{
    AUTO_SECRET_BUF raw = BUF_INIT;
    int r = back_sasl_message(b->head.env, b->mech, b->message, &raw);
    if (r < 0)
        return r;
    b->message++;
    return is_initial && raw.len == 0 ? buf_append_char(line, '=')
                                      : str_base64_encode(buf_str(&raw), line);
}

static enum back_result smtp_begin_auth(struct smtp_back *b, struct buf *out)
{
    struct buf *line = &b->script;
    size_t start = line->len;
    b->head.step = smtp_steps[SMTP_STEP_AUTH].name;
    unsigned offered = b->mechanisms;
    if (offered == 0 && b->head.env->is_auth_forced)
        offered = SASL_BIT(SASL_PLAIN);
    b->mech = back_sasl_pick(b->head.env, offered);
    if (b->mech == SASL_NONE)
        return smtp_fail(b, BACK_FAIL_NO_MECHANISM,
                         back_sasl_has_secret(b->head.env)
                             ? "the server offers no suitable mechanism"
                             : "there is no password to log in with");
    if (BUF_APPEND(line, "AUTH ", sasl_name(b->mech)) < 0)
        return smtp_nomem(b);
    size_t bare = line->len;
    /* LOGIN has prompts for both of its messages, RFC 4954 limits the line of the others. */
    if (b->mech != SASL_LOGIN) {
        if (buf_append_char(line, ' ') < 0 || smtp_encode_message(b, true, line) < 0)
            return smtp_nomem(b);
        if (line->len - start > SMTP_COMMAND_MAX) {
            line->len = bare;
            b->message = 0;
        }
    }
    b->head.were_credentials_sent = true;
    if (smtp_end_command(b, SMTP_STEP_AUTH, start) < 0)
        return smtp_nomem(b);
    return smtp_flush(b, out);
}

/* Everybody knows everybody: log in, hand the mail over, or leave it at that. */
static enum back_result smtp_login(struct smtp_back *b, struct buf *out)
{
    const struct back_env *env = b->head.env;
    if (!env->cred)
        return smtp_finish(b, out);
    if (smtp_is_auth(env))
        return smtp_begin_auth(b, out);
    if (smtp_is_relay(env) && (smtp_queue(b, SMTP_STEP_MAIL, "", env->mail_from) < 0 ||
                               smtp_queue(b, SMTP_STEP_RCPT, "", env->rcpt_to) < 0))
        return smtp_nomem(b);
    return smtp_finish(b, out);
}

/* Introduces the client: XCLIENT, then its own name. */
static enum back_result smtp_introduce(struct smtp_back *b, struct buf *out)
{
    const struct back_env *env = b->head.env;
    bool is_xclient = env->xclient_forced || (env->forward_id && b->has_xclient);
    bool is_named = env->forward_id && env->helo.n > 0;
    if (env->is_warming)
        return BACK_READY;
    if (!env->cred || b->is_xclient_done)
        return smtp_login(b, out);
    b->is_xclient_done = true;
    if (is_xclient) {
        int r = smtp_queue_xclient(b);
        if (r < 0)
            return r == -ERR_RANGE
                       ? smtp_fail(b, BACK_FAIL_BAD_CREDENTIAL, "too much to say in XCLIENT")
                       : smtp_nomem(b);
        is_named = is_named || b->n_steps > 0; /* XCLIENT takes the server back to its greeting */
    }
    if (!is_named)
        return smtp_login(b, out);
    if (smtp_queue(b, SMTP_STEP_NAME, smtp_says_helo(env) ? "HELO " : "EHLO ",
                   env->helo.n > 0 ? env->helo : str_of(env->server_name)) < 0)
        return smtp_nomem(b);
    return smtp_flush(b, out);
}

static enum back_result smtp_say_ehlo(struct smtp_back *b, enum smtp_step step, struct buf *out)
{
    if (smtp_queue(b, step, step == SMTP_STEP_HELO ? "HELO " : "EHLO ",
                   str_of(b->head.env->server_name)) < 0)
        return smtp_nomem(b);
    return smtp_flush(b, out);
}

static enum back_result smtp_after_ehlo(struct smtp_back *b, struct buf *out)
{
    bool is_tls_wanted = b->head.env->tls == BACK_TLS_STARTTLS && !b->is_tls_active;
    if (!is_tls_wanted)
        return smtp_introduce(b, out);
    b->head.step = smtp_steps[SMTP_STEP_STARTTLS].name;
    if (!b->has_starttls)
        return smtp_fail(b, BACK_FAIL_NO_TLS, "the server does not offer STARTTLS");
    if (smtp_queue(b, SMTP_STEP_STARTTLS, "STARTTLS", STR_NULL) < 0)
        return smtp_nomem(b);
    return smtp_flush(b, out);
}

/* ---- replies ---- */

/* The reply as the client will see it, line by line, so that nothing can hide in it. */
static int smtp_keep_raw(struct smtp_back *b, const struct smtp_reply *r)
{
    struct str body = r->body, text;
    struct buf *raw = &b->head.success.raw;
    buf_clear(raw);
    while (smtp_next_text(&body, &text)) {
        if (buf_printf(raw, "%u%c", r->code, body.n > 0 ? '-' : ' ') < 0 ||
            reply_append_clean(raw, text, REPLY_TEXT_MAX) < 0 || buf_append_c(raw, "\r\n") < 0)
            return -ERR_NOMEM;
    }
    return 0;
}

static bool smtp_is_accepted(enum smtp_step step, unsigned code)
{
    switch (step) {
    case SMTP_STEP_GREETING:
    case SMTP_STEP_STARTTLS:
        return code == 220;
    case SMTP_STEP_AUTH:
        return code == 235;
    case SMTP_STEP_QUIT: /* it leaves either way */
        return true;
    default: /* XCLIENT: 220 (Postfix) or 250; RCPT: 250 or 251 */
        return code / 100 == 2;
    }
}

static enum back_result smtp_accepted(struct smtp_back *b, enum smtp_step step,
                                      const struct smtp_reply *r, struct buf *out)
{
    struct str body = r->body, text, status;
    switch (step) {
    case SMTP_STEP_GREETING:
        return smtp_say_ehlo(b, SMTP_STEP_EHLO, out);
    case SMTP_STEP_STARTTLS:
        b->head.step = "tls";
        return BACK_STARTTLS;
    case SMTP_STEP_EHLO:
        return smtp_learn(b, r) < 0 ? smtp_nomem(b) : smtp_after_ehlo(b, out);
    case SMTP_STEP_NAME:
        if (smtp_says_helo(b->head.env))
            b->has_pipelining = false; /* HELO begins a session without extensions */
        else if (smtp_learn(b, r) < 0)
            return smtp_nomem(b);
        return smtp_login(b, out);
    case SMTP_STEP_HELO:
        smtp_forget_capabilities(b);
        return smtp_introduce(b, out);
    case SMTP_STEP_AUTH:
        buf_clear(&b->head.success.text);
        if (smtp_next_text(&body, &text)) {
            (void)smtp_cut_status(&text, r->code, &status);
            if (reply_append_clean(&b->head.success.text, text, REPLY_TEXT_MAX) < 0)
                return smtp_nomem(b);
        }
        return smtp_finish(b, out);
    case SMTP_STEP_RCPT:
        return smtp_keep_raw(b, r) < 0 ? smtp_nomem(b) : smtp_flush(b, out);
    default:
        return smtp_flush(b, out);
    }
}

static enum back_result smtp_take(struct smtp_back *b, const struct smtp_reply *r, struct buf *out)
{
    enum smtp_step step = b->steps[0];
    bool is_plain = b->head.env->tls != BACK_TLS_STARTTLS && !smtp_is_auth(b->head.env);
    if (step == SMTP_STEP_AUTH && r->code == 334) {
        int err = smtp_encode_message(b, false, out);
        if (err == -ERR_RANGE)
            return smtp_fail(b, BACK_FAIL_PROTOCOL, "the server wants more than the mechanism has");
        return err < 0 || buf_append_c(out, "\r\n") < 0 ? smtp_nomem(b) : BACK_NEED_MORE;
    }
    if (smtp_is_accepted(step, r->code)) {
        smtp_shift(b);
        return smtp_accepted(b, step, r, out);
    }
    if (step == SMTP_STEP_EHLO && r->code / 100 == 5 && is_plain) {
        smtp_shift(b);
        return smtp_say_ehlo(b, SMTP_STEP_HELO, out);
    }
    return smtp_refused(b, smtp_judge(b, step, r->code), r);
}

enum back_result smtp_back_feed(struct back *head, struct str in, size_t *ret_consumed,
                                struct buf *out)
{
    struct smtp_back *b = (struct smtp_back *)head;
    enum back_result result = BACK_NEED_MORE;
    *ret_consumed = 0;
    bool is_new = b->steps[0] == SMTP_STEP_GREETING;
    enum back_failure f = is_new ? back_sasl_check(head->env) : BACK_FAIL_NONE;
    if (f != BACK_FAIL_NONE)
        return smtp_fail(b, f, "refused before anything was sent");
    while (result == BACK_NEED_MORE && b->n_steps > 0 && *ret_consumed < in.n) {
        struct str rest = str_skip(in, *ret_consumed);
        struct smtp_reply reply;
        size_t used;
        int r = smtp_cut_reply(rest, &reply, &used);
        if (r == -ERR_AGAIN)
            return BACK_NEED_MORE;
        if (r == -ERR_TOO_LONG)
            return smtp_fail(b, BACK_FAIL_PROTOCOL, "reply is too long");
        if (r < 0)
            return back_fail(head, BACK_FAIL_PROTOCOL, str_n(rest.p, used));
        *ret_consumed += used;
        result = smtp_take(b, &reply, out);
    }
    /* What follows the go-ahead in clear may be of somebody between, and is dropped (the server's
     * side of CVE-2011-0411). */
    if (result == BACK_STARTTLS)
        *ret_consumed = in.n;
    return result;
}

enum back_result smtp_back_tls_started(struct back *head, struct buf *out)
{
    struct smtp_back *b = (struct smtp_back *)head;
    b->is_tls_active = true;
    smtp_forget_capabilities(b);
    return smtp_say_ehlo(b, SMTP_STEP_EHLO, out);
}

enum back_result smtp_back_resume(struct back *head, struct buf *out)
{
    struct smtp_back *b = (struct smtp_back *)head;
    enum back_failure f = back_sasl_check(head->env);
    return f == BACK_FAIL_NONE ? smtp_introduce(b, out)
                               : smtp_fail(b, f, "refused before anything was sent");
}

/* ---- object ---- */

struct back *smtp_back_new(const struct back_env *env)
{
    struct smtp_back *b = zalloc(sizeof(*b));
    if (!b)
        return NULL;
    back_init(&b->head, env);
    b->is_tls_active = env->is_tls_active;
    b->mech = SASL_NONE;
    b->steps[0] = SMTP_STEP_GREETING;
    b->n_steps = b->n_sent = 1;
    return &b->head;
}

void smtp_back_free(struct back *head)
{
    struct smtp_back *b = (struct smtp_back *)head;
    if (!b)
        return;
    buf_wipe(&b->script);
    buf_fini(&b->xclient);
    back_fini(head);
    free(b);
}
