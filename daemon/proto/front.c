/* SPDX-License-Identifier: ISC */
/* What the protocols' fronts share. */
#include "proto/front.h"

#include "base/cleanup.h"
#include "base/zalloc.h"

struct front *front_new(size_t size, const struct front_env *env)
{
    struct front *f = zalloc(size);
    if (f)
        *f = (struct front){.env = env, .auth_mech = SASL_NONE, .cred = {.mech = SASL_NONE}};
    return f;
}

void front_fini(struct front *f)
{
    if (!f)
        return;
    buf_wipe(&f->auth_data);
    credentials_wipe(&f->cred);
    buf_fini(&f->client_id);
    buf_fini(&f->helo);
    buf_fini(&f->mail_from);
    buf_fini(&f->rcpt_to);
}

void front_free(struct front *f)
{
    front_fini(f);
    free(f);
}

void front_end_login(struct front *f)
{
    credentials_wipe(&f->cred);
    buf_wipe(&f->auth_data);
    f->has_initial = false;
    f->is_exchange = false;
}

static int front_decode(struct front *f, struct str text)
{
    buf_wipe(&f->auth_data);
    int err = str_base64_decode(text, &f->auth_data);
    if (err < 0)
        buf_wipe(&f->auth_data);
    return err;
}

enum proto_intent front_begin_auth(struct front *f, enum sasl_mech mech, bool has_initial,
                                   struct str initial)
{
    f->auth_mech = mech;
    f->has_initial = has_initial;
    int err = front_decode(f, initial);
    return err == -ERR_NOMEM ? PROTO_FATAL : err < 0 ? PROTO_AUTH_BAD : PROTO_AUTH_BEGIN;
}

enum proto_intent front_take_response(struct front *f, struct str text)
{
    if (str_eq(text, STR("*"))) {
        buf_wipe(&f->auth_data);
        return PROTO_AUTH_ABORT;
    }
    int err = front_decode(f, text);
    return err == -ERR_NOMEM ? PROTO_FATAL : err < 0 ? PROTO_AUTH_BAD : PROTO_AUTH_DATA;
}

int front_auth_continue(struct front *f, struct str challenge, struct buf *reply)
{
    (void)f;
    if (buf_append_c(reply, "+ ") < 0 || str_base64_encode(challenge, reply) < 0)
        return -ERR_NOMEM;
    return buf_append_c(reply, "\r\n");
}

int front_no_keepalive(struct front *f, struct buf *reply)
{
    (void)f;
    (void)reply;
    return 0;
}

static struct front_memo *front_memo_of(const struct front_env *env)
{
    return env->memos ? &env->memos[env->tls == FRONT_TLS_ACTIVE] : NULL;
}

const struct buf *front_recall(const struct front_env *env)
{
    const struct front_memo *m = front_memo_of(env);
    bool is_same = m && m->announced == front_announced(env) && m->tls == env->tls;
    return is_same && m->text.len > 0 ? &m->text : NULL;
}

void front_remember(const struct front_env *env, struct str text)
{
    struct front_memo *m = front_memo_of(env);
    if (!m)
        return;
    m->announced = front_announced(env);
    m->tls = env->tls;
    buf_clear(&m->text);
    if (buf_append_str(&m->text, text) < 0)
        buf_clear(&m->text);
}

unsigned front_announced(const struct front_env *env)
{
    return env->mechanisms & ~env->hidden;
}

bool front_is_starttls_offered(const struct front_env *env)
{
    return env->tls == FRONT_TLS_OFFERED || env->tls == FRONT_TLS_REQUIRED;
}

enum reply_kind front_why_disabled(const struct front_env *env, bool is_clear_text)
{
    bool is_tls_wanted =
        env->tls == FRONT_TLS_REQUIRED || (env->is_clear_text_refused && is_clear_text);
    return is_tls_wanted ? REPLY_TLS_REQUIRED : REPLY_MECH_DISABLED;
}

enum proto_intent front_refuse(struct front *f, enum reply_kind why, enum sasl_mech mech)
{
    front_end_login(f);
    f->refusal = why;
    f->auth_mech = mech;
    return PROTO_REFUSED;
}

enum proto_intent front_refuse_command(struct front *f, enum reply_kind why, enum sasl_mech mech,
                                       struct str user)
{
    AUTO_BUF name = BUF_INIT; /* it may lie in what is wiped */
    if (str_is_utf8(user) && !str_has_crlf_nul(user) && buf_append_str(&name, user) < 0)
        return PROTO_FATAL;
    (void)front_refuse(f, why, mech);
    f->cred.mech = mech;
    return buf_append_str(&f->cred.user, buf_str(&name)) < 0 ? PROTO_FATAL : PROTO_REFUSED;
}

/* Does the line end in "HTTP/1.1" or the like? */
static bool front_has_http_version(struct str line)
{
    const struct str name = STR(" HTTP/");
    size_t end = line.n;
    while (end > 0 &&
           (line.p[end - 1] == '.' || (line.p[end - 1] >= '0' && line.p[end - 1] <= '9')))
        end--;
    return end < line.n && end >= name.n && str_eq(str_n(line.p + end - name.n, name.n), name);
}

bool front_is_http(struct str in)
{
    static const struct str methods[] = {STR("GET"),     STR("POST"),   STR("HEAD"),  STR("PUT"),
                                         STR("DELETE"),  STR("TRACE"),  STR("PATCH"), STR("PRI"),
                                         STR("OPTIONS"), STR("CONNECT")};
    struct str rest = in;
    struct str line = str_cut(&rest, '\n');
    if (line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    rest = line;
    struct str verb = str_cut(&rest, ' ');
    bool has_target = rest.n > 0 && rest.p[0] == '/';
    if (!has_target && !front_has_http_version(rest))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (str_eq(verb, methods[i]))
            return true;
    return false;
}
