/* SPDX-License-Identifier: ISC */
/* ManageSieve towards mail servers: capabilities, STARTTLS, XCLIENT and AUTHENTICATE. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "proto/back_sasl.h"
#include "proto/line.h"
#include "proto/sieve/sieve.h"

#define SIEVE_LINE_MAX 16384
#define SIEVE_LITERAL_MAX 65536
#define SIEVE_LEARNED_MAX 8192

enum sieve_step {
    SIEVE_STEP_GREETING,
    SIEVE_STEP_STARTTLS,
    SIEVE_STEP_TLS_GREETING,
    SIEVE_STEP_XCLIENT,
    SIEVE_STEP_AUTH,
    SIEVE_STEP_LOGOUT,
    SIEVE_STEP_COUNT
};

enum sieve_status { SIEVE_OK, SIEVE_NO, SIEVE_BYE };

/* A final response: OK, NO or BYE. */
struct sieve_final {
    enum sieve_status status;
    struct str code; /* first word of the response code, borrowed */
    struct buf text;
};

struct sieve_back {
    struct back head;
    enum sieve_step step;
    unsigned mechanisms; /* offered by the server */
    enum sasl_mech mech; /* in use */
    unsigned message;    /* SASL messages sent */
    bool is_tls_active, has_starttls, has_xclient;
    struct buf xclient; /* attributes that the server takes */
};

static const char *const sieve_step_names[SIEVE_STEP_COUNT] = {
    [SIEVE_STEP_GREETING] = "greeting",
    [SIEVE_STEP_STARTTLS] = "starttls",
    [SIEVE_STEP_TLS_GREETING] = "capability",
    [SIEVE_STEP_XCLIENT] = "xclient",
    [SIEVE_STEP_AUTH] = "auth",
    [SIEVE_STEP_LOGOUT] = "logout",
};

static enum back_result sieve_fail(struct sieve_back *b, enum back_failure f, const char *why)
{
    return back_fail_own(&b->head, f, str_of(why));
}

static enum back_result sieve_nomem(struct sieve_back *b)
{
    return sieve_fail(b, BACK_FAIL_SHORTAGE, "out of memory");
}

static void sieve_enter(struct sieve_back *b, enum sieve_step step)
{
    b->step = step;
    b->head.step = sieve_step_names[step];
}

static enum back_result sieve_command(struct sieve_back *b, enum sieve_step step,
                                      const char *command, struct buf *out)
{
    sieve_enter(b, step);
    return buf_append_c(out, command) < 0 ? sieve_nomem(b) : BACK_NEED_MORE;
}

/* ---- reading ---- */

/* "(CODE ...)" with strings and inner lists; *in starts behind "(". */
static bool sieve_cut_code(struct str *in, struct str *ret_word)
{
    AUTO_BUF ignored = BUF_INIT;
    *ret_word = sieve_cut_atom(in);
    for (unsigned depth = 1; in->n > 0;) {
        char c = in->p[0];
        if (c == '"' || c == '{') {
            if (sieve_cut_string(in, &ignored) < 0)
                return false;
            continue;
        }
        *in = str_n(in->p + 1, in->n - 1);
        depth += c == '(';
        depth -= c == ')';
        if (depth == 0)
            return true;
    }
    return false;
}

static int sieve_parse_final(struct str line, struct sieve_final *ret)
{
    struct str word = sieve_cut_atom(&line);
    static const char *const names[] = {[SIEVE_OK] = "OK", [SIEVE_NO] = "NO", [SIEVE_BYE] = "BYE"};
    size_t i = 0;
    while (i < ARRAY_LEN(names) && !str_ieq(word, str_of(names[i])))
        i++;
    if (i == ARRAY_LEN(names))
        return -ERR_SYNTAX;
    ret->status = (enum sieve_status)i;
    ret->code = STR_NULL;
    (void)sieve_cut_blank(&line);
    if (line.n > 0 && line.p[0] == '(') {
        line = str_n(line.p + 1, line.n - 1);
        if (!sieve_cut_code(&line, &ret->code))
            return -ERR_SYNTAX;
        (void)sieve_cut_blank(&line);
    }
    if (line.n == 0)
        return 0;
    return sieve_cut_string(&line, &ret->text);
}

/* ---- capabilities ---- */

