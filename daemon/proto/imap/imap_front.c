/* SPDX-License-Identifier: ISC */
/* IMAP towards the client before its login (RFC 3501 section 6.1 and 6.2, RFC 2971, 4959, 5530,
 * 7888). */
#include <ctype.h>

#include "proto/front.h"
#include "proto/imap/imap.h"
#include "proto/line.h"

#define IMAP_TAG_MAX 128
#define IMAP_ID_NAME 30
#define IMAP_ID_VALUE 1024

struct imap_front {
    struct front f;
    struct buf tag;   /* of the login command that waits for its answer */
    unsigned invited; /* literals of the running command that got their go-ahead */
};

struct imap_command {
    struct str tag, verb;
    struct str args; /* with the blank before them; empty when there are none */
};

typedef enum proto_intent imap_handler(struct imap_front *i, const struct imap_command *c,
                                       struct buf *reply);

static const char *const imap_default_capabilities[] = {"IMAP4rev1", "SASL-IR", "LITERAL+", "ID",
                                                        NULL};

/* Status and response code of each kind; with BYE it is untagged and ends the session. */
static const struct imap_reply_row {
    const char *status;
    const char *code; /* RFC 5530 */
} imap_replies[REPLY_KIND_COUNT] = {
    [REPLY_AUTH_FAILED] = {"NO", "AUTHENTICATIONFAILED"},
    [REPLY_AUTH_TEMPFAIL] = {"NO", "UNAVAILABLE"},
    [REPLY_AUTH_CANCELLED] = {"BAD", NULL},
    [REPLY_AUTH_BAD_RESPONSE] = {"BAD", NULL},
    [REPLY_MECH_DISABLED] = {"NO", "CANNOT"},
    [REPLY_TLS_REQUIRED] = {"NO", "PRIVACYREQUIRED"},
    [REPLY_LIMIT] = {"NO", "LIMIT"},
    [REPLY_BANNED] = {"NO", "LIMIT"},
    [REPLY_LOCKED] = {"NO", "ALERT"},
    [REPLY_BACKEND_DOWN] = {"NO", "UNAVAILABLE"},
    [REPLY_BACKEND_FULL] = {"NO", "LIMIT"},
    [REPLY_HELD] = {"OK", NULL},
    [REPLY_HOLD_TIMEOUT] = {"NO", "UNAVAILABLE"},
    [REPLY_SHUTDOWN] = {"BYE", "UNAVAILABLE"},
    [REPLY_KICKED] = {"BYE", NULL},
    [REPLY_TIMEOUT] = {"BYE", NULL},
    [REPLY_TOO_MANY_BAD] = {"BYE", NULL},
    [REPLY_TOO_LONG] = {"BYE", NULL},
    [REPLY_PROTOCOL_MISUSE] = {"BYE", NULL},
    [REPLY_BARE_NEWLINE] = {"BYE", NULL},
    [REPLY_NO_CERTIFICATE] = {"BYE", NULL},
    [REPLY_BAD_CERTIFICATE] = {"BYE", NULL},
    [REPLY_INTERNAL] = {"NO", "SERVERBUG"},
};

static const struct imap_reply_row *imap_reply_row(enum reply_kind kind)
{
    return &imap_replies[(unsigned)kind < REPLY_KIND_COUNT ? kind : REPLY_INTERNAL];
}

/* "STATUS [CODE] text": whoever writes the text may bring a code of its own. */
static int imap_append_words(struct buf *out, const char *status, const char *code,
                             enum reply_kind kind, const char *text)
{
    struct str rest = str_of(text), own;
    bool has_own = imap_cut_code(&rest, &own);
    if (buf_append_c(out, status) < 0 || buf_append_char(out, ' ') < 0)
        return -ERR_NOMEM;
    if (code && !has_own && BUF_APPEND(out, "[", code, "] ") < 0)
        return -ERR_NOMEM;
    size_t before = out->len;
    if (reply_append_text(out, kind, text) < 0)
        return -ERR_NOMEM;
    /* resp-text is never empty */
    if (out->len == before && buf_append_c(out, reply_text(kind)) < 0)
        return -ERR_NOMEM;
    return buf_append_c(out, "\r\n");
}

