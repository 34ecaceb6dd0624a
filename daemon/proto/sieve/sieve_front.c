/* SPDX-License-Identifier: ISC */
/* ManageSieve towards clients: capabilities, STARTTLS and AUTHENTICATE (RFC 5804). */
#include <stdlib.h>

#include "base/cleanup.h"
#include "proto/front.h"
#include "proto/line.h"
#include "proto/sieve/sieve.h"

#define SIEVE_CAPABILITY_MAX 4096

struct sieve_front {
    struct front head;
    bool is_pending;  /* AUTHENTICATE waits for its end */
    unsigned invited; /* for line_cut_command */
};

/* ---- replies ---- */

/* What ends a session says BYE; TRYLATER tells that it is not the client's fault. */
static const struct sieve_words {
    const char *answer;
    const char *farewell;
} sieve_words[REPLY_KIND_COUNT] = {
    [REPLY_AUTH_FAILED] = {"NO", "BYE"},
    [REPLY_AUTH_TEMPFAIL] = {"NO (TRYLATER)", "BYE (TRYLATER)"},
    [REPLY_AUTH_CANCELLED] = {"NO", "BYE"},
    [REPLY_AUTH_BAD_RESPONSE] = {"NO", "BYE"},
    [REPLY_MECH_DISABLED] = {"NO", "BYE"},
    [REPLY_TLS_REQUIRED] = {"NO (ENCRYPT-NEEDED)", "BYE (ENCRYPT-NEEDED)"},
    [REPLY_LIMIT] = {"NO (TRYLATER)", "BYE (TRYLATER)"},
    [REPLY_BANNED] = {"NO (TRYLATER)", "BYE (TRYLATER)"},
    [REPLY_LOCKED] = {"NO", "BYE"},
    [REPLY_BACKEND_DOWN] = {"NO (TRYLATER)", "BYE (TRYLATER)"},
    [REPLY_BACKEND_FULL] = {"NO (TRYLATER)", "BYE (TRYLATER)"},
    [REPLY_HELD] = {"NO (TRYLATER)", "BYE (TRYLATER)"},
    [REPLY_HOLD_TIMEOUT] = {"NO (TRYLATER)", "BYE (TRYLATER)"},
    [REPLY_SHUTDOWN] = {"BYE (TRYLATER)", "BYE (TRYLATER)"},
    [REPLY_KICKED] = {"BYE (TRYLATER)", "BYE (TRYLATER)"},
    [REPLY_TIMEOUT] = {"BYE (TRYLATER)", "BYE (TRYLATER)"},
    [REPLY_TOO_MANY_BAD] = {"BYE", "BYE"},
    [REPLY_TOO_LONG] = {"BYE", "BYE"},
    [REPLY_PROTOCOL_MISUSE] = {"BYE", "BYE"},
    [REPLY_BARE_NEWLINE] = {"BYE", "BYE"},
    [REPLY_NO_CERTIFICATE] = {"BYE", "BYE"},
    [REPLY_BAD_CERTIFICATE] = {"BYE", "BYE"},
    [REPLY_INTERNAL] = {"NO (TRYLATER)", "BYE (TRYLATER)"},
};

static int sieve_line(struct buf *out, const char *status, struct str text)
{
    if (buf_append_c(out, status) < 0 || buf_append_char(out, ' ') < 0 ||
        sieve_append_string(out, text, false) < 0)
        return -ERR_NOMEM;
    return buf_append_c(out, "\r\n");
}

static int sieve_say(struct buf *out, const char *status, enum reply_kind kind, const char *text)
{
    AUTO_BUF words = BUF_INIT;
    if (reply_append_text(&words, kind, text && text[0] ? text : NULL) < 0)
        return -ERR_NOMEM;
    return sieve_line(out, status, buf_str(&words));
}