static int sieve_note_capability(struct sieve_back *b, struct str name, struct str value)
{
    if (str_ieq(name, STR("SASL")))
        b->mechanisms = back_sasl_mask(value);
    else if (str_ieq(name, STR("STARTTLS")))
        b->has_starttls = true;
    else if (str_ieq(name, STR("XCLIENT"))) {
        b->has_xclient = true;
        buf_clear(&b->xclient);
        return buf_append_str(&b->xclient, value);
    }
    return 0;
}

static int sieve_learn(struct sieve_back *b, struct str line)
{
    AUTO_BUF name = BUF_INIT, value = BUF_INIT, clean = BUF_INIT;
    struct buf *learned = &b->head.learned;
    int r = sieve_cut_string(&line, &name);
    bool has_value = r == 0 && sieve_cut_blank(&line);
    if (has_value)
        r = sieve_cut_string(&line, &value);
    r = r < 0 ? r : sieve_note_capability(b, buf_str(&name), buf_str(&value));
    bool is_kept = learned->len + name.len + value.len < SIEVE_LEARNED_MAX;
    if (r < 0 || str_has_crlf_nul(buf_str(&name)) || !is_kept)
        return r;
    r = sieve_append_string(learned, buf_str(&name), false);
    if (r == 0 && has_value) {
        r = reply_append_clean(&clean, buf_str(&value), SIEVE_QUOTED_MAX);
        r = r < 0 ? r : buf_append_char(learned, ' ');
        r = r < 0 ? r : sieve_append_string(learned, buf_str(&clean), false);
    }
    return r < 0 ? r : buf_append_char(learned, '\n');
}

/* ---- what comes next ---- */

static enum back_result sieve_finish(struct sieve_back *b, struct buf *out)
{
    if (!b->head.env->is_check)
        return BACK_DONE;
    return sieve_command(b, SIEVE_STEP_LOGOUT, "LOGOUT\r\n", out);
}

/* Appends the next SASL message as a string. */
static int sieve_append_message(struct sieve_back *b, struct buf *out)
{
    AUTO_SECRET_BUF raw = BUF_INIT, coded = BUF_INIT;
    int r = back_sasl_message(b->head.env, b->mech, b->message, &raw);
    if (r < 0)
        return r;
    b->message++;
    r = str_base64_encode(buf_str(&raw), &coded);
    return r < 0 ? r : sieve_append_string(out, buf_str(&coded), true);
}

static enum back_result sieve_login(struct sieve_back *b, struct buf *out)
{
    const struct back_env *env = b->head.env;
    if (!env->cred)
        return sieve_finish(b, out);
    sieve_enter(b, SIEVE_STEP_AUTH);
    b->mech = back_sasl_pick(env, b->mechanisms);
    if (b->mech == SASL_NONE)
        return sieve_fail(b, BACK_FAIL_NO_MECHANISM,
                          back_sasl_has_secret(env) ? "the server offers no suitable mechanism"
                                                    : "there is no password to log in with");
    b->head.were_credentials_sent = true;
    int r = buf_printf(out, "AUTHENTICATE \"%s\"", sasl_name(b->mech));
    if (r == 0 && b->mech != SASL_LOGIN) { /* it prompts for both of its messages */
        r = buf_append_char(out, ' ');
        r = r < 0 ? r : sieve_append_message(b, out);
    }
    r = r < 0 ? r : buf_append_c(out, "\r\n");
    return r < 0 ? sieve_nomem(b) : BACK_NEED_MORE;
}

static int sieve_add_attribute(struct sieve_back *b, const char *name, struct str value,
                               struct buf *out)
{
    /* Pigeonhole names none beside XCLIENT; these are what it takes. */
    struct str taken = b->xclient.len > 0 ? buf_str(&b->xclient) : STR("ADDR PORT SESSION TTL");
    if (value.n == 0 || !back_has_word(taken, name))
        return 0;
    if (buf_printf(out, " %s=", name) < 0)
        return -ERR_NOMEM;
    return back_append_xtext(out, value);
}

static int sieve_add_address(struct sieve_back *b, const char *name, const char *port_name,
                             const struct addr *a, struct buf *out)
{
    char ip[ADDR_TEXT_MAX], port[8];
    if (a->family != AF_INET && a->family != AF_INET6)
        return 0;
    addr_format_ip(ip, a);
    snprintf(port, sizeof(port), "%u", a->port);
    int r = sieve_add_attribute(b, name, str_of(ip), out);
    return r < 0 || a->port == 0 ? r : sieve_add_attribute(b, port_name, str_of(port), out);
}

