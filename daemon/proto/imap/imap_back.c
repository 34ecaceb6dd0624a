/* SPDX-License-Identifier: ISC */
/* IMAP towards a mail server: greeting, STARTTLS, capabilities, identity, login; the same dialogue
 * checks its health. */
#include "base/zalloc.h"
#include "proto/back_sasl.h"
#include "proto/imap/imap.h"
#include "proto/line.h"

enum imap_step {
    IMAP_STARTTLS,
    IMAP_CAPABILITY,
    IMAP_ID,
    IMAP_LOGIN,
    IMAP_LOGOUT,
    IMAP_STEP_COUNT
};

/* The step's name in logs; its tag is 'P' and its number. */
static const char *const imap_step_names[IMAP_STEP_COUNT] = {"starttls", "capability", "id", "auth",
                                                             "logout"};

/* What the next continuation request of the server asks for. */
enum imap_wait {
    IMAP_WAIT_NONE,
    IMAP_WAIT_USER,
    IMAP_WAIT_SECRET,
    IMAP_WAIT_SASL,
    IMAP_WAIT_ERROR
};

/* What the proxy looks for among the capabilities (RFC 9051, 7888, 4959, 2971). */
enum imap_feature {
    IMAP_HAS_STARTTLS = 1 << 0,
    IMAP_HAS_LOGINDISABLED = 1 << 1,
    IMAP_HAS_LITERAL_PLUS = 1 << 2,
    IMAP_HAS_LITERAL_MINUS = 1 << 3,
    IMAP_HAS_SASL_IR = 1 << 4,
    IMAP_HAS_ID = 1 << 5,
};
static const struct {
    struct str name;
    enum imap_feature feature;
} imap_features[] = {
    {STR("STARTTLS"), IMAP_HAS_STARTTLS},     {STR("LOGINDISABLED"), IMAP_HAS_LOGINDISABLED},
    {STR("LITERAL+"), IMAP_HAS_LITERAL_PLUS}, {STR("LITERAL-"), IMAP_HAS_LITERAL_MINUS},
    {STR("SASL-IR"), IMAP_HAS_SASL_IR},       {STR("ID"), IMAP_HAS_ID},
};

struct imap_back {
    struct back b;
    bool has_capabilities; /* of before the login; the list is b.learned */
    unsigned features;     /* of enum imap_feature, in that list */
    unsigned mechanisms;   /* SASL_BIT mask of its "AUTH=" */
    bool is_greeted;
    bool is_tls;
    bool is_logged_in;
    unsigned sent, open; /* bits of steps */
    enum imap_wait wait;
    enum sasl_mech mech; /* of AUTHENTICATE; SASL_NONE: LOGIN */
};

static enum back_result imap_back_next(struct imap_back *i, struct buf *out);

/* ---- object ---- */

struct back *imap_back_new(const struct back_env *env)
{
    struct imap_back *i = zalloc(sizeof(*i));
    if (!i)
        return NULL;
    back_init(&i->b, env);
    i->is_tls = env->is_tls_active || env->tls == BACK_TLS_IMPLICIT;
    i->mech = SASL_NONE;
    return &i->b;
}

void imap_back_free(struct back *b)
{
    struct imap_back *i = (struct imap_back *)b;
    if (!i)
        return;
    back_fini(&i->b);
    free(i);
}

static enum back_result imap_back_nomem(struct imap_back *i)
{
    return back_fail_own(&i->b, BACK_FAIL_SHORTAGE, STR("out of memory"));
}

/* ---- capabilities ---- */

static bool imap_back_has(const struct imap_back *i, enum imap_feature feature)
{
    return (i->features & feature) != 0;
}

