/* SPDX-License-Identifier: ISC */
/* SMTP towards clients: greeting, EHLO, STARTTLS, AUTH, and MAIL and RCPT of mail that needs no
 * authentication. */
#include <inttypes.h>
#include <stdlib.h>

#include "proto/front.h"
#include "proto/line.h"
#include "proto/smtp/smtp.h"

#define SMTP_HELO_MAX 255
#define SMTP_AUTH_LINE_MAX 12288 /* of an initial or later response, RFC 4954 section 4 */
#define SMTP_CAPABILITY_MAX 500
#define SMTP_EHLO_USUAL_BYTES 500 /* of the whole reply */

/* What the session is working on for us. */
enum smtp_pending { SMTP_PENDING_NONE, SMTP_PENDING_AUTH, SMTP_PENDING_ROUTE };

struct smtp_front {
    struct front head;
    enum smtp_pending pending;
    uint64_t skip_left; /* bytes of a refused BDAT chunk still to come */
};

/* ---- replies ---- */

static const struct smtp_words {
    const char *auth;     /* code of a failed AUTH */
    const char *route;    /* code of a failed RCPT */
    const char *farewell; /* code of the last words */
} smtp_words[REPLY_KIND_COUNT] = {
    [REPLY_AUTH_FAILED] = {"535 5.7.8", "550 5.7.1", "421 4.7.0"},
    [REPLY_AUTH_TEMPFAIL] = {"454 4.7.0", "451 4.3.0", "421 4.7.0"},
    [REPLY_AUTH_CANCELLED] = {"501 5.7.0", "501 5.7.0", "421 4.7.0"},
    [REPLY_AUTH_BAD_RESPONSE] = {"501 5.5.2", "501 5.5.2", "421 4.7.0"},
    [REPLY_MECH_DISABLED] = {"504 5.5.4", "504 5.5.4", "421 4.7.0"},
    [REPLY_TLS_REQUIRED] = {"538 5.7.11", "530 5.7.0", "421 4.7.0"},
    [REPLY_LIMIT] = {"454 4.7.0", "451 4.7.1", "421 4.7.0"},
    [REPLY_BANNED] = {"454 4.7.0", "451 4.7.1", "421 4.7.0"},
    [REPLY_LOCKED] = {"535 5.7.13", "550 5.7.1", "421 4.3.2"},
    [REPLY_BACKEND_DOWN] = {"451 4.3.2", "451 4.3.2", "421 4.3.2"},
    [REPLY_BACKEND_FULL] = {"454 4.3.2", "451 4.3.2", "421 4.3.2"},
    [REPLY_HELD] = {"451 4.3.2", "451 4.3.2", "421 4.3.2"},
    [REPLY_HOLD_TIMEOUT] = {"451 4.3.2", "451 4.3.2", "421 4.3.2"},
    [REPLY_SHUTDOWN] = {"421 4.3.2", "421 4.3.2", "421 4.3.2"},
    [REPLY_KICKED] = {"421 4.3.2", "421 4.3.2", "421 4.3.2"},
    [REPLY_TIMEOUT] = {"421 4.4.2", "421 4.4.2", "421 4.4.2"},
    [REPLY_TOO_MANY_BAD] = {"421 4.7.0", "421 4.7.0", "421 4.7.0"},
    [REPLY_TOO_LONG] = {"500 5.5.2", "500 5.5.2", "500 5.5.2"},
    [REPLY_PROTOCOL_MISUSE] = {"503 5.5.0", "503 5.5.0", "503 5.5.0"},
    [REPLY_BARE_NEWLINE] = {"521 5.5.2", "521 5.5.2", "521 5.5.2"},
    [REPLY_NO_CERTIFICATE] = {"421 4.7.1", "421 4.7.1", "421 4.7.1"},
    [REPLY_BAD_CERTIFICATE] = {"421 4.7.1", "421 4.7.1", "421 4.7.1"},
    [REPLY_INTERNAL] = {"451 4.3.0", "451 4.3.0", "421 4.3.0"},
};