/* After Dovecot: bare addresses, unknown values left out. */
static enum back_result sieve_introduce(struct sieve_back *b, struct buf *out)
{
    const struct back_env *env = b->head.env;
    AUTO_BUF line = BUF_INIT;
    char ttl[16];
    if (env->is_warming)
        return BACK_READY;
    if (!env->cred || !(env->xclient_forced || (env->forward_id && b->has_xclient)))
        return sieve_login(b, out);
    snprintf(ttl, sizeof(ttl), "%u", env->ttl);
    int r = buf_append_c(&line, "XCLIENT");
    size_t bare = line.len;
    r = r < 0 ? r : sieve_add_address(b, "ADDR", "PORT", &env->client, &line);
    r = r < 0 ? r : sieve_add_attribute(b, "SESSION", str_of(env->session_id), &line);
    r = r < 0 ? r : sieve_add_attribute(b, "TTL", str_of(ttl), &line);
    r = r < 0 ? r : sieve_add_address(b, "DESTADDR", "DESTPORT", &env->local, &line);
    if (r == 0 && line.len == bare)
        return sieve_login(b, out);
    if (r < 0 || buf_append_c(&line, "\r\n") < 0 || buf_append_str(out, buf_str(&line)) < 0)
        return sieve_nomem(b);
    sieve_enter(b, SIEVE_STEP_XCLIENT);
    return BACK_NEED_MORE;
}

/* ---- responses ---- */

static const struct sieve_judgement {
    const char *code;
    enum back_failure failure;
} sieve_judgements[] = {
    {"TRYLATER", BACK_FAIL_AUTH_TEMP},
    {"REFERRAL", BACK_FAIL_AUTH_TEMP}, /* the scripts are elsewhere, nobody is refused */
    {"AUTH-TOO-WEAK", BACK_FAIL_NO_MECHANISM},
    {"ENCRYPT-NEEDED", BACK_FAIL_NO_TLS},
    {"QUOTA", BACK_FAIL_LIMIT},
};

static enum back_failure sieve_judge(const struct sieve_back *b, const struct sieve_final *f)
{
    if (f->status == SIEVE_BYE)
        return BACK_FAIL_BYE;
    switch (b->step) {
    case SIEVE_STEP_GREETING:
    case SIEVE_STEP_TLS_GREETING:
        return BACK_FAIL_BYE;
    case SIEVE_STEP_STARTTLS:
        return BACK_FAIL_NO_TLS;
    case SIEVE_STEP_AUTH:
        /* a code may have details: QUOTA/x */
        for (size_t i = 0; i < ARRAY_LEN(sieve_judgements); i++)
            if (str_is_iprefix(f->code, str_of(sieve_judgements[i].code)))
                return sieve_judgements[i].failure;
        return BACK_FAIL_AUTH;
    default:
        return BACK_FAIL_PROTOCOL;
    }
}

static enum back_result sieve_accepted(struct sieve_back *b, const struct sieve_final *f,
                                       struct buf *out)
{
    switch (b->step) {
    case SIEVE_STEP_GREETING:
    case SIEVE_STEP_TLS_GREETING:
        if (b->head.env->tls != BACK_TLS_STARTTLS || b->is_tls_active)
            return sieve_introduce(b, out);
        sieve_enter(b, SIEVE_STEP_STARTTLS);
        if (!b->has_starttls)
            return sieve_fail(b, BACK_FAIL_NO_TLS, "the server does not offer STARTTLS");
        return sieve_command(b, SIEVE_STEP_STARTTLS, "STARTTLS\r\n", out);
    case SIEVE_STEP_STARTTLS:
        b->head.step = "tls";
        return BACK_STARTTLS;
    case SIEVE_STEP_XCLIENT:
        return sieve_login(b, out);
    case SIEVE_STEP_AUTH:
        buf_clear(&b->head.success.text);
        if (reply_append_clean(&b->head.success.text, buf_str(&f->text), REPLY_TEXT_MAX) < 0)
            return sieve_nomem(b);
        return sieve_finish(b, out);
    default:
        return BACK_DONE;
    }
}