/* Keeps a list in single blanks; it may be sent to clients, so it holds nothing but words. */
static int imap_back_learn(struct imap_back *i, struct str list)
{
    const struct str auth = STR("AUTH=");
    bool is_before_login = !(i->sent & 1u << IMAP_LOGIN);
    bool is_clean = str_is_printable_ascii(list) && str_index(list, ']') < 0;
    struct buf *dst = is_before_login ? &i->b.learned : &i->b.success.capabilities;
    buf_clear(dst);
    if (is_before_login) {
        i->has_capabilities = true;
        i->features = i->mechanisms = 0;
    }
    if (buf_reserve(dst, list.n) < 0)
        return -ERR_NOMEM;
    if (is_clean && !is_before_login && str_find(list, STR("  ")) < 0)
        return buf_append_str(dst, str_trim(list)); /* the proxy itself does not use it */
    for (struct str word = str_word(&list); word.n > 0; word = str_word(&list)) {
        if (!is_clean && (!str_is_printable_ascii(word) || str_index(word, ']') >= 0))
            continue;
        if ((dst->len > 0 && buf_append_char(dst, ' ') < 0) || buf_append_str(dst, word) < 0)
            return -ERR_NOMEM;
        if (!is_before_login)
            continue;
        for (size_t k = 0; k < ARRAY_LEN(imap_features); k++)
            if (str_ieq(word, imap_features[k].name))
                i->features |= imap_features[k].feature;
        if (str_is_iprefix(word, auth))
            i->mechanisms |= back_sasl_mask(str_skip(word, auth.n));
    }
    return 0;
}

/* "[CAPABILITY ...]" in front of a text. */
static int imap_back_learn_code(struct imap_back *i, struct str text)
{
    struct str code;
    if (!imap_cut_code(&text, &code) || !str_is_iprefix(code, STR("CAPABILITY ")))
        return 0;
    (void)str_cut(&code, ' ');
    return imap_back_learn(i, code);
}

/* ---- commands ---- */

static int imap_back_begin(struct imap_back *i, enum imap_step step, const char *words,
                           struct buf *out)
{
    i->b.step = imap_step_names[step];
    i->sent |= 1u << step;
    i->open |= 1u << step;
    const char tag[] = {'P', (char)('0' + step), ' ', '\0'};
    return BUF_APPEND(out, tag, words);
}

static enum back_result imap_back_simple(struct imap_back *i, enum imap_step step,
                                         const char *words, struct buf *out)
{
    return imap_back_begin(i, step, words, out) < 0 ? imap_back_nomem(i) : BACK_NEED_MORE;
}

/* ---- login ---- */

/* One argument of LOGIN; *ret_waits when the server has to ask for it first. */
static int imap_back_argument(const struct imap_back *i, struct str value, struct buf *out,
                              bool *ret_waits)
{
    *ret_waits = false;
    if (buf_append_char(out, ' ') < 0)
        return -ERR_NOMEM;
    if (imap_is_quotable(value))
        return imap_append_quoted(out, value);
    bool is_plus = imap_back_has(i, IMAP_HAS_LITERAL_PLUS) ||
                   (value.n <= 4096 && imap_back_has(i, IMAP_HAS_LITERAL_MINUS));
    *ret_waits = !is_plus;
    if (buf_printf(out, "{%zu%s}\r\n", value.n, is_plus ? "+" : "") < 0)
        return -ERR_NOMEM;
    return is_plus ? buf_append_str(out, value) : 0;
}

/* The rest of LOGIN from the user name or the secret on, up to the next go-ahead of the server. */
static int imap_back_login_rest(struct imap_back *i, bool is_user_sent, struct buf *out)
{
    const struct credentials *c = i->b.env->cred;
    bool waits;
    i->wait = IMAP_WAIT_NONE;
    if (!is_user_sent) {
        if (imap_back_argument(i, buf_str(&c->user), out, &waits) < 0)
            return -ERR_NOMEM;
        if (waits) {
            i->wait = IMAP_WAIT_USER;
            return 0;
        }
    }
    if (imap_back_argument(i, buf_str(&c->secret), out, &waits) < 0)
        return -ERR_NOMEM;
    if (waits) {
        i->wait = IMAP_WAIT_SECRET;
        return 0;
    }
    return buf_append_c(out, "\r\n");
}

static int imap_back_sasl(const struct imap_back *i, unsigned step, struct buf *out)
{
    AUTO_SECRET_BUF message = BUF_INIT;
    int r = back_sasl_message(i->b.env, i->mech, step, &message);
    if (r == -ERR_RANGE) /* the server wants more than there is: cancel */
        return buf_append_char(out, '*');
    return r < 0 ? r : str_base64_encode(buf_str(&message), out);
}