static const struct smtp_words *smtp_words_of(enum reply_kind kind)
{
    return &smtp_words[(unsigned)kind < REPLY_KIND_COUNT ? kind : REPLY_INTERNAL];
}

static int smtp_say(struct buf *out, struct str code, enum reply_kind kind, const char *text)
{
    if (buf_append_str(out, code) < 0 || buf_append_char(out, ' ') < 0 ||
        reply_append_text(out, kind, text && text[0] ? text : NULL) < 0 ||
        buf_append_c(out, "\r\n") < 0)
        return -ERR_NOMEM;
    return 0;
}

int smtp_front_reply(struct front *f, enum reply_kind kind, const char *code, const char *text,
                     struct buf *reply)
{
    struct smtp_front *s = (struct smtp_front *)f;
    const struct smtp_words *words = smtp_words_of(kind);
    const char *usual = s->pending == SMTP_PENDING_AUTH    ? words->auth
                        : s->pending == SMTP_PENDING_ROUTE ? words->route
                                                           : words->farewell;
    /* A code from outside must fail: "235" would tell the client that it is logged in. */
    bool is_given = code && smtp_is_failure_code(str_of(code));
    s->pending = SMTP_PENDING_NONE;
    s->head.is_exchange = false;
    buf_wipe(&f->auth_data);
    buf_clear(&f->rcpt_to);
    return smtp_say(reply, str_of(is_given ? code : usual), kind, text);
}

int smtp_farewell(enum reply_kind kind, const char *text, struct buf *out)
{
    return smtp_say(out, str_of(smtp_words_of(kind)->farewell), kind, text);
}

int smtp_front_success(struct front *f, const struct back_success *success, struct buf *reply)
{
    struct smtp_front *s = (struct smtp_front *)f;
    bool is_route = s->pending == SMTP_PENDING_ROUTE;
    s->pending = SMTP_PENDING_NONE;
    s->head.is_exchange = false;
    if (is_route)
        return success->raw.len > 0 ? buf_append_str(reply, buf_str(&success->raw))
                                    : buf_append_c(reply, "250 2.1.5 OK\r\n");
    if (buf_append_c(reply, "235 2.7.0 ") < 0)
        return -ERR_NOMEM;
    return reply_end_line(reply, buf_str(&success->text), "Authentication successful.");
}

int smtp_front_auth_continue(struct front *f, struct str challenge, struct buf *reply)
{
    if (buf_append_c(reply, "334 ") < 0 || str_base64_encode(challenge, reply) < 0 ||
        buf_append_c(reply, "\r\n") < 0)
        return -ERR_NOMEM;
    f->is_exchange = true;
    return 0;
}

int smtp_front_greet(struct front *f, struct buf *reply)
{
    if (!f->env->greeting)
        return BUF_APPEND(reply, "220 ", f->env->server_name, " ESMTP ready\r\n");
    if (buf_append_c(reply, "220 ") < 0 ||
        reply_append_clean(reply, str_of(f->env->greeting), REPLY_TEXT_MAX) < 0)
        return -ERR_NOMEM;
    return buf_append_c(reply, "\r\n");
}

/* ---- capabilities ---- */

static const char *const smtp_builtin[] = {"PIPELINING", "8BITMIME", "SMTPUTF8",
                                           "ENHANCEDSTATUSCODES", NULL};

static int smtp_add_line(struct buf *reply, struct str text)
{
    if (buf_append_c(reply, "250-") < 0 || reply_append_clean(reply, text, SMTP_CAPABILITY_MAX) < 0)
        return -ERR_NOMEM;
    return buf_append_c(reply, "\r\n");
}

