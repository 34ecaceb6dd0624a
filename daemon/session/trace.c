/* SPDX-License-Identifier: ISC */
/* The traces of a worker: which sessions they want, and what they may have under way. */
#include "session/trace.h"

#include "base/clock.h"
#include "session/fields.h"
#include "session/trace_tap.h"

#define TRACE_STEP 64 /* sessions looked at in one go */

static const struct {
    const char *name, *marker;
} trace_directions[TRACE_DIRECTION_COUNT] = {
#define D(id, name, marker) [TRACE_##id] = {name, marker},
    TRACE_DIRECTIONS(D)
#undef D
};

const char *trace_direction_name(enum trace_direction d)
{
    return trace_directions[d].name;
}

const char *trace_direction_marker(enum trace_direction d)
{
    return trace_directions[d].marker;
}

const struct filter_field *session_trace_fields(size_t *ret_n)
{
    static const struct filter_field fields[] = {
        {"id", NULL, FILTER_TEXT, SESSION_FIELD_ID, session_field_word, NULL},
        {"user", NULL, FILTER_TEXT, SESSION_FIELD_USER, session_field_word, NULL},
        {"ip", "addr", FILTER_IP, SESSION_FIELD_IP, session_field_word, NULL},
        {"proto", "protocol", FILTER_TEXT, SESSION_FIELD_PROTO, session_field_word, NULL},
        {"listener", NULL, FILTER_TEXT, SESSION_FIELD_LISTENER, session_field_word, NULL},
    };
    *ret_n = ARRAY_LEN(fields);
    return fields;
}

/* ---- who is meant ---- */

struct trace_row { /* what the filter sees */
    const struct session *s;
    struct str user;
    char id[32];
};

static bool trace_get(const void *row, int field, struct filter_value *ret)
{
    struct trace_row *r = (struct trace_row *)row;
    switch (field) {
    case SESSION_FIELD_ID:
        ret->text = str_of(session_id_text(r->s, r->id));
        return true;
    case SESSION_FIELD_USER:
        ret->text = r->user;
        return r->user.n > 0;
    case SESSION_FIELD_IP:
        ret->addr = &r->s->peer;
        return true;
    case SESSION_FIELD_PROTO:
        ret->text = str_of(r->s->proto->name);
        return true;
    case SESSION_FIELD_LISTENER:
        ret->text = str_of(r->s->listener->config->name);
        return true;
    default:
        return false;
    }
}

static bool trace_matches(const struct worker_trace *t, const struct session *s, struct str user)
{
    const struct trace_row row = {.s = s, .user = user};
    return filter_match(t->spec.filter, trace_get, &row);
}

/* The name that is being judged, or was judged wrong. */
static struct str trace_claimed(const struct session *s)
{
    if (!s->pre)
        return STR_NULL;
    struct str user = session_claimed_user(s);
    return user.n > 0 || !s->pre->sasl ? user : buf_str(&sasl_credentials(s->pre->sasl)->user);
}

static bool trace_wants(const struct worker_trace *t, const struct session *s)
{
    struct str claimed = trace_claimed(s), user = str_of(s->user);
    if (!t->has_user)
        return trace_matches(t, s, STR_NULL);
    return (claimed.n > 0 && trace_matches(t, s, claimed)) ||
           (user.n > 0 && trace_matches(t, s, user));
}

/* For each trace of the worker, i its slot. */
#define TRACE_EACH(env, i, t)                                                                      \
    for (unsigned i = 0; (env)->traces && i < TRACES_MAX; i++)                                     \
        for (struct worker_trace *t = (env)->traces->slots[i]; t; t = NULL)

/* Until its relay a session may still turn out to be a user's. */
static void trace_look(struct session *s, const struct worker_trace *t, unsigned slot)
{
    bool is_wanted = trace_wants(t, s);
    bool may_be = t->has_user && s->pre && !is_wanted;
    if (is_wanted || may_be)
        (void)!trace_tap_add(s, is_wanted ? 1u << slot : 0, may_be ? 1u << slot : 0);
}

void trace_match_address(struct session *s)
{
    TRACE_EACH (s->env, i, t)
        trace_look(s, t, i);
}

void trace_match_user(struct session *s)
{
    TRACE_EACH (s->env, i, t)
        if (s->tap && trace_tap_waits(s->tap, i) && trace_wants(t, s))
            trace_tap_promote(s, i);
}

/* ---- life ---- */

static void trace_free(struct worker_trace *t)
{
    loop_unslice(&t->slice);
    safe_iter_end(&t->walk);
    filter_unref(t->spec.filter);
    free(t);
}

static struct worker_trace *trace_find(const struct session_env *env, uint64_t number,
                                       unsigned *ret_slot)
{
    TRACE_EACH (env, i, t)
        if (t->spec.number == number) {
            *ret_slot = i;
            return t;
        }
    return NULL;
}