int imap_farewell(enum reply_kind kind, const char *text, struct buf *out)
{
    if (buf_append_c(out, "* ") < 0)
        return -ERR_NOMEM;
    return imap_append_words(out, "BYE", imap_reply_row(kind)->code, kind, text);
}

static enum proto_intent imap_fatal(enum reply_kind kind, struct buf *reply)
{
    /* without memory there are no last words; the end is the same */
    (void)!imap_farewell(kind, NULL, reply);
    return PROTO_FATAL;
}

/* One line with the command's tag; intent when there was memory for it. */
static enum proto_intent imap_answer(const struct imap_command *c, struct buf *reply,
                                     const char *words, enum proto_intent intent)
{
    if (buf_append_str(reply, c->tag) < 0 || buf_append_char(reply, ' ') < 0 ||
        buf_append_c(reply, words) < 0 || buf_append_c(reply, "\r\n") < 0)
        return PROTO_FATAL;
    return intent;
}

/* A command refused with an abstract reply. */
static enum proto_intent imap_refuse(const struct imap_command *c, struct buf *reply,
                                     enum reply_kind kind, enum proto_intent intent)
{
    const struct imap_reply_row *row = imap_reply_row(kind);
    if (buf_append_str(reply, c->tag) < 0 || buf_append_char(reply, ' ') < 0 ||
        imap_append_words(reply, row->status, row->code, kind, NULL) < 0)
        return PROTO_FATAL;
    return intent;
}

/* ---- object ---- */

struct front *imap_front_new(const struct front_env *env)
{
    return front_new(sizeof(struct imap_front), env);
}

void imap_front_free(struct front *f)
{
    struct imap_front *i = (struct imap_front *)f;
    if (!i)
        return;
    front_fini(&i->f);
    buf_fini(&i->tag);
    free(i);
}

/* ---- capabilities ---- */

/* What depends on this connection is computed here and dropped from any list. */
static bool imap_is_own_capability(struct str name)
{
    return str_is_iprefix(name, STR("AUTH=")) || str_ieq(name, STR("STARTTLS")) ||
           str_ieq(name, STR("LOGINDISABLED")) || str_ieq(name, STR("LOGIN-REFERRALS"));
}

static int imap_append_capabilities(const struct front_env *env, struct buf *out)
{
    const char *const *v = env->capabilities ? env->capabilities : imap_default_capabilities;
    const struct buf *ready = front_recall(env);
    size_t start = out->len;
    if (ready)
        return buf_append_str(out, buf_str(ready));
    if (buf_append_c(out, "CAPABILITY") < 0)
        return -ERR_NOMEM;
    for (; *v; v++)
        if (!imap_is_own_capability(str_of(*v)) &&
            (buf_append_char(out, ' ') < 0 || buf_append_c(out, *v) < 0))
            return -ERR_NOMEM;
    if (sasl_append_list(out, front_announced(env), " AUTH=") < 0)
        return -ERR_NOMEM;
    if (front_is_starttls_offered(env) && buf_append_c(out, " STARTTLS") < 0)
        return -ERR_NOMEM;
    if (!(front_announced(env) & SASL_BIT_COMMAND) && buf_append_c(out, " LOGINDISABLED") < 0)
        return -ERR_NOMEM;
    front_remember(env, str_skip(buf_str(out), start));
    return 0;
}

int imap_front_greet(struct front *f, struct buf *reply)
{
    if (buf_append_c(reply, "* OK [") < 0 || imap_append_capabilities(f->env, reply) < 0 ||
        buf_append_c(reply, "] ") < 0)
        return -ERR_NOMEM;
    if (f->env->greeting && f->env->greeting[0]) {
        if (reply_append_clean(reply, str_of(f->env->greeting), REPLY_TEXT_MAX) < 0)
            return -ERR_NOMEM;
    } else if (BUF_APPEND(reply, f->env->server_name, " ready.") < 0) {
        return -ERR_NOMEM;
    }
    return buf_append_c(reply, "\r\n");
}