static int smtp_add_capabilities(const struct front_env *env, struct buf *reply)
{
    /* What we say ourselves, and what only a trusted proxy may use, is not taken from a list. */
    static const char *const own[] = {"AUTH", "STARTTLS", "XCLIENT", "XFORWARD", ""};
    const char *const *list = env->capabilities ? env->capabilities : smtp_builtin;
    AUTO_BUF mechanisms = BUF_INIT;
    int r = sasl_append_list(&mechanisms, front_announced(env), " ");
    if (r == 0 && !env->capabilities)
        r = env->smtp_size ? buf_printf(reply, "250-SIZE %" PRIu64 "\r\n", env->smtp_size)
                           : smtp_add_line(reply, STR("SIZE"));
    for (; *list && r == 0; list++) {
        struct str rest = str_of(*list), word = str_word(&rest);
        if (!str_is_iprefix(word, STR("AUTH=")) && !str_is_among(word, own, ARRAY_LEN(own)))
            r = smtp_add_line(reply, str_of(*list));
    }
    if (r == 0 && mechanisms.len > 0 &&
        (buf_append_c(reply, "250-AUTH") < 0 || buf_append_str(reply, buf_str(&mechanisms)) < 0 ||
         buf_append_c(reply, "\r\n") < 0))
        r = -ERR_NOMEM;
    if (r == 0 && front_is_starttls_offered(env))
        r = smtp_add_line(reply, STR("STARTTLS"));
    return r;
}

/* ---- commands ---- */

typedef enum proto_intent smtp_command_fn(struct smtp_front *s, struct str args, struct buf *reply);

/* Out of memory ends the session: there is nothing sensible left to say. */
static enum proto_intent smtp_answer(struct buf *reply, const char *line, enum proto_intent intent)
{
    if (buf_append_c(reply, line) < 0 || buf_append_c(reply, "\r\n") < 0)
        return PROTO_FATAL;
    return intent;
}

static void smtp_forget_mail(struct smtp_front *s)
{
    buf_clear(&s->head.mail_from);
    buf_clear(&s->head.rcpt_to);
}

/* A domain or address literal; real clients send host names of all kinds, so only what could do
 * harm further on is refused. */
static bool smtp_is_name(struct str name)
{
    static const bool is_harmful[256] = {
        [' '] = true, ['<'] = true,  ['>'] = true, ['('] = true, [')'] = true,
        ['"'] = true, ['\\'] = true, [','] = true, [';'] = true, ['@'] = true};
    if (name.n == 0 || name.n > SMTP_HELO_MAX || !str_is_printable_ascii(name))
        return false;
    for (size_t i = 0; i < name.n; i++)
        if (is_harmful[(unsigned char)name.p[i]])
            return false;
    return true;
}

static bool smtp_take_name(struct smtp_front *s, struct str args, bool is_ehlo)
{
    struct str name = str_trim(args);
    if (!smtp_is_name(name))
        return false;
    buf_clear(&s->head.helo);
    s->head.is_ehlo = is_ehlo;
    smtp_forget_mail(s);
    return buf_append_str(&s->head.helo, name) == 0;
}

static int smtp_append_ehlo(const struct front_env *env, struct buf *reply)
{
    const struct buf *ready = front_recall(env);
    if (ready)
        return buf_append_str(reply, buf_str(ready));
    size_t start = reply->len;
    if (buf_reserve(reply, SMTP_EHLO_USUAL_BYTES) < 0 ||
        smtp_add_line(reply, str_of(env->server_name)) < 0 || smtp_add_capabilities(env, reply) < 0)
        return -ERR_NOMEM;
    /* The last line has a blank behind its code. */
    struct str all = buf_str(reply);
    const char *before = memrchr(all.p, '\n', all.n - 1);
    size_t last = before ? (size_t)(before + 1 - all.p) : 0;
    reply->data[reply->start + last + 3] = ' ';
    front_remember(env, str_skip(all, start));
    return 0;
}

static enum proto_intent smtp_ehlo(struct smtp_front *s, struct str args, struct buf *reply)
{
    if (!smtp_take_name(s, args, true))
        return smtp_answer(reply, "501 5.5.4 Invalid host name.", PROTO_BAD);
    return smtp_append_ehlo(s->head.env, reply) < 0 ? PROTO_FATAL : PROTO_REPLIED;
}

