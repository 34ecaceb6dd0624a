/* SPDX-License-Identifier: ISC */
/* POP3 towards the client before its login (RFC 1939, 2449, 2595, 3206, 5034). */
#include <ctype.h>

#include "proto/front.h"
#include "proto/line.h"
#include "proto/pop3/pop3.h"

#define POP3_DIGEST 32

struct pop3_front {
    struct front f;
    struct buf user; /* from USER, waiting for PASS */
    bool has_user;
    bool is_user_refused; /* the refusal of PASS is that of the same try */
};

struct pop3_command {
    struct str verb;
    struct str args; /* behind one blank, as they are: passwords may hold blanks */
};

typedef enum proto_intent pop3_handler(struct pop3_front *p, const struct pop3_command *c,
                                       struct buf *reply);

static const char *const pop3_default_capabilities[] = {
    "TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "USER", NULL};

/* RFC 2449, RFC 3206; kinds without a code are about the client's own commands */
static const char *const pop3_codes[REPLY_KIND_COUNT] = {
    [REPLY_AUTH_FAILED] = "AUTH",
    [REPLY_AUTH_TEMPFAIL] = "SYS/TEMP",
    [REPLY_LIMIT] = "IN-USE",
    [REPLY_BANNED] = "LOGIN-DELAY",
    [REPLY_LOCKED] = "SYS/PERM",
    [REPLY_BACKEND_DOWN] = "SYS/TEMP",
    [REPLY_BACKEND_FULL] = "SYS/TEMP",
    [REPLY_HOLD_TIMEOUT] = "SYS/TEMP",
    [REPLY_SHUTDOWN] = "SYS/TEMP",
    [REPLY_KICKED] = "SYS/TEMP",
    [REPLY_TIMEOUT] = "SYS/TEMP",
    [REPLY_NO_CERTIFICATE] = "SYS/PERM",
    [REPLY_BAD_CERTIFICATE] = "SYS/PERM",
    [REPLY_INTERNAL] = "SYS/TEMP",
};

/* "-ERR [CODE] text": whoever writes the text may bring a code of its own. */
int pop3_farewell(enum reply_kind kind, const char *text, struct buf *out)
{
    const char *code = pop3_codes[(unsigned)kind < REPLY_KIND_COUNT ? kind : REPLY_INTERNAL];
    struct str rest = str_of(text), own;
    bool has_own = pop3_cut_code(&rest, &own);
    if (buf_append_c(out, "-ERR ") < 0 ||
        (code && !has_own && BUF_APPEND(out, "[", code, "] ") < 0))
        return -ERR_NOMEM;
    size_t before = out->len;
    if (reply_append_text(out, kind, text) < 0 ||
        (out->len == before && buf_append_c(out, reply_text(kind)) < 0))
        return -ERR_NOMEM;
    return buf_append_c(out, "\r\n");
}

static enum proto_intent pop3_say(struct buf *reply, const char *line, enum proto_intent intent)
{
    return buf_append_c(reply, line) < 0 || buf_append_c(reply, "\r\n") < 0 ? PROTO_FATAL : intent;
}

static enum proto_intent pop3_refuse(struct buf *reply, enum reply_kind kind,
                                     enum proto_intent intent)
{
    return pop3_farewell(kind, NULL, reply) < 0 ? PROTO_FATAL : intent;
}

/* ---- object ---- */

struct front *pop3_front_new(const struct front_env *env)
{
    return front_new(sizeof(struct pop3_front), env);
}

void pop3_front_free(struct front *f)
{
    struct pop3_front *p = (struct pop3_front *)f;
    if (!p)
        return;
    front_fini(&p->f);
    buf_wipe(&p->user);
    free(p);
}

/* The salt is announced once and for all, though APOP may have to wait for TLS. */
int pop3_front_greet(struct front *f, struct buf *reply)
{
    const struct front_env *env = f->env;
    if (buf_append_c(reply, "+OK ") < 0)
        return -ERR_NOMEM;
    if (env->greeting && env->greeting[0]) {
        if (reply_append_clean(reply, str_of(env->greeting), REPLY_TEXT_MAX) < 0)
            return -ERR_NOMEM;
    } else if (BUF_APPEND(reply, env->server_name, " ready.") < 0) {
        return -ERR_NOMEM;
    }
    if (env->apop_salt && BUF_APPEND(reply, " ", env->apop_salt) < 0)
        return -ERR_NOMEM;
    return buf_append_c(reply, "\r\n");
}

/* ---- commands ---- */

static bool pop3_is_user_allowed(const struct front_env *env)
{
    return env->mechanisms & SASL_BIT_COMMAND;
}

static bool pop3_is_user_announced(const struct front_env *env)
{
    return front_announced(env) & SASL_BIT_COMMAND;
}

/* May an entry of a configured or learned list be announced? What depends on this connection is
 * computed, and nobody but this proxy speaks XCLIENT to the server. */
static bool pop3_is_announced(const struct front_env *env, struct str entry)
{
    struct str name = str_word(&entry);
    if (str_ieq(name, STR("USER")))
        return pop3_is_user_announced(env);
    return name.n > 0 && name.p[0] != '.' && !str_ieq(name, STR("SASL")) &&
           !str_ieq(name, STR("STLS")) && !str_ieq(name, STR("XCLIENT"));
}

static int pop3_append_capabilities(const struct front_env *env, struct buf *out)
{
    const char *const *v = env->capabilities ? env->capabilities : pop3_default_capabilities;
    bool has_user = false;
    AUTO_BUF sasl = BUF_INIT;
    for (; *v; v++) {
        if (pop3_is_announced(env, str_of(*v)) && BUF_APPEND(out, *v, "\r\n") < 0)
            return -ERR_NOMEM;
        has_user = has_user || str_ieq(str_of(*v), STR("USER"));
    }
    if (!has_user && pop3_is_user_announced(env) && buf_append_c(out, "USER\r\n") < 0)
        return -ERR_NOMEM;
    if (sasl_append_list(&sasl, front_announced(env), " ") < 0)
        return -ERR_NOMEM;
    if (sasl.len > 0 && (buf_append_c(out, "SASL") < 0 || buf_append_str(out, buf_str(&sasl)) < 0 ||
                         buf_append_c(out, "\r\n") < 0))
        return -ERR_NOMEM;
    return front_is_starttls_offered(env) ? buf_append_c(out, "STLS\r\n") : 0;
}

static enum proto_intent pop3_capa(struct pop3_front *p, const struct pop3_command *c,
                                   struct buf *reply)
{
    (void)c;
    if (buf_append_c(reply, "+OK Capability list follows\r\n") < 0 ||
        pop3_append_capabilities(p->f.env, reply) < 0)
        return PROTO_FATAL;
    return pop3_say(reply, ".", PROTO_REPLIED);
}

static enum proto_intent pop3_noop(struct pop3_front *p, const struct pop3_command *c,
                                   struct buf *reply)
{
    (void)p;
    (void)c;
    return pop3_say(reply, "+OK", PROTO_REPLIED);
}

static enum proto_intent pop3_quit(struct pop3_front *p, const struct pop3_command *c,
                                   struct buf *reply)
{
    (void)p;
    (void)c;
    return pop3_say(reply, "+OK Logging out.", PROTO_QUIT);
}

static enum proto_intent pop3_stls(struct pop3_front *p, const struct pop3_command *c,
                                   struct buf *reply)
{
    (void)c;
    if (p->f.env->tls == FRONT_TLS_ACTIVE)
        return pop3_say(reply, "-ERR TLS is active already.", PROTO_BAD);
    if (!front_is_starttls_offered(p->f.env))
        return pop3_say(reply, "-ERR TLS is not available.", PROTO_BAD);
    return pop3_say(reply, "+OK Begin TLS negotiation now.", PROTO_STARTTLS);
}

/* What USER said is forgotten. */
static void pop3_end_try(struct pop3_front *p)
{
    buf_wipe(&p->user);
    p->has_user = p->is_user_refused = false;
}

static void pop3_end_login(struct pop3_front *p)
{
    front_end_login(&p->f);
    pop3_end_try(p);
}

/* USER, PASS or APOP that nobody is going to judge. */
static enum proto_intent pop3_refuse_login(struct pop3_front *p, enum reply_kind why,
                                           enum sasl_mech mech, struct str user, struct buf *reply)
{
    enum proto_intent intent = front_refuse_command(&p->f, why, mech, user);
    pop3_end_try(p);
    return pop3_refuse(reply, why, intent);
}

/* A name that may become a credential. */
static bool pop3_is_name(struct str name)
{
    return name.n > 0 && str_is_utf8(name) && !str_has_crlf_nul(name);
}

static enum proto_intent pop3_user(struct pop3_front *p, const struct pop3_command *c,
                                   struct buf *reply)
{
    struct str name = str_trim(c->args);
    pop3_end_login(p);
    if (!pop3_is_user_allowed(p->f.env)) {
        enum reply_kind why = front_why_disabled(p->f.env, true);
        enum proto_intent intent = pop3_refuse_login(p, why, SASL_PLAIN, name, reply);
        p->is_user_refused = true;
        return intent;
    }
    if (!pop3_is_name(name))
        return pop3_say(reply, "-ERR USER needs a name.", PROTO_BAD);
    if (buf_append_str(&p->user, name) < 0)
        return PROTO_FATAL;
    p->has_user = true;
    return pop3_say(reply, "+OK", PROTO_REPLIED);
}

static enum proto_intent pop3_pass(struct pop3_front *p, const struct pop3_command *c,
                                   struct buf *reply)
{
    struct credentials *cred = &p->f.cred;
    if (!pop3_is_user_allowed(p->f.env)) {
        enum reply_kind why = front_why_disabled(p->f.env, true);
        if (!p->is_user_refused)
            return pop3_refuse_login(p, why, SASL_PLAIN, STR_NULL, reply);
        p->is_user_refused = false;
        return pop3_refuse(reply, why, PROTO_BAD);
    }
    if (!p->has_user)
        return pop3_say(reply, "-ERR USER comes first.", PROTO_BAD);
    if (c->args.n == 0 || str_has_crlf_nul(c->args))
        return pop3_refuse_login(p, REPLY_AUTH_FAILED, SASL_PLAIN, buf_str(&p->user), reply);
    credentials_wipe(cred);
    cred->mech = SASL_PLAIN;
    if (buf_append_str(&cred->user, buf_str(&p->user)) < 0 ||
        buf_append_str(&cred->secret, c->args) < 0)
        return PROTO_FATAL;
    buf_wipe(&p->user);
    p->has_user = false;
    return PROTO_READY;
}

/* "APOP name digest", RFC 1939 section 7; the name may hold blanks. */
static enum proto_intent pop3_apop(struct pop3_front *p, const struct pop3_command *c,
                                   struct buf *reply)
{
    const struct front_env *env = p->f.env;
    struct credentials *cred = &p->f.cred;
    pop3_end_login(p);
    size_t at = c->args.n;
    while (at > 0 && c->args.p[at - 1] != ' ')
        at--;
    struct str name = str_n(c->args.p, at > 0 ? at - 1 : 0), digest = str_skip(c->args, at);
    if (!(env->mechanisms & SASL_BIT(SASL_APOP)) || !env->apop_salt)
        return pop3_refuse_login(p, front_why_disabled(env, false), SASL_APOP, name, reply);
    bool is_good = pop3_is_name(name) && digest.n == POP3_DIGEST;
    for (size_t i = 0; i < digest.n && is_good; i++) {
        unsigned char hex = (unsigned char)digest.p[i];
        is_good = isxdigit(hex) && buf_append_char(&cred->secret, (char)tolower(hex)) == 0;
    }
    if (!is_good) {
        credentials_wipe(cred);
        return pop3_say(reply, "-ERR APOP needs a name and a digest.", PROTO_BAD);
    }
    cred->mech = SASL_APOP;
    if (buf_append_str(&cred->user, name) < 0 || buf_append_c(&cred->salt, env->apop_salt) < 0)
        return PROTO_FATAL;
    return PROTO_READY;
}

static enum proto_intent pop3_auth_list(struct pop3_front *p, struct buf *reply)
{
    AUTO_BUF list = BUF_INIT;
    if (buf_append_c(reply, "+OK methods supported:\r\n") < 0 ||
        sasl_append_list(&list, front_announced(p->f.env), " ") < 0)
        return PROTO_FATAL;
    struct str rest = buf_str(&list);
    for (struct str name = str_word(&rest); name.n > 0; name = str_word(&rest))
        if (buf_printf(reply, "%.*s\r\n", STR_ARG(name)) < 0)
            return PROTO_FATAL;
    return pop3_say(reply, ".", PROTO_REPLIED);
}

static enum proto_intent pop3_auth(struct pop3_front *p, const struct pop3_command *c,
                                   struct buf *reply)
{
    const struct front_env *env = p->f.env;
    struct str args = c->args;
    pop3_end_login(p);
    struct str name = str_word(&args), initial = str_word(&args);
    if (name.n == 0)
        return pop3_auth_list(p, reply);
    if (str_word(&args).n > 0)
        return pop3_say(reply, "-ERR Invalid arguments of AUTH.", PROTO_BAD);
    enum sasl_mech mech = sasl_find(name);
    if (mech == SASL_NONE || mech == SASL_APOP || !(env->mechanisms & SASL_BIT(mech))) {
        enum reply_kind why = front_why_disabled(env, sasl_is_clear_text(mech));
        return pop3_refuse(reply, why, front_refuse(&p->f, why, mech));
    }
    p->f.is_exchange = true;
    /* "=" is an initial response that is empty (RFC 5034) */
    return front_begin_auth(&p->f, mech, initial.n > 0,
                            str_eq(initial, STR("=")) ? STR_NULL : initial);
}

static const struct pop3_row {
    const char *verb;
    pop3_handler *run;
    bool has_args;
} pop3_rows[] = {
    {"USER", pop3_user, true},  {"PASS", pop3_pass, true},  {"APOP", pop3_apop, true},
    {"AUTH", pop3_auth, true},  {"CAPA", pop3_capa, false}, {"NOOP", pop3_noop, false},
    {"QUIT", pop3_quit, false}, {"STLS", pop3_stls, false},
};

static enum proto_intent pop3_command(struct pop3_front *p, struct str line, struct buf *reply)
{
    struct pop3_command c = {.args = line};
    const struct pop3_row *row = NULL;
    if (front_is_http(line))
        return pop3_refuse(reply, REPLY_PROTOCOL_MISUSE, PROTO_FATAL);
    c.verb = str_cut(&c.args, ' ');
    for (size_t i = 0; i < ARRAY_LEN(pop3_rows) && !row; i++)
        if (str_ieq(c.verb, str_of(pop3_rows[i].verb)))
            row = &pop3_rows[i];
    if (!row || str_index(line, '\0') >= 0)
        return pop3_say(reply, "-ERR Unknown command, or not allowed before login.", PROTO_BAD);
    if (!row->has_args && str_trim(c.args).n > 0)
        return pop3_say(reply, "-ERR Command takes no arguments.", PROTO_BAD);
    return row->run(p, &c, reply);
}

enum proto_intent pop3_front_feed(struct front *f, struct str in, size_t *ret_consumed,
                                  struct buf *reply)
{
    struct pop3_front *p = (struct pop3_front *)f;
    struct str line;
    *ret_consumed = 0;
    size_t max = f->env->max_line_bytes;
    int r = line_cut(in, max, &line, ret_consumed, NULL);
    if (r == -ERR_AGAIN)
        return PROTO_NEED_MORE;
    if (r < 0) {
        bool is_http = front_is_http(str_head(in, max));
        return pop3_refuse(reply, is_http ? REPLY_PROTOCOL_MISUSE : REPLY_TOO_LONG, PROTO_FATAL);
    }
    return f->is_exchange ? front_take_response(f, line) : pop3_command(p, line, reply);
}

/* ---- answers of the core ---- */

int pop3_front_reply(struct front *f, enum reply_kind kind, const char *code, const char *text,
                     struct buf *reply)
{
    (void)code;
    if (kind == REPLY_HELD) /* there is no way to say "wait" */
        return 0;
    int r = pop3_farewell(kind, text, reply);
    pop3_end_login((struct pop3_front *)f);
    return r;
}

int pop3_front_success(struct front *f, const struct back_success *s, struct buf *reply)
{
    int r = buf_append_c(reply, "+OK ");
    if (r == 0)
        r = reply_end_line(reply, buf_str(&s->text), "Logged in.");
    pop3_end_login((struct pop3_front *)f);
    return r;
}

int pop3_front_tls_started(struct front *f, struct buf *reply)
{
    (void)reply;
    pop3_end_login((struct pop3_front *)f);
    f->auth_mech = SASL_NONE;
    return 0;
}