/* ---- commands ---- */

static enum proto_intent imap_capability(struct imap_front *i, const struct imap_command *c,
                                         struct buf *reply)
{
    if (buf_append_c(reply, "* ") < 0 || imap_append_capabilities(i->f.env, reply) < 0 ||
        buf_append_c(reply, "\r\n") < 0)
        return PROTO_FATAL;
    return imap_answer(c, reply, "OK CAPABILITY completed.", PROTO_REPLIED);
}

static enum proto_intent imap_noop(struct imap_front *i, const struct imap_command *c,
                                   struct buf *reply)
{
    (void)i;
    return imap_answer(c, reply, "OK NOOP completed.", PROTO_REPLIED);
}

static enum proto_intent imap_logout(struct imap_front *i, const struct imap_command *c,
                                     struct buf *reply)
{
    (void)i;
    if (buf_append_c(reply, "* BYE Logging out.\r\n") < 0)
        return PROTO_FATAL;
    return imap_answer(c, reply, "OK LOGOUT completed.", PROTO_QUIT);
}

static enum proto_intent imap_starttls(struct imap_front *i, const struct imap_command *c,
                                       struct buf *reply)
{
    if (i->f.env->tls == FRONT_TLS_ACTIVE)
        return imap_answer(c, reply, "BAD TLS is active already.", PROTO_BAD);
    if (!front_is_starttls_offered(i->f.env))
        return imap_answer(c, reply, "BAD TLS is not available.", PROTO_BAD);
    return imap_answer(c, reply, "OK Begin TLS negotiation now.", PROTO_STARTTLS);
}

/* A login command is about to wait for its outcome: its tag is kept, what an earlier one left
 * behind goes. */
static bool imap_begin_login(struct imap_front *i, const struct imap_command *c)
{
    front_end_login(&i->f);
    buf_clear(&i->tag);
    return buf_append_str(&i->tag, c->tag) == 0;
}

static void imap_end_login(struct imap_front *i)
{
    front_end_login(&i->f);
    buf_clear(&i->tag);
}

static bool imap_is_login_allowed(const struct front_env *env)
{
    return env->mechanisms & SASL_BIT_COMMAND;
}

/* Two strings and nothing else. */
static int imap_cut_login(struct str args, struct credentials *cred)
{
    if (!imap_cut_blank(&args))
        return -ERR_SYNTAX;
    int r = imap_cut_astring(&args, &cred->user);
    if (r < 0)
        return r;
    if (!imap_cut_blank(&args))
        return -ERR_SYNTAX;
    r = imap_cut_astring(&args, &cred->secret);
    if (r < 0)
        return r;
    return args.n == 0 ? 0 : -ERR_SYNTAX;
}

/* LOGIN that nobody is going to judge; its name may be all that was sent. */
static enum proto_intent imap_refuse_login(struct imap_front *i, const struct imap_command *c,
                                           enum reply_kind why, struct buf *reply)
{
    AUTO_BUF user = BUF_INIT;
    struct str args = c->args;
    if (!imap_cut_blank(&args) || imap_cut_astring(&args, &user) < 0)
        buf_clear(&user);
    imap_end_login(i);
    return imap_refuse(c, reply, why, front_refuse_command(&i->f, why, SASL_PLAIN, buf_str(&user)));
}

static enum proto_intent imap_login(struct imap_front *i, const struct imap_command *c,
                                    struct buf *reply)
{
    struct credentials *cred = &i->f.cred;
    if (!imap_is_login_allowed(i->f.env))
        return imap_refuse_login(i, c, front_why_disabled(i->f.env, true), reply);
    if (!imap_begin_login(i, c))
        return PROTO_FATAL;
    int r = imap_cut_login(c->args, cred);
    if (r == -ERR_NOMEM)
        return PROTO_FATAL;
    if (r < 0) {
        imap_end_login(i);
        return imap_answer(c, reply, "BAD LOGIN needs a user name and a password.", PROTO_BAD);
    }
    /* legal in a literal, but never in a name or password that is passed on */
    struct str user = buf_str(&cred->user), secret = buf_str(&cred->secret);
    if (user.n == 0 || secret.n == 0 || !str_is_utf8(user) || str_has_crlf_nul(user) ||
        str_has_crlf_nul(secret))
        return imap_refuse_login(i, c, REPLY_AUTH_FAILED, reply);
    cred->mech = SASL_PLAIN;
    return PROTO_READY;
}