/* Is a mechanism needed: a token, or a second identity, which LOGIN cannot name? */
static bool imap_back_demands_sasl(const struct back_env *env)
{
    const struct credentials *c = env->cred;
    bool is_token = c->mech == SASL_XOAUTH2 || c->mech == SASL_OAUTHBEARER;
    bool has_authzid = c->authzid.len > 0 && !str_eq(buf_str(&c->authzid), buf_str(&c->user));
    return is_token || has_authzid || env->master_user;
}

/* How to log in: by one message where the server takes it so, else by LOGIN. False when the server
 * offers no way. */
static bool imap_back_choose(struct imap_back *i)
{
    const struct back_env *env = i->b.env;
    /* All that can be sent when nothing is known of the server. */
    unsigned offered = i->has_capabilities ? i->mechanisms & ~SASL_BIT(SASL_LOGIN)
                                           : SASL_BIT(SASL_PLAIN) | SASL_BIT(SASL_XOAUTH2) |
                                                 SASL_BIT(SASL_OAUTHBEARER);
    bool is_login_disabled = imap_back_has(i, IMAP_HAS_LOGINDISABLED);
    i->mech = SASL_NONE;
    if (imap_back_demands_sasl(env)) {
        i->mech = back_sasl_pick(env, offered);
        return i->mech != SASL_NONE;
    }
    if (is_login_disabled || imap_back_has(i, IMAP_HAS_SASL_IR))
        i->mech = back_sasl_pick(env, offered);
    return i->mech != SASL_NONE || !is_login_disabled;
}

static enum back_result imap_back_login(struct imap_back *i, struct buf *out)
{
    if (!imap_back_choose(i)) {
        AUTO_BUF why = BUF_INIT;
        i->b.step = imap_step_names[IMAP_LOGIN];
        if (buf_append_c(&why, "no way to log in: ") < 0 ||
            buf_append_str(&why, buf_str(&i->b.learned)) < 0)
            return imap_back_nomem(i);
        return back_fail_own(&i->b, BACK_FAIL_NO_MECHANISM, buf_str(&why));
    }
    i->b.were_credentials_sent = true;
    if (i->mech == SASL_NONE)
        return imap_back_begin(i, IMAP_LOGIN, "LOGIN", out) < 0 ||
                       imap_back_login_rest(i, false, out) < 0
                   ? imap_back_nomem(i)
                   : BACK_NEED_MORE;
    bool has_initial = i->has_capabilities && imap_back_has(i, IMAP_HAS_SASL_IR);
    if (imap_back_begin(i, IMAP_LOGIN, "AUTHENTICATE ", out) < 0 ||
        buf_append_c(out, sasl_name(i->mech)) < 0)
        return imap_back_nomem(i);
    i->wait = has_initial ? IMAP_WAIT_ERROR : IMAP_WAIT_SASL;
    if (has_initial && (buf_append_char(out, ' ') < 0 || imap_back_sasl(i, 0, out) < 0))
        return imap_back_nomem(i);
    return buf_append_c(out, "\r\n") < 0 ? imap_back_nomem(i) : BACK_NEED_MORE;
}

/* ---- order of the steps ---- */

static enum back_result imap_back_next(struct imap_back *i, struct buf *out)
{
    const struct back_env *env = i->b.env;
    if (env->tls == BACK_TLS_STARTTLS && !i->is_tls)
        return imap_back_simple(i, IMAP_STARTTLS, "STARTTLS\r\n", out);
    bool is_known = i->has_capabilities || i->is_logged_in || (i->sent & 1u << IMAP_CAPABILITY);
    bool needs_capabilities =
        env->want_capabilities || (env->cred && (env->forward_id || imap_back_demands_sasl(env)));
    if (needs_capabilities && !is_known)
        return imap_back_simple(i, IMAP_CAPABILITY, "CAPABILITY\r\n", out);
    if (env->is_warming)
        return BACK_READY;
    bool needs_login = env->cred && !i->is_logged_in;
    if (needs_login && env->forward_id && !(i->sent & 1u << IMAP_ID) &&
        imap_back_has(i, IMAP_HAS_ID)) {
        AUTO_BUF list = BUF_INIT;
        if (imap_id_own(env, &list) < 0 || imap_id_client(env->client_id, &list) < 0 ||
            imap_back_begin(i, IMAP_ID, "ID (", out) < 0 ||
            buf_append_str(out, buf_str(&list)) < 0 || buf_append_c(out, ")\r\n") < 0)
            return imap_back_nomem(i);
        if (!env->is_pipelining_allowed)
            return BACK_NEED_MORE;
    }
    if (needs_login)
        return imap_back_login(i, out);
    if (env->is_check || !env->cred)
        return imap_back_simple(i, IMAP_LOGOUT, "LOGOUT\r\n", out);
    return BACK_DONE;
}