static enum proto_intent smtp_helo(struct smtp_front *s, struct str args, struct buf *reply)
{
    if (!smtp_take_name(s, args, false))
        return smtp_answer(reply, "501 5.5.4 Invalid host name.", PROTO_BAD);
    if (buf_append_c(reply, "250 ") < 0)
        return PROTO_FATAL;
    return smtp_answer(reply, s->head.env->server_name, PROTO_REPLIED);
}

static enum proto_intent smtp_starttls(struct smtp_front *s, struct str args, struct buf *reply)
{
    if (str_trim(args).n > 0)
        return smtp_answer(reply, "501 5.5.4 No argument is allowed.", PROTO_BAD);
    if (s->head.env->tls == FRONT_TLS_ACTIVE)
        return smtp_answer(reply, "503 5.5.1 TLS is active already.", PROTO_REPLIED);
    if (s->head.env->tls == FRONT_TLS_NONE)
        return smtp_answer(reply, "502 5.5.1 STARTTLS is not available.", PROTO_REPLIED);
    return smtp_answer(reply, "220 2.0.0 Ready to start TLS.", PROTO_STARTTLS);
}

static enum proto_intent smtp_auth(struct smtp_front *s, struct str args, struct buf *reply)
{
    const struct front_env *env = s->head.env;
    struct str name = str_word(&args), initial = str_word(&args);
    if (name.n == 0 || str_trim(args).n > 0)
        return smtp_answer(reply, "501 5.5.4 Syntax: AUTH mechanism [initial-response]", PROTO_BAD);
    if (s->head.mail_from.len > 0)
        return smtp_answer(reply, "503 5.5.1 Not within a mail transaction.", PROTO_REPLIED);
    enum sasl_mech mech = sasl_find(name);
    bool is_offered = mech < SASL_APOP && env->mechanisms & SASL_BIT(mech);
    if (mech < SASL_APOP && !is_offered &&
        front_why_disabled(env, sasl_is_clear_text(mech)) == REPLY_TLS_REQUIRED)
        return smtp_answer(reply, "538 5.7.11 Encryption is required: use TLS.",
                           front_refuse(&s->head, REPLY_TLS_REQUIRED, mech));
    if (!is_offered)
        return smtp_answer(reply, "504 5.5.4 Authentication mechanism is not available.",
                           front_refuse(&s->head, REPLY_MECH_DISABLED, mech));
    credentials_wipe(&s->head.cred);
    s->pending = SMTP_PENDING_AUTH;
    /* "=" is an initial response that is empty (RFC 4954) */
    return front_begin_auth(&s->head, mech, initial.n > 0,
                            str_eq(initial, STR("=")) ? STR_NULL : initial);
}

/* "FROM:" or "TO:" and something behind it. */
static bool smtp_is_path_argument(struct str args, struct str keyword)
{
    return str_is_iprefix(args, keyword) &&
           str_trim(str_n(args.p + keyword.n, args.n - keyword.n)).n > 0;
}

static bool smtp_take_line(struct buf *dst, struct str args)
{
    /* the whole line: verb and blank stand right before the arguments */
    buf_clear(dst);
    return buf_append_str(dst, str_n(args.p - 5, args.n + 5)) == 0;
}

static enum proto_intent smtp_mail(struct smtp_front *s, struct str args, struct buf *reply)
{
    if (!s->head.env->is_auth_optional)
        return smtp_answer(reply, "530 5.7.0 Authentication is required.", PROTO_REPLIED);
    if (s->head.mail_from.len > 0)
        return smtp_answer(reply, "503 5.5.1 Sender is given already.", PROTO_REPLIED);
    if (!smtp_is_path_argument(args, STR("FROM:")))
        return smtp_answer(reply, "501 5.5.4 Syntax: MAIL FROM:<address>", PROTO_BAD);
    if (!smtp_take_line(&s->head.mail_from, args))
        return PROTO_FATAL;
    return smtp_answer(reply, "250 2.1.0 OK", PROTO_REPLIED);
}