static enum proto_intent imap_authenticate(struct imap_front *i, const struct imap_command *c,
                                           struct buf *reply)
{
    const struct front_env *env = i->f.env;
    struct str args = c->args;
    if (!imap_cut_blank(&args))
        return imap_answer(c, reply, "BAD AUTHENTICATE needs a mechanism.", PROTO_BAD);
    struct str name = imap_cut_atom(&args);
    bool has_initial = imap_cut_blank(&args);
    if (name.n == 0 || (has_initial ? args.n == 0 : args.n > 0) || str_index(args, ' ') >= 0)
        return imap_answer(c, reply, "BAD Invalid arguments of AUTHENTICATE.", PROTO_BAD);
    enum sasl_mech mech = sasl_find(name);
    if (mech == SASL_NONE || mech == SASL_APOP || !(env->mechanisms & SASL_BIT(mech))) {
        enum reply_kind why = front_why_disabled(env, sasl_is_clear_text(mech));
        return imap_refuse(c, reply, why, front_refuse(&i->f, why, mech));
    }
    if (!imap_begin_login(i, c))
        return PROTO_FATAL;
    i->f.is_exchange = true;
    /* "=" is an initial response that is empty (RFC 4959) */
    return front_begin_auth(&i->f, mech, has_initial, str_eq(args, STR("=")) ? STR_NULL : args);
}

/* One "name" value pair of ID; -ERR_SYNTAX when it is none. */
static int imap_cut_id_pair(struct str *args, struct buf *out)
{
    AUTO_BUF name = BUF_INIT;
    AUTO_BUF value = BUF_INIT;
    int r = imap_cut_string(args, &name);
    if (r < 0)
        return r;
    if (!imap_cut_blank(args))
        return -ERR_SYNTAX;
    if (str_is_iprefix(*args, STR("NIL"))) {
        *args = str_n(args->p + 3, args->n - 3);
        return 0;
    }
    r = imap_cut_string(args, &value);
    if (r < 0)
        return r;
    if (name.len == 0 || name.len > IMAP_ID_NAME || value.len > IMAP_ID_VALUE)
        return -ERR_SYNTAX;
    if ((out->len > 0 && buf_append_char(out, ' ') < 0) ||
        imap_append_quoted(out, buf_str(&name)) < 0 || buf_append_char(out, ' ') < 0)
        return -ERR_NOMEM;
    return imap_append_quoted(out, buf_str(&value));
}

static int imap_cut_id(struct str args, struct buf *out)
{
    if (!imap_cut_blank(&args))
        return -ERR_SYNTAX;
    if (str_ieq(args, STR("NIL")))
        return 0;
    if (args.n < 2 || args.p[0] != '(')
        return -ERR_SYNTAX;
    args = str_n(args.p + 1, args.n - 1);
    (void)imap_cut_blank(&args);
    for (unsigned pairs = 0; args.n > 0 && args.p[0] != ')'; pairs++) {
        int r = pairs < IMAP_ID_PAIRS ? imap_cut_id_pair(&args, out) : -ERR_SYNTAX;
        if (r < 0)
            return r;
        if (!imap_cut_blank(&args) && (args.n == 0 || args.p[0] != ')'))
            return -ERR_SYNTAX;
    }
    return args.n == 1 ? 0 : -ERR_SYNTAX;
}

