/* SPDX-License-Identifier: ISC */
/* What is known of a session, for reading: the names of its states and ends, its id, its figures.
 */
#include "base/container/map.h"
#include "session/session_priv.h"

/* ---- names ---- */

static const char *const session_state_names[SESSION_STATE_COUNT] = {
#define S(id, name, timeout, next) [SESSION_##id] = name,
#include "session/states.def"
#undef S
};

static const struct {
    const char *name, *who;
} session_ends[SESSION_END_COUNT] = {
#define X(id, name, who) [SESSION_END_##id] = {name, who},
#include "session/ends.def"
#undef X
};

const char *session_state_name(enum session_state s)
{
    return session_state_names[s];
}

const char *session_end_name(enum session_end e)
{
    return session_ends[e].name;
}

const char *session_end_who(enum session_end e)
{
    return session_ends[e].who;
}

/* ---- ids ---- */

#define SESSION_NUMBER_BITS 40

uint64_t session_id_make(struct session_env *env)
{
    uint64_t high = ((uint64_t)env->start << 8) | (env->worker + 1);
    return (high << SESSION_NUMBER_BITS) | ++env->last_number;
}

unsigned session_id_worker(uint64_t id)
{
    return (unsigned)((id >> SESSION_NUMBER_BITS) & 0xff) - 1;
}

unsigned session_id_start(uint64_t id)
{
    return (unsigned)(id >> SESSION_NUMBER_BITS >> 8);
}

void session_id_format(char dst[32], uint64_t id)
{
    char *end = str_put_number(dst, id >> SESSION_NUMBER_BITS, 16, 0);
    *end++ = '-';
    *str_put_number(end, id & ((1ULL << SESSION_NUMBER_BITS) - 1), 16, 0) = '\0';
}

static int session_id_hex(struct str s, unsigned max_digits, uint64_t *ret)
{
    uint64_t v = 0;
    if (s.n == 0 || s.n > max_digits)
        return -ERR_SYNTAX;
    for (size_t i = 0; i < s.n; i++) {
        const char *digits = "0123456789abcdef";
        const char *d = memchr(digits, s.p[i], 16);
        if (!d)
            return -ERR_SYNTAX;
        v = v << 4 | (uint64_t)(d - digits);
    }
    *ret = v;
    return 0;
}

int session_id_parse(struct str text, uint64_t *ret)
{
    uint64_t high = 0, number = 0;
    struct str first = str_cut(&text, '-');
    if (session_id_hex(first, 6, &high) < 0 || session_id_hex(text, 10, &number) < 0)
        return -ERR_SYNTAX;
    *ret = high << SESSION_NUMBER_BITS | number;
    return 0;
}

const char *session_id_text(const struct session *s, char dst[32])
{
    session_id_format(dst, s->id);
    return dst;
}

/* ---- logins ---- */

const char *session_method(const struct session *s)
{
    bool is_command = s->is_login_command && s->mech == SASL_PLAIN && s->proto->login_command;
    return is_command ? s->proto->login_command : sasl_method(s->mech);
}

const char *session_judge(const struct session *s)
{
    return s->auth_source;
}

unsigned session_provider(const struct session *s)
{
    return s->provider;
}

const char *session_listener(const struct session *s)
{
    return s->listener->config->name;
}

/* ---- sessions of a worker ---- */

struct session *session_find(const struct session_env *env, uint64_t id)
{
    const struct hashed_key key = hashed_key_of(map_key_u64(&id));
    return table_get(&env->by_id, &key);
}

struct session *session_of_link(struct list *link)
{
    return LIST_ITEM(link, struct session, link);
}

uint64_t session_id(const struct session *s)
{
    return s->id;
}

const char *session_user(const struct session *s)
{
    return s->user;
}

struct str session_claimed_user(const struct session *s)
{
    return s->pre && s->pre->cred ? buf_str(&s->pre->cred->user) : STR_NULL;
}

const char *session_backend(const struct session *s)
{
    return s->backend ? s->backend->name : NULL;
}

const struct addr *session_peer(const struct session *s)
{
    return &s->peer;
}

void session_figures(const struct session *s, uint64_t *ret_in, uint64_t *ret_out,
                     uint64_t *ret_age_ms)
{
    *ret_in = s->client.in_bytes;
    *ret_out = s->client.out_bytes;
    *ret_age_ms = loop_now_ms(s->env->loop) - s->started_ms;
}

unsigned session_max_sessions(const struct session *s)
{
    return s->pre ? s->pre->max_sessions : 0;
}

bool session_is_client_counted(const struct session *s)
{
    return s->is_client_counted;
}

uint64_t session_generation(const struct session *s)
{
    return s->snapshot->generation;
}

enum proto_id session_proto(const struct session *s)
{
    return s->proto->id;
}