static const struct sieve_words *sieve_words_of(enum reply_kind kind)
{
    return &sieve_words[(unsigned)kind < REPLY_KIND_COUNT ? kind : REPLY_INTERNAL];
}

int sieve_front_reply(struct front *f, enum reply_kind kind, const char *code, const char *text,
                      struct buf *reply)
{
    struct sieve_front *s = (struct sieve_front *)f;
    const struct sieve_words *words = sieve_words_of(kind);
    const char *status = s->is_pending ? words->answer : words->farewell;
    (void)code; /* SMTP's */
    s->is_pending = s->head.is_exchange = false;
    buf_wipe(&f->auth_data);
    return sieve_say(reply, status, kind, text);
}

int sieve_farewell(enum reply_kind kind, const char *text, struct buf *out)
{
    return sieve_say(out, sieve_words_of(kind)->farewell, kind, text);
}

/* The backend's capabilities are for the client to ask: after an AUTHENTICATE without security
 * layer they MUST be omitted (RFC 5804 section 4, response-authenticate), because clients would
 * take them for the answer to their next command. */
int sieve_front_success(struct front *f, const struct back_success *success, struct buf *reply)
{
    struct sieve_front *s = (struct sieve_front *)f;
    AUTO_BUF words = BUF_INIT;
    struct str text = success->text.len > 0 ? buf_str(&success->text) : STR("Logged in.");
    s->is_pending = s->head.is_exchange = false;
    if (reply_append_clean(&words, text, REPLY_TEXT_MAX) < 0)
        return -ERR_NOMEM;
    return sieve_line(reply, "OK", buf_str(&words));
}

int sieve_front_auth_continue(struct front *f, struct str challenge, struct buf *reply)
{
    AUTO_SECRET_BUF coded = BUF_INIT;
    if (str_base64_encode(challenge, &coded) < 0 ||
        sieve_append_string(reply, buf_str(&coded), false) < 0 || buf_append_c(reply, "\r\n") < 0)
        return -ERR_NOMEM;
    f->is_exchange = true;
    return 0;
}

/* ---- capabilities ---- */

static const char *const sieve_builtin[] = {
    "\"SIEVE\" \"fileinto envelope vacation subaddress relational imap4flags copy variables body "
    "date\"",
    NULL};

/* One entry of the list: a whole line ("NAME" "value", as learned; or NAME value) or the name of a
 * Sieve extension. */
struct sieve_entry {
    struct buf name, value;
    bool has_value, is_extension;
};

static void sieve_entry_fini(struct sieve_entry *e)
{
    buf_fini(&e->name);
    buf_fini(&e->value);
}

static int sieve_parse_entry(struct str line, struct sieve_entry *e)
{
    static const char *const names[] = {
        "IMPLEMENTATION", "SIEVE", "NOTIFY",   "MAXREDIRECTS", "LANGUAGE", "RENAME", "NOOP",
        "UNAUTHENTICATE", "OWNER", "STARTTLS", "VERSION",      "SASL",     "XCLIENT"};
    *e = (struct sieve_entry){0};
    if (line.n > 0 && line.p[0] == '"') {
        int r = sieve_cut_string(&line, &e->name);
        e->has_value = r == 0 && sieve_cut_blank(&line);
        return e->has_value ? sieve_cut_string(&line, &e->value) : r;
    }
    struct str rest = line, name = str_word(&rest);
    rest = str_trim(rest);
    e->is_extension = !str_is_among(name, names, ARRAY_LEN(names));
    e->has_value = rest.n > 0;
    if (buf_append_str(&e->name, e->is_extension ? str_trim(line) : name) < 0 ||
        buf_append_str(&e->value, rest) < 0)
        return -ERR_NOMEM;
    return 0;
}