/* A line that is a string: a capability or a challenge. */
static enum back_result sieve_take_string(struct sieve_back *b, struct str line, struct buf *out)
{
    AUTO_BUF challenge = BUF_INIT;
    int r;
    switch (b->step) {
    case SIEVE_STEP_GREETING:
    case SIEVE_STEP_TLS_GREETING:
        r = sieve_learn(b, line);
        break;
    case SIEVE_STEP_AUTH:
        r = sieve_cut_string(&line, &challenge);
        r = r < 0 ? r : sieve_append_message(b, out);
        r = r < 0 ? r : buf_append_c(out, "\r\n");
        if (r == -ERR_RANGE)
            return sieve_fail(b, BACK_FAIL_PROTOCOL,
                              "the server wants more than the mechanism has");
        break;
    default:
        r = -ERR_SYNTAX;
    }
    if (r == -ERR_SYNTAX)
        return back_fail(&b->head, BACK_FAIL_PROTOCOL, line);
    return r < 0 ? sieve_nomem(b) : BACK_NEED_MORE;
}

static enum back_result sieve_take(struct sieve_back *b, struct str line, struct buf *out)
{
    struct sieve_final f = {0};
    enum back_result result;
    if (line.n > 0 && (line.p[0] == '"' || line.p[0] == '{'))
        return sieve_take_string(b, line, out);
    int r = sieve_parse_final(line, &f);
    if (r == -ERR_NOMEM)
        result = sieve_nomem(b);
    else if (r < 0)
        result = back_fail(&b->head, BACK_FAIL_PROTOCOL, line);
    else if (b->step == SIEVE_STEP_LOGOUT)
        result = BACK_DONE; /* OK or BYE: it leaves either way */
    else if (f.status == SIEVE_OK)
        result = sieve_accepted(b, &f, out);
    else
        result = back_fail(&b->head, sieve_judge(b, &f), buf_str(&f.text));
    buf_fini(&f.text);
    return result;
}

enum back_result sieve_back_feed(struct back *head, struct str in, size_t *ret_consumed,
                                 struct buf *out)
{
    struct sieve_back *b = (struct sieve_back *)head;
    enum back_result result = BACK_NEED_MORE;
    *ret_consumed = 0;
    enum back_failure f = back_sasl_check(head->env);
    if (f != BACK_FAIL_NONE)
        return sieve_fail(b, f, "refused before anything was sent");
    while (result == BACK_NEED_MORE) {
        struct str rest = str_skip(in, *ret_consumed);
        unsigned invited = UINT32_MAX; /* a server's literals need no go-ahead */
        bool is_invited, is_sync;
        size_t used;
        int r = line_cut_command(rest, SIEVE_LINE_MAX, SIEVE_LITERAL_MAX, &invited, &used,
                                 &is_invited, &is_sync);
        if (r == -ERR_AGAIN)
            return BACK_NEED_MORE;
        if (r < 0)
            return back_fail(head, BACK_FAIL_PROTOCOL, str_cut(&rest, '\n'));
        *ret_consumed += used;
        result = sieve_take(b, sieve_chomp(str_n(rest.p, used)), out);
    }
    /* What follows the go-ahead in clear may be of somebody between, and is dropped (the server's
     * side of CVE-2011-0411). */
    if (result == BACK_STARTTLS)
        *ret_consumed = in.n;
    return result;
}

/* The server announces its capabilities again by itself, RFC 5804 section 2.2. */
enum back_result sieve_back_tls_started(struct back *head, struct buf *out)
{
    struct sieve_back *b = (struct sieve_back *)head;
    (void)out;
    b->is_tls_active = true;
    b->mechanisms = 0;
    b->has_starttls = b->has_xclient = false;
    buf_clear(&b->xclient);
    buf_clear(&b->head.learned);
    sieve_enter(b, SIEVE_STEP_TLS_GREETING);
    return BACK_NEED_MORE;
}

enum back_result sieve_back_resume(struct back *head, struct buf *out)
{
    struct sieve_back *b = (struct sieve_back *)head;
    enum back_failure f = back_sasl_check(head->env);
    return f == BACK_FAIL_NONE ? sieve_introduce(b, out)
                               : sieve_fail(b, f, "refused before anything was sent");
}

/* ---- object ---- */

struct back *sieve_back_new(const struct back_env *env)
{
    struct sieve_back *b = calloc(1, sizeof(*b));
    if (!b)
        return NULL;
    back_init(&b->head, env);
    b->is_tls_active = env->is_tls_active;
    b->mech = SASL_NONE;
    sieve_enter(b, SIEVE_STEP_GREETING);
    return &b->head;
}

void sieve_back_free(struct back *head)
{
    struct sieve_back *b = (struct sieve_back *)head;
    if (!b)
        return;
    buf_fini(&b->xclient);
    back_fini(head);
    free(b);
}