/* ---- greeting ---- */

/* What must be true before a single byte is sent. */
static enum back_result imap_back_check_env(struct imap_back *i)
{
    const struct back_env *env = i->b.env;
    if (!env->cred)
        return BACK_NEED_MORE;
    enum back_failure failure = back_sasl_check(env);
    if (failure == BACK_FAIL_LOOP)
        return back_fail_own(&i->b, failure, STR("hop limit reached: proxies loop"));
    if (failure != BACK_FAIL_NONE || env->cred->user.len == 0)
        return back_fail_own(&i->b, BACK_FAIL_BAD_CREDENTIAL, STR("a credential must not be sent"));
    if (!back_sasl_has_secret(env))
        return back_fail_own(&i->b, BACK_FAIL_NO_MECHANISM, STR("no password for the mail server"));
    return BACK_NEED_MORE;
}

static enum back_result imap_back_greeting(struct imap_back *i, struct str response,
                                           struct buf *out)
{
    const struct back_env *env = i->b.env;
    struct str rest = response;
    struct str star = str_cut(&rest, ' '), status = str_cut(&rest, ' ');
    i->is_greeted = true;
    if (str_eq(star, STR("*")) && str_ieq(status, STR("BYE")))
        return back_fail(&i->b, BACK_FAIL_BYE, rest);
    bool is_preauth = str_ieq(status, STR("PREAUTH"));
    if (!str_eq(star, STR("*")) || (!is_preauth && !str_ieq(status, STR("OK"))))
        return back_fail(&i->b, BACK_FAIL_PROTOCOL, response);
    if (imap_back_learn_code(i, rest) < 0)
        return imap_back_nomem(i);
    enum back_result r = imap_back_check_env(i);
    if (r != BACK_NEED_MORE)
        return r;
    bool needs_starttls = env->tls == BACK_TLS_STARTTLS && !i->is_tls;
    /* A server that is logged in already serves somebody, but nobody can say whom: only good enough
     * for a look at its health. */
    if (is_preauth && needs_starttls)
        return back_fail_own(&i->b, BACK_FAIL_NO_TLS, STR("PREAUTH leaves no way to start TLS"));
    if (is_preauth && (env->cred || env->is_warming))
        return back_fail_own(&i->b, BACK_FAIL_PROTOCOL,
                             STR("PREAUTH: logged in as nobody knows whom"));
    if (needs_starttls && i->has_capabilities && !imap_back_has(i, IMAP_HAS_STARTTLS)) {
        i->b.step = imap_step_names[IMAP_STARTTLS];
        return back_fail_own(&i->b, BACK_FAIL_NO_TLS, STR("STARTTLS is not offered"));
    }
    return imap_back_next(i, out);
}

/* ---- responses ---- */

static const struct {
    const char *code; /* RFC 5530, RFC 9051 */
    enum back_failure failure;
} imap_codes[] = {
    {"AUTHENTICATIONFAILED", BACK_FAIL_AUTH},
    {"AUTHORIZATIONFAILED", BACK_FAIL_AUTH},
    {"EXPIRED", BACK_FAIL_AUTH},
    {"PRIVACYREQUIRED", BACK_FAIL_NO_MECHANISM},
    {"CANNOT", BACK_FAIL_NO_MECHANISM},
    {"UNAVAILABLE", BACK_FAIL_AUTH_TEMP},
    {"SERVERBUG", BACK_FAIL_AUTH_TEMP},
    {"INUSE", BACK_FAIL_AUTH_TEMP},
    {"CONTACTADMIN", BACK_FAIL_AUTH_TEMP},
    {"REFERRAL", BACK_FAIL_AUTH_TEMP}, /* RFC 2221: the mailbox is elsewhere, nobody is refused */
    {"LIMIT", BACK_FAIL_LIMIT},
    {"OVERQUOTA", BACK_FAIL_LIMIT},
    {"CLIENTBUG", BACK_FAIL_PROTOCOL},
};