static int sieve_add_capability(struct buf *out, struct str name, bool has_value, struct str value)
{
    AUTO_BUF clean = BUF_INIT;
    if (reply_append_clean(&clean, value, SIEVE_CAPABILITY_MAX) < 0 ||
        sieve_append_string(out, name, false) < 0)
        return -ERR_NOMEM;
    if (has_value &&
        (buf_append_char(out, ' ') < 0 || sieve_append_string(out, buf_str(&clean), false) < 0))
        return -ERR_NOMEM;
    return buf_append_c(out, "\r\n");
}

/* The list, in its order. Sets what it found besides lines that are passed on. */
static int sieve_add_list(const char *const *list, struct buf *out, struct buf *extensions,
                          bool *has_sieve, bool *has_implementation)
{
    /* What we say ourselves, or what means nothing before login. */
    static const char *const own[] = {"SASL", "STARTTLS", "VERSION", "XCLIENT", "OWNER", ""};
    int r = 0;
    for (; *list && r == 0; list++) {
        CLEANUP(sieve_entry_fini) struct sieve_entry e;
        r = sieve_parse_entry(str_of(*list), &e);
        struct str name = buf_str(&e.name);
        if (r == -ERR_SYNTAX || (r == 0 && str_is_among(name, own, ARRAY_LEN(own)))) {
            r = 0;
            continue;
        }
        if (r == 0 && e.is_extension) {
            r = buf_append(extensions, " ", extensions->len > 0);
            r = r < 0 ? r : buf_append_str(extensions, name);
        } else if (r == 0) {
            *has_sieve = *has_sieve || str_ieq(name, STR("SIEVE"));
            *has_implementation = *has_implementation || str_ieq(name, STR("IMPLEMENTATION"));
            r = sieve_add_capability(out, name, e.has_value, buf_str(&e.value));
        }
    }
    return r;
}

static int sieve_add_capabilities(const struct front_env *env, struct buf *out)
{
    AUTO_BUF lines = BUF_INIT, extensions = BUF_INIT, mechanisms = BUF_INIT;
    bool has_sieve = false, has_implementation = false;
    int r = sasl_append_list(&mechanisms, front_announced(env), " ");
    if (r == 0 && env->capabilities)
        r = sieve_add_list(env->capabilities, &lines, &extensions, &has_sieve, &has_implementation);
    if (r == 0 && !has_sieve && extensions.len > 0)
        r = sieve_add_capability(&lines, STR("SIEVE"), true, buf_str(&extensions));
    else if (r == 0 && !has_sieve)
        r = sieve_add_list(sieve_builtin, &lines, &extensions, &has_sieve, &has_implementation);
    if (r == 0 && !has_implementation)
        r = sieve_add_capability(out, STR("IMPLEMENTATION"), true, STR("mailproxy"));
    r = r < 0 ? r : buf_append_str(out, buf_str(&lines));
    r = r < 0 ? r : sieve_add_capability(out, STR("SASL"), true, str_trim(buf_str(&mechanisms)));
    if (r == 0 && front_is_starttls_offered(env))
        r = sieve_add_capability(out, STR("STARTTLS"), false, STR_NULL);
    return r < 0 ? r : sieve_add_capability(out, STR("VERSION"), true, STR("1.0"));
}

int sieve_front_greet(struct front *f, struct buf *reply)
{
    AUTO_BUF text = BUF_INIT;
    int r = sieve_add_capabilities(f->env, reply);
    if (r == 0 && f->env->greeting)
        r = reply_append_clean(&text, str_of(f->env->greeting), REPLY_TEXT_MAX);
    else if (r == 0)
        r = buf_printf(&text, "%s ManageSieve ready.", f->env->server_name);
    return r < 0 ? r : sieve_line(reply, "OK", buf_str(&text));
}

/* ---- commands ---- */

typedef enum proto_intent sieve_command_fn(struct sieve_front *s, struct str args,
                                           struct buf *reply);

/* Out of memory ends the session: there is nothing sensible left to say. */
static enum proto_intent sieve_answer(struct buf *reply, const char *status, const char *text,
                                      enum proto_intent intent)
{
    return sieve_line(reply, status, str_of(text)) < 0 ? PROTO_FATAL : intent;
}