static enum proto_intent imap_id(struct imap_front *i, const struct imap_command *c,
                                 struct buf *reply)
{
    buf_clear(&i->f.client_id);
    int r = imap_cut_id(c->args, &i->f.client_id);
    if (r < 0)
        buf_clear(&i->f.client_id);
    if (r == -ERR_NOMEM)
        return PROTO_FATAL;
    if (r < 0)
        return imap_answer(c, reply, "BAD Invalid arguments of ID.", PROTO_BAD);
    if (buf_append_c(reply, "* ID NIL\r\n") < 0)
        return PROTO_FATAL;
    return imap_answer(c, reply, "OK ID completed.", PROTO_REPLIED);
}

static const struct imap_row {
    const char *verb;
    imap_handler *run;
    bool has_args;
    bool has_literals; /* a literal in it may get its go-ahead */
} imap_rows[] = {
    {"CAPABILITY", imap_capability, false, false},
    {"NOOP", imap_noop, false, false},
    {"LOGOUT", imap_logout, false, false},
    {"STARTTLS", imap_starttls, false, false},
    {"ID", imap_id, true, true},
    {"LOGIN", imap_login, true, true},
    {"AUTHENTICATE", imap_authenticate, true, false},
};

static const struct imap_row *imap_find(struct str verb)
{
    for (size_t n = 0; n < ARRAY_LEN(imap_rows); n++)
        if (str_ieq(verb, str_of(imap_rows[n].verb)))
            return &imap_rows[n];
    return NULL;
}

/* Tag, verb and the rest; false without a proper tag. */
static bool imap_parse(struct str command, struct imap_command *ret)
{
    struct str rest = command;
    struct str tag = imap_cut_atom(&rest);
    if (tag.n == 0 || tag.n > IMAP_TAG_MAX || str_index(tag, '+') >= 0 ||
        (rest.n > 0 && !imap_cut_blank(&rest)))
        return false;
    struct str verb = imap_cut_atom(&rest);
    *ret = (struct imap_command){.tag = tag, .verb = verb, .args = rest};
    return true;
}

static enum proto_intent imap_command(struct imap_front *i, struct str command, struct buf *reply)
{
    struct imap_command c;
    if (front_is_http(command))
        return imap_fatal(REPLY_PROTOCOL_MISUSE, reply);
    if (!imap_parse(command, &c))
        return buf_append_c(reply, "* BAD Invalid tag.\r\n") < 0 ? PROTO_FATAL : PROTO_BAD;
    const struct imap_row *row = imap_find(c.verb);
    if (!row || (c.args.n > 0 && c.args.p[0] != ' '))
        return imap_answer(&c, reply, "BAD Unknown command, or not allowed before login.",
                           PROTO_BAD);
    if (!row->has_args && str_trim(c.args).n > 0)
        return imap_answer(&c, reply, "BAD Command takes no arguments.", PROTO_BAD);
    return row->run(i, &c, reply);
}

/* ---- cutting ---- */

/* Would the command be carried out? Else its literals are not asked for: a password must not
 * travel in clear only to be refused. */
static bool imap_is_literal_welcome(const struct imap_front *i, struct str in)
{
    struct imap_command c;
    struct str line;
    size_t used;
    if (line_cut(in, SIZE_MAX, &line, &used, NULL) < 0 || !imap_parse(line, &c))
        return false;
    const struct imap_row *row = imap_find(c.verb);
    return row && row->has_literals && (row->run != imap_login || imap_is_login_allowed(i->f.env));
}

/* End of the line that announces the first synchronizing literal. */
static size_t imap_sync_end(struct str in)
{
    size_t pos = 0, used;
    struct str line;
    uint64_t size;
    bool is_sync;
    while (line_cut(str_n(in.p + pos, in.n - pos), SIZE_MAX, &line, &used, NULL) == 0) {
        pos += used;
        if (!line_literal(line, &size, &is_sync) || is_sync || size > in.n - pos)
            break;
        pos += (size_t)size;
    }
    return pos;
}