/* A NO without a code is the word on the credentials; a BAD without one is not about them. */
static enum back_result imap_back_refused(struct imap_back *i, bool is_bad, struct str text)
{
    struct str rest = text, code = STR_NULL;
    enum back_failure failure = is_bad ? BACK_FAIL_PROTOCOL : BACK_FAIL_AUTH;
    if (imap_cut_code(&rest, &code)) {
        struct str name = str_cut(&code, ' ');
        for (size_t n = 0; n < ARRAY_LEN(imap_codes); n++)
            if (str_ieq(name, str_of(imap_codes[n].code)))
                failure = imap_codes[n].failure;
        /* referrals would lead the client around the proxy */
        if (str_ieq(name, STR("REFERRAL")))
            text = rest;
    }
    return back_fail(&i->b, failure, text);
}

static enum back_result imap_back_logged_in(struct imap_back *i, struct str text)
{
    struct str code;
    i->is_logged_in = true;
    i->wait = IMAP_WAIT_NONE;
    if (imap_back_learn_code(i, text) < 0)
        return imap_back_nomem(i);
    (void)imap_cut_code(&text, &code);
    buf_clear(&i->b.success.text);
    if (reply_append_clean(&i->b.success.text, text, REPLY_TEXT_MAX) < 0)
        return imap_back_nomem(i);
    return BACK_NEED_MORE;
}

static enum back_result imap_back_tagged(struct imap_back *i, enum imap_step step, bool is_ok,
                                         bool is_bad, struct str text, struct buf *out)
{
    enum back_result r = BACK_NEED_MORE;
    i->open &= ~(1u << step);
    switch (step) {
    case IMAP_STARTTLS:
        return is_ok ? BACK_STARTTLS : back_fail(&i->b, BACK_FAIL_NO_TLS, text);
    case IMAP_LOGIN:
        r = is_ok ? imap_back_logged_in(i, text) : imap_back_refused(i, is_bad, text);
        break;
    case IMAP_LOGOUT:
        return BACK_DONE;
    default: /* neither capabilities nor the identity are needed to go on */
        if (is_ok && imap_back_learn_code(i, text) < 0)
            return imap_back_nomem(i);
        break;
    }
    return r == BACK_NEED_MORE && !i->open ? imap_back_next(i, out) : r;
}

static enum back_result imap_back_untagged(struct imap_back *i, struct str rest)
{
    struct str status = str_cut(&rest, ' ');
    int r = 0;
    if (str_ieq(status, STR("BYE"))) {
        if (i->sent & 1u << IMAP_LOGOUT)
            return BACK_DONE;
        return back_fail(&i->b, BACK_FAIL_BYE, rest);
    }
    if (str_ieq(status, STR("CAPABILITY")))
        r = imap_back_learn(i, rest);
    else if (str_ieq(status, STR("OK")))
        r = imap_back_learn_code(i, rest);
    return r < 0 ? imap_back_nomem(i) : BACK_NEED_MORE;
}

/* The server asks for what comes next of the login. */
static enum back_result imap_back_continue(struct imap_back *i, struct str response,
                                           struct buf *out)
{
    const struct credentials *c = i->b.env->cred;
    enum imap_wait wait = i->wait;
    int r = 0;
    switch (wait) {
    case IMAP_WAIT_USER:
    case IMAP_WAIT_SECRET:
        r = buf_append_str(out, buf_str(wait == IMAP_WAIT_USER ? &c->user : &c->secret));
        if (r == 0 && wait == IMAP_WAIT_USER)
            r = imap_back_login_rest(i, true, out);
        else if (r == 0)
            r = buf_append_c(out, "\r\n");
        break;
    case IMAP_WAIT_SASL:
    case IMAP_WAIT_ERROR: /* a rejected token is told by a challenge, RFC 7628 section 3.2.3 */
        r = imap_back_sasl(i, wait == IMAP_WAIT_SASL ? 0 : 1, out);
        if (r == 0)
            r = buf_append_c(out, "\r\n");
        break;
    case IMAP_WAIT_NONE:
        return back_fail(&i->b, BACK_FAIL_PROTOCOL, response);
    }
    if (wait != IMAP_WAIT_USER)
        i->wait = wait == IMAP_WAIT_SASL ? IMAP_WAIT_ERROR : IMAP_WAIT_NONE;
    return r < 0 ? imap_back_nomem(i) : BACK_NEED_MORE;
}