static bool sieve_is_end(struct str args)
{
    return str_trim(args).n == 0;
}

static enum proto_intent sieve_bad_arguments(struct buf *reply)
{
    return sieve_answer(reply, "NO", "Invalid arguments.", PROTO_BAD);
}

static enum proto_intent sieve_capability(struct sieve_front *s, struct str args, struct buf *reply)
{
    if (!sieve_is_end(args))
        return sieve_bad_arguments(reply);
    if (sieve_add_capabilities(s->head.env, reply) < 0)
        return PROTO_FATAL;
    return sieve_answer(reply, "OK", "Capability completed.", PROTO_REPLIED);
}

static enum proto_intent sieve_starttls(struct sieve_front *s, struct str args, struct buf *reply)
{
    if (!sieve_is_end(args))
        return sieve_bad_arguments(reply);
    if (s->head.env->tls == FRONT_TLS_ACTIVE)
        return sieve_answer(reply, "NO", "TLS is active already.", PROTO_REPLIED);
    if (s->head.env->tls == FRONT_TLS_NONE)
        return sieve_answer(reply, "NO", "STARTTLS is not available.", PROTO_REPLIED);
    return sieve_answer(reply, "OK", "Begin TLS negotiation now.", PROTO_STARTTLS);
}

static enum proto_intent sieve_authenticate(struct sieve_front *s, struct str args,
                                            struct buf *reply)
{
    const struct front_env *env = s->head.env;
    AUTO_BUF name = BUF_INIT;
    AUTO_SECRET_BUF initial = BUF_INIT;
    if (!sieve_cut_blank(&args) || sieve_cut_string(&args, &name) < 0)
        return sieve_bad_arguments(reply);
    bool has_initial = sieve_cut_blank(&args);
    if (has_initial && sieve_cut_string(&args, &initial) < 0)
        return sieve_bad_arguments(reply);
    if (!sieve_is_end(args))
        return sieve_bad_arguments(reply);
    enum sasl_mech mech = sasl_find(buf_str(&name));
    bool is_offered = mech < SASL_APOP && (env->mechanisms & SASL_BIT(mech));
    if (mech < SASL_APOP && !is_offered &&
        front_why_disabled(env, sasl_is_clear_text(mech)) == REPLY_TLS_REQUIRED)
        return sieve_answer(reply, "NO (ENCRYPT-NEEDED)", reply_text(REPLY_TLS_REQUIRED),
                            front_refuse(&s->head, REPLY_TLS_REQUIRED, mech));
    if (!is_offered)
        return sieve_answer(reply, "NO", reply_text(REPLY_MECH_DISABLED),
                            front_refuse(&s->head, REPLY_MECH_DISABLED, mech));
    credentials_wipe(&s->head.cred);
    s->is_pending = true;
    return front_begin_auth(&s->head, mech, has_initial, buf_str(&initial));
}

static enum proto_intent sieve_noop(struct sieve_front *s, struct str args, struct buf *reply)
{
    AUTO_BUF tag = BUF_INIT;
    (void)s;
    if (sieve_is_end(args))
        return sieve_answer(reply, "OK", "NOOP completed.", PROTO_REPLIED);
    if (!sieve_cut_blank(&args) || sieve_cut_string(&args, &tag) < 0 || !sieve_is_end(args))
        return sieve_bad_arguments(reply);
    if (buf_append_c(reply, "OK (TAG ") < 0 || sieve_append_string(reply, buf_str(&tag), false) < 0)
        return PROTO_FATAL;
    return sieve_answer(reply, ")", "NOOP completed.", PROTO_REPLIED);
}

static enum proto_intent sieve_logout(struct sieve_front *s, struct str args, struct buf *reply)
{
    (void)s;
    if (!sieve_is_end(args))
        return sieve_bad_arguments(reply);
    return sieve_answer(reply, "OK", "Logout completed.", PROTO_QUIT);
}