static enum proto_intent smtp_rcpt(struct smtp_front *s, struct str args, struct buf *reply)
{
    if (!s->head.env->is_auth_optional)
        return smtp_answer(reply, "530 5.7.0 Authentication is required.", PROTO_REPLIED);
    if (s->head.mail_from.len == 0)
        return smtp_answer(reply, "503 5.5.1 Bad sequence of commands.", PROTO_REPLIED);
    if (!smtp_is_path_argument(args, STR("TO:")))
        return smtp_answer(reply, "501 5.5.4 Syntax: RCPT TO:<address>", PROTO_BAD);
    if (!smtp_take_line(&s->head.rcpt_to, args))
        return PROTO_FATAL;
    /* What a failed AUTH left behind is not this sender's (CVE-2025-53859). */
    credentials_wipe(&s->head.cred);
    buf_wipe(&s->head.auth_data);
    s->pending = SMTP_PENDING_ROUTE;
    return PROTO_ROUTE;
}

static enum proto_intent smtp_data(struct smtp_front *s, struct str args, struct buf *reply)
{
    (void)args;
    if (!s->head.env->is_auth_optional)
        return smtp_answer(reply, "530 5.7.0 Authentication is required.", PROTO_REPLIED);
    return smtp_answer(reply, "503 5.5.1 No valid recipients.", PROTO_REPLIED);
}

/* The chunk follows whatever we answer: it must not be read as commands. */
static enum proto_intent smtp_bdat(struct smtp_front *s, struct str args, struct buf *reply)
{
    uint64_t size;
    if (str_to_u64(str_word(&args), UINT64_MAX, &size) < 0)
        return smtp_answer(reply, "501 5.5.4 Syntax: BDAT size [LAST]", PROTO_FATAL);
    s->skip_left = size;
    return smtp_data(s, args, reply);
}

static enum proto_intent smtp_rset(struct smtp_front *s, struct str args, struct buf *reply)
{
    (void)args;
    smtp_forget_mail(s);
    return smtp_answer(reply, "250 2.0.0 OK", PROTO_REPLIED);
}

static enum proto_intent smtp_noop(struct smtp_front *s, struct str args, struct buf *reply)
{
    (void)s;
    (void)args;
    return smtp_answer(reply, "250 2.0.0 OK", PROTO_REPLIED);
}

static enum proto_intent smtp_vrfy(struct smtp_front *s, struct str args, struct buf *reply)
{
    (void)s;
    if (str_trim(args).n == 0)
        return smtp_answer(reply, "501 5.5.4 Syntax: VRFY address", PROTO_BAD);
    return smtp_answer(reply, "252 2.5.0 Cannot verify the address, but mail may be tried.",
                       PROTO_REPLIED);
}

static enum proto_intent smtp_expn(struct smtp_front *s, struct str args, struct buf *reply)
{
    (void)s;
    (void)args;
    return smtp_answer(reply, "502 5.5.1 EXPN is not available.", PROTO_REPLIED);
}

static enum proto_intent smtp_help(struct smtp_front *s, struct str args, struct buf *reply)
{
    (void)s;
    (void)args;
    return smtp_answer(reply, "214 2.0.0 See RFC 5321.", PROTO_REPLIED);
}

static enum proto_intent smtp_quit(struct smtp_front *s, struct str args, struct buf *reply)
{
    (void)s;
    (void)args;
    return smtp_answer(reply, "221 2.0.0 Bye", PROTO_QUIT);
}