static void trace_end(struct session_env *env, struct worker_trace *t, unsigned slot)
{
    env->traces->slots[slot] = NULL;
    LIST_FOREACH_SAFE (it, &env->traces->taps)
        trace_tap_drop(trace_tap_session(it), slot);
    trace_free(t);
    TRACE_EACH (env, i, other)
        return;
    free(env->traces); /* it was the last one */
    env->traces = NULL;
}

void traces_free(struct session_env *env)
{
    TRACE_EACH (env, i, t)
        trace_free(t);
    free(env->traces);
    env->traces = NULL;
}

/* ---- the sessions that are there when a trace begins ---- */

static void on_walk(struct loop_slice *slice)
{
    struct worker_trace *t = CONTAINER_OF(slice, struct worker_trace, slice);
    struct list *node = NULL;
    unsigned slot = 0;
    while (t->env->traces->slots[slot] != t)
        slot++;
    for (int i = 0; i < TRACE_STEP && (node = safe_iter_next(&t->walk)); i++) {
        struct session *s = session_of_link(node);
        /* Behind a load balancer the address is not known yet: they are met when it is. */
        if (s->state != SESSION_PROXY_HEADER)
            trace_look(s, t, slot);
    }
    if (!node)
        loop_unslice(slice);
}

/* ---- mail ---- */

struct trace_mail {
    struct mail mail;
    struct worker_trace *trace;
};

static void trace_mail_drop(struct mail *m)
{
    struct trace_mail *tm = CONTAINER_OF(m, struct trace_mail, mail);
    trace_free(tm->trace);
    free(tm);
}

static bool trace_enlist(struct session_env *env, struct worker_trace *t)
{
    if (!env->traces) {
        env->traces = calloc(1, sizeof(*env->traces));
        if (env->traces)
            list_init(&env->traces->taps);
    }
    for (unsigned i = 0; env->traces && i < TRACES_MAX; i++) {
        if (env->traces->slots[i])
            continue;
        env->traces->slots[i] = t;
        return true;
    }
    return false;
}

static void on_trace(struct mail *m, void *owner)
{
    struct trace_mail *tm = CONTAINER_OF(m, struct trace_mail, mail);
    struct session_env *env = owner;
    struct worker_trace *t = tm->trace;
    if (!trace_enlist(env, t)) {
        trace_mail_drop(m);
        return;
    }
    free(tm);
    t->env = env;
    safe_iter_begin(&t->walk, &env->walks, &env->sessions);
    loop_slice(env->loop, &t->slice);
}

int session_trace_post(struct mailbox *worker, const struct session_trace_spec *spec)
{
    struct trace_mail *m = calloc(1, sizeof(*m));
    struct worker_trace *t = calloc(1, sizeof(*t));
    if (!m || !t) {
        free(m);
        free(t);
        return -ERR_NOMEM;
    }
    t->spec = *spec;
    filter_ref(t->spec.filter);
    t->has_user = filter_names(t->spec.filter, SESSION_FIELD_USER);
    list_init(&t->walk.link);
    list_init(&t->slice.link);
    t->slice.step = on_walk;
    *m = (struct trace_mail){.mail = {.fn = on_trace, .drop = trace_mail_drop}, .trace = t};
    mailbox_post(worker, &m->mail);
    return 0;
}

struct trace_word {
    struct mail mail;
    uint64_t number;
    size_t weight; /* taken in; 0 = the trace is over */
};

static void on_word(struct mail *m, void *owner)
{
    struct trace_word *w = CONTAINER_OF(m, struct trace_word, mail);
    unsigned slot;
    struct worker_trace *t = trace_find(owner, w->number, &slot);
    if (t && w->weight == 0)
        trace_end(owner, t, slot);
    else if (t) {
        t->flight -= w->weight < t->flight ? w->weight : t->flight;
        const struct trace_tap_event e = {.at_ms = clock_wall_ms(), .direction = TRACE_NOTE};
        if (t->lost > 0) /* told now, when there is room, not only with the next event */
            trace_send(t, 0, &e, NULL);
    }
    free(w);
}

static int trace_word_post(struct mailbox *worker, uint64_t number, size_t weight)
{
    struct trace_word *w = calloc(1, sizeof(*w));
    if (!w)
        return -ERR_NOMEM;
    *w = (struct trace_word){.mail.fn = on_word, .number = number, .weight = weight};
    mailbox_post(worker, &w->mail);
    return 0;
}

int session_trace_end_post(struct mailbox *worker, uint64_t number)
{
    return trace_word_post(worker, number, 0);
}

int session_trace_seen_post(struct mailbox *worker, uint64_t number, size_t weight)
{
    return weight > 0 ? trace_word_post(worker, number, weight) : 0;
}