static enum proto_intent sieve_not_yet(struct sieve_front *s, struct str args, struct buf *reply)
{
    (void)s;
    (void)args;
    return sieve_answer(reply, "NO", "Authenticate first.", PROTO_REPLIED);
}

static const struct sieve_command {
    const char *verb;
    sieve_command_fn *run;
} sieve_commands[] = {
    {"AUTHENTICATE", sieve_authenticate},
    {"STARTTLS", sieve_starttls},
    {"CAPABILITY", sieve_capability},
    {"NOOP", sieve_noop},
    {"LOGOUT", sieve_logout},
    {"HAVESPACE", sieve_not_yet},
    {"PUTSCRIPT", sieve_not_yet},
    {"LISTSCRIPTS", sieve_not_yet},
    {"SETACTIVE", sieve_not_yet},
    {"GETSCRIPT", sieve_not_yet},
    {"DELETESCRIPT", sieve_not_yet},
    {"RENAMESCRIPT", sieve_not_yet},
    {"CHECKSCRIPT", sieve_not_yet},
    {"UNAUTHENTICATE", sieve_not_yet},
};

static enum proto_intent sieve_run(struct sieve_front *s, struct str command, struct buf *reply)
{
    struct str args = command, verb = sieve_cut_atom(&args);
    for (size_t i = 0; i < ARRAY_LEN(sieve_commands); i++)
        if (str_ieq(verb, str_of(sieve_commands[i].verb)))
            return sieve_commands[i].run(s, args, reply);
    if (front_is_http(command))
        return sieve_answer(reply, "BYE", reply_text(REPLY_PROTOCOL_MISUSE), PROTO_FATAL);
    return sieve_answer(reply, "NO", "Unknown command.", PROTO_BAD);
}

enum proto_intent sieve_front_feed(struct front *f, struct str in, size_t *ret_consumed,
                                   struct buf *reply)
{
    struct sieve_front *s = (struct sieve_front *)f;
    AUTO_SECRET_BUF response = BUF_INIT;
    bool is_invited = false, is_sync = false;
    size_t used = 0;
    *ret_consumed = 0;
    int r = line_cut_command(in, f->env->max_line_bytes, f->env->max_literal_bytes, &s->invited,
                             &used, &is_invited, &is_sync);
    if (is_invited)
        /* ManageSieve has no go-ahead: nobody can know whether the octets will come */
        return sieve_answer(reply, "BYE", "A literal must be announced with {n+}.", PROTO_FATAL);
    if (r == -ERR_AGAIN)
        return PROTO_NEED_MORE;
    if (r < 0) {
        bool is_http = front_is_http(str_head(in, f->env->max_line_bytes));
        return sieve_answer(reply, "BYE",
                            reply_text(is_http ? REPLY_PROTOCOL_MISUSE : REPLY_TOO_LONG),
                            PROTO_FATAL);
    }
    *ret_consumed = used;
    struct str command = sieve_chomp(str_n(in.p, used));
    if (!f->is_exchange)
        return sieve_run(s, command, reply);
    f->is_exchange = false; /* a response is one string */
    if (sieve_cut_string(&command, &response) < 0 || !sieve_is_end(command))
        return PROTO_AUTH_BAD;
    return front_take_response(f, buf_str(&response));
}

/* ---- object ---- */

int sieve_front_tls_started(struct front *f, struct buf *reply)
{
    struct sieve_front *s = (struct sieve_front *)f;
    front_end_login(f);
    s->is_pending = false;
    s->invited = 0;
    int r = sieve_add_capabilities(f->env, reply);
    return r < 0 ? r : sieve_line(reply, "OK", STR("TLS negotiation successful."));
}

struct front *sieve_front_new(const struct front_env *env)
{
    return front_new(sizeof(struct sieve_front), env);
}