static enum proto_intent imap_feed_command(struct imap_front *i, struct str in,
                                           size_t *ret_consumed, struct buf *reply)
{
    const struct front_env *env = i->f.env;
    struct imap_command c;
    size_t used;
    bool is_invited, is_sync;
    int r;
    while ((r = line_cut_command(in, env->max_line_bytes, env->max_literal_bytes, &i->invited,
                                 &used, &is_invited, &is_sync)) == -ERR_AGAIN) {
        if (!is_invited)
            return PROTO_NEED_MORE;
        if (!imap_is_literal_welcome(i, in)) {
            i->invited = 0;
            *ret_consumed = imap_sync_end(in);
            return imap_command(i, imap_chomp(str_n(in.p, *ret_consumed)), reply);
        }
        if (buf_append_c(reply, "+ OK\r\n") < 0)
            return PROTO_FATAL;
    }
    *ret_consumed = used;
    struct str command = imap_chomp(str_n(in.p, used));
    if (r == 0)
        return imap_command(i, command, reply);
    if (front_is_http(str_head(in, env->max_line_bytes)))
        return imap_fatal(REPLY_PROTOCOL_MISUSE, reply);
    if (!is_sync || !imap_parse(command, &c))
        return imap_fatal(REPLY_TOO_LONG, reply);
    return imap_answer(&c, reply, "NO [TOOBIG] Literal is too large.", PROTO_BAD);
}

enum proto_intent imap_front_feed(struct front *f, struct str in, size_t *ret_consumed,
                                  struct buf *reply)
{
    struct imap_front *i = (struct imap_front *)f;
    *ret_consumed = 0;
    if (!i->f.is_exchange)
        return imap_feed_command(i, in, ret_consumed, reply);
    struct str line;
    int r = line_cut(in, i->f.env->max_line_bytes, &line, ret_consumed, NULL);
    if (r == -ERR_TOO_LONG)
        return imap_fatal(REPLY_TOO_LONG, reply);
    return r < 0 ? PROTO_NEED_MORE : front_take_response(&i->f, line);
}

/* ---- answers of the core ---- */

int imap_front_reply(struct front *f, enum reply_kind kind, const char *code, const char *text,
                     struct buf *reply)
{
    struct imap_front *i = (struct imap_front *)f;
    const struct imap_reply_row *row = imap_reply_row(kind);
    /* a tagged OK is the login itself: waiting is told without a tag and ends nothing */
    bool is_waiting = kind == REPLY_HELD;
    bool is_untagged = is_waiting || i->tag.len == 0 || strcmp(row->status, "BYE") == 0;
    (void)code;
    int r = buf_append_str(reply, is_untagged ? STR("*") : buf_str(&i->tag));
    if (r == 0)
        r = buf_append_char(reply, ' ');
    if (r == 0)
        r = imap_append_words(reply, row->status, row->code, kind, text);
    if (!is_waiting)
        imap_end_login(i);
    return r;
}

int imap_front_success(struct front *f, const struct back_success *s, struct buf *reply)
{
    struct imap_front *i = (struct imap_front *)f;
    int r = buf_append_str(reply, buf_str(&i->tag));
    if (r == 0)
        r = buf_append_c(reply, " OK ");
    if (r == 0 && s->capabilities.len > 0 &&
        (buf_append_c(reply, "[CAPABILITY ") < 0 ||
         buf_append_str(reply, buf_str(&s->capabilities)) < 0 || buf_append_c(reply, "] ") < 0))
        r = -ERR_NOMEM;
    if (r == 0)
        r = reply_end_line(reply, buf_str(&s->text), "Logged in.");
    imap_end_login(i);
    return r;
}

int imap_front_keepalive(struct front *f, struct buf *reply)
{
    (void)f;
    return buf_append_c(reply, "* OK Still waiting for the mail server.\r\n");
}

int imap_front_tls_started(struct front *f, struct buf *reply)
{
    struct imap_front *i = (struct imap_front *)f;
    (void)reply;
    imap_end_login(i);
    buf_clear(&f->client_id);
    f->has_initial = false;
    f->auth_mech = SASL_NONE;
    i->invited = 0;
    return 0;
}