static const struct smtp_command {
    const char *verb;
    bool is_clear_allowed; /* also where TLS is required and not active, RFC 3207 section 4 */
    smtp_command_fn *run;
} smtp_commands[] = {
    {"EHLO", true, smtp_ehlo},  {"HELO", true, smtp_helo},  {"STARTTLS", true, smtp_starttls},
    {"AUTH", false, smtp_auth}, {"MAIL", false, smtp_mail}, {"RCPT", false, smtp_rcpt},
    {"DATA", false, smtp_data}, {"BDAT", true, smtp_bdat},  {"RSET", true, smtp_rset},
    {"NOOP", true, smtp_noop},  {"VRFY", false, smtp_vrfy}, {"EXPN", false, smtp_expn},
    {"HELP", true, smtp_help},  {"QUIT", true, smtp_quit},
};

/* HT is none. */
static bool smtp_has_control(struct str line)
{
    if (str_is_printable_ascii(line)) /* as nearly all are */
        return false;
    for (size_t i = 0; i < line.n; i++)
        if (((unsigned char)line.p[i] < 0x20 && line.p[i] != '\t') || line.p[i] == 0x7f)
            return true;
    return false;
}

static enum proto_intent smtp_run(struct smtp_front *s, struct str line, struct buf *reply)
{
    struct str args = line, verb = str_cut(&args, ' ');
    const struct smtp_command *c = NULL;
    for (size_t i = 0; i < ARRAY_LEN(smtp_commands) && !c; i++)
        if (str_ieq(verb, str_of(smtp_commands[i].verb)))
            c = &smtp_commands[i];
    if (!c || smtp_has_control(line))
        return front_is_http(line)
                   ? smtp_answer(reply, "503 5.5.0 This is not an HTTP server.", PROTO_FATAL)
                   : smtp_answer(reply, "500 5.5.1 Invalid command.", PROTO_BAD);
    if (s->head.env->tls == FRONT_TLS_REQUIRED && !c->is_clear_allowed) {
        bool is_login = c->run == smtp_auth;
        return smtp_answer(
            reply, "530 5.7.0 Must issue a STARTTLS command first.",
            is_login ? front_refuse(&s->head, REPLY_TLS_REQUIRED, sasl_find(str_word(&args)))
                     : PROTO_REPLIED);
    }
    return c->run(s, args, reply);
}

enum proto_intent smtp_front_feed(struct front *f, struct str in, size_t *ret_consumed,
                                  struct buf *reply)
{
    struct smtp_front *s = (struct smtp_front *)f;
    size_t max = f->env->max_line_bytes;
    struct str line;
    *ret_consumed = 0;
    if (s->skip_left > 0) {
        size_t n = s->skip_left < in.n ? (size_t)s->skip_left : in.n;
        s->skip_left -= n;
        *ret_consumed = n;
        return n > 0 ? PROTO_REPLIED : PROTO_NEED_MORE;
    }
    bool may_be_long = f->is_exchange || str_is_iprefix(in, STR("AUTH "));
    if (may_be_long && max < SMTP_AUTH_LINE_MAX)
        max = SMTP_AUTH_LINE_MAX;
    int r = line_cut(in, max, &line, ret_consumed, NULL);
    if (r == -ERR_AGAIN)
        return PROTO_NEED_MORE;
    if (r < 0)
        return front_is_http(str_head(in, max))
                   ? smtp_answer(reply, "503 5.5.0 This is not an HTTP server.", PROTO_FATAL)
                   : smtp_answer(reply, "500 5.5.2 Command is too long.", PROTO_FATAL);
    if (!f->is_exchange)
        return smtp_run(s, line, reply);
    f->is_exchange = false;
    return front_take_response(f, line);
}

/* ---- object ---- */

/* RFC 3207 section 4.2: nothing that was learnt in clear survives. */
int smtp_front_tls_started(struct front *f, struct buf *reply)
{
    struct smtp_front *s = (struct smtp_front *)f;
    (void)reply;
    front_end_login(f);
    s->pending = SMTP_PENDING_NONE;
    s->skip_left = 0;
    buf_clear(&f->helo);
    f->is_ehlo = false;
    smtp_forget_mail(s);
    return 0;
}

struct front *smtp_front_new(const struct front_env *env)
{
    return front_new(sizeof(struct smtp_front), env);
}