static enum back_result imap_back_response(struct imap_back *i, struct str response,
                                           struct buf *out)
{
    if (!i->is_greeted)
        return imap_back_greeting(i, response, out);
    struct str rest = response;
    struct str tag = str_cut(&rest, ' ');
    if (str_eq(tag, STR("*")))
        return imap_back_untagged(i, rest);
    if (str_eq(tag, STR("+")))
        return imap_back_continue(i, response, out);
    unsigned step = tag.n == 2 && tag.p[0] == 'P' ? (unsigned)(tag.p[1] - '0') : IMAP_STEP_COUNT;
    struct str status = str_cut(&rest, ' ');
    bool is_ok = str_ieq(status, STR("OK")), is_bad = str_ieq(status, STR("BAD"));
    if (step >= IMAP_STEP_COUNT || !(i->open & 1u << step) ||
        (!is_ok && !is_bad && !str_ieq(status, STR("NO"))))
        return back_fail(&i->b, BACK_FAIL_PROTOCOL, response);
    return imap_back_tagged(i, (enum imap_step)step, is_ok, is_bad, rest, out);
}

/* One whole response; as line_cut. */
static int imap_back_cut(struct str in, struct str *ret_response, size_t *ret_consumed)
{
    struct str line;
    size_t used;
    unsigned invited = UINT32_MAX; /* a server does not wait to be asked for its literals */
    bool is_invited, is_sync;
    int r = line_cut(in, IMAP_RESPONSE_MAX, &line, &used, NULL);
    if (r == 0) {
        /* Only data end in a literal, not the words of a status. */
        static const char *const status[] = {"OK", "NO", "BAD", "BYE", "PREAUTH"};
        struct str star = str_cut(&line, ' '), word = str_cut(&line, ' ');
        if (str_eq(star, STR("*")) && !str_is_among(word, status, ARRAY_LEN(status)))
            r = line_cut_command(in, IMAP_RESPONSE_MAX, IMAP_RESPONSE_MAX, &invited, &used,
                                 &is_invited, &is_sync);
    }
    if (r < 0)
        return r;
    *ret_response = imap_chomp(str_n(in.p, used));
    *ret_consumed = used;
    return 0;
}

enum back_result imap_back_feed(struct back *b, struct str in, size_t *ret_consumed,
                                struct buf *out)
{
    struct imap_back *i = (struct imap_back *)b;
    enum back_result result = BACK_NEED_MORE;
    *ret_consumed = 0;
    while (result == BACK_NEED_MORE && *ret_consumed < in.n) {
        struct str response;
        size_t used;
        int r = imap_back_cut(str_skip(in, *ret_consumed), &response, &used);
        if (r == -ERR_AGAIN)
            break;
        if (r < 0)
            return back_fail_own(b, BACK_FAIL_PROTOCOL, STR("response is too long"));
        *ret_consumed += used;
        result = imap_back_response(i, response, out);
    }
    /* nothing that came in clear behind the go-ahead may be taken for the server's own words */
    if (result == BACK_STARTTLS)
        *ret_consumed = in.n;
    return result;
}

enum back_result imap_back_tls_started(struct back *b, struct buf *out)
{
    struct imap_back *i = (struct imap_back *)b;
    i->is_tls = true;
    i->has_capabilities = false;
    i->features = i->mechanisms = 0;
    buf_clear(&b->learned);
    return imap_back_next(i, out);
}

enum back_result imap_back_resume(struct back *b, struct buf *out)
{
    struct imap_back *i = (struct imap_back *)b;
    enum back_result r = imap_back_check_env(i);
    return r == BACK_NEED_MORE ? imap_back_next(i, out) : r;
}
