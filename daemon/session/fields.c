/* SPDX-License-Identifier: ISC */
/* What can be said of a session: its fields as values, rows and keys to sort by. */
#include "session/fields.h"
#include "proto/registry/registry.h"

#include <unistd.h>

/* "ending" is what a phase is called while an end waits. */
const char *session_field_word(int id, size_t i)
{
    switch ((enum session_field)id) {
    case SESSION_FIELD_PROTO:
        return i < PROTO_COUNT ? proto_get((enum proto_id)i)->name : NULL;
    case SESSION_FIELD_STATE:
        return i < SESSION_STATE_COUNT ? session_state_name((enum session_state)i) : NULL;
    case SESSION_FIELD_PHASE:
        return i < WATCH_PHASE_COUNT    ? watch_phase_name((enum watch_phase)i)
               : i == WATCH_PHASE_COUNT ? "ending"
                                        : NULL;
    default:
        return NULL;
    }
}

static int session_field_within(int id)
{
    return id == SESSION_FIELD_BACKEND ? SESSION_FIELD_POOL : -1;
}

const struct filter_field session_filter_fields[SESSION_FIELD_COUNT] = {
#define F(id, name, alias, type, unit, shown, title, text)                                         \
    [SESSION_FIELD_##id] = {                                                                       \
        name, alias, FILTER_##type, SESSION_FIELD_##id, session_field_word, session_field_within},
#include "session/fields.def"
#undef F
};

int session_field_find(struct str name, enum session_field *ret)
{
    for (size_t i = 0; i < SESSION_FIELD_COUNT; i++) {
        const struct filter_field *f = &session_filter_fields[i];
        if (str_eq(name, str_of(f->name)) || (f->alias && str_eq(name, str_of(f->alias)))) {
            *ret = (enum session_field)i;
            return 0;
        }
    }
    return -ERR_NO_PARAM;
}

/* ---- values ---- */

static const char *field_version(const char *version)
{
    return version[0] ? version : "no";
}

/* Of the cipher suite or the group of one side; NULL: clear, or not there. */
static const char *field_tls(const struct conn *c, bool is_group)
{
    const char *cipher, *group;
    if (!conn_tls_names(c, &cipher, &group))
        return NULL;
    return is_group ? group : cipher;
}

static const char *field_text(const struct session *s, enum session_field f, char scratch[64])
{
    bool is_relay = s->watch != NULL;
    switch (f) {
    case SESSION_FIELD_ID:
        return session_id_text(s, scratch);
    case SESSION_FIELD_LISTENER:
        return s->listener->config->name;
    case SESSION_FIELD_PROTO:
        return s->proto->name;
    case SESSION_FIELD_STATE:
        return session_state_name(s->state);
    case SESSION_FIELD_PHASE:
        return !is_relay ? NULL : s->kill ? "ending" : watch_phase_name(s->watch->phase);
    case SESSION_FIELD_VERB:
        return is_relay && s->watch->verb[0] ? s->watch->verb : NULL;
    case SESSION_FIELD_USER:
        return s->user;
    case SESSION_FIELD_TLS:
        return field_version(s->client_tls);
    case SESSION_FIELD_CIPHER:
    case SESSION_FIELD_GROUP:
        return field_tls(&s->client, f == SESSION_FIELD_GROUP);
    case SESSION_FIELD_SERVER_CIPHER:
    case SESSION_FIELD_SERVER_GROUP:
        return s->relay_ms ? field_tls(&s->server, f == SESSION_FIELD_SERVER_GROUP) : NULL;
    case SESSION_FIELD_POOL:
        return s->backend ? s->backend->pool : NULL;
    case SESSION_FIELD_BACKEND:
        return s->backend ? s->backend->name : NULL;
    case SESSION_FIELD_SERVER:
        addr_format(scratch, &s->server_addr);
        return s->server_addr.family ? scratch : NULL;
    case SESSION_FIELD_SERVER_TLS:
        return s->relay_ms ? field_version(s->server_tls) : NULL;
    case SESSION_FIELD_MECHANISM:
        return s->attempts ? session_method(s) : NULL;
    case SESSION_FIELD_AUTH:
        return s->auth_source;
    case SESSION_FIELD_CLIENT:
        return s->client_name;
    case SESSION_FIELD_ROUTE:
        return s->route_reason;
    default:
        return NULL;
    }
}

static uint64_t field_number(const struct session *s, enum session_field f)
{
    uint64_t now = loop_now_ms(s->env->loop);
    switch (f) {
    case SESSION_FIELD_PORT:
        return s->peer.port;
    case SESSION_FIELD_STARTED:
        return s->started_wall_ms;
    case SESSION_FIELD_AGE:
        return now - s->started_ms;
    case SESSION_FIELD_IDLE:
        return now - s->active_ms;
    case SESSION_FIELD_IN:
        return s->client.in_bytes;
    case SESSION_FIELD_OUT:
        return s->client.out_bytes;
    case SESSION_FIELD_IN_RATE:
        return s->rate.in;
    case SESSION_FIELD_OUT_RATE:
        return s->rate.out;
    case SESSION_FIELD_ENGINE:
        return (uint64_t)getpid();
    case SESSION_FIELD_WORKER:
        return s->env->worker;
    case SESSION_FIELD_ATTEMPTS:
        return s->attempts;
    default:
        return 0;
    }
}

bool session_filter_get(const void *row, int id, struct filter_value *ret)
{
    struct session_match_view *r = (struct session_match_view *)row;
    enum filter_type type = session_filter_fields[id].type;
    if (type == FILTER_IP) {
        ret->addr = &r->s->peer;
        return true;
    }
    if (type != FILTER_TEXT) {
        ret->number = field_number(r->s, id);
        return true;
    }
    const char *text = field_text(r->s, id, r->scratch);
    ret->text = str_of(text);
    return text != NULL;
}

/* Rates are measured between two looks at a session, at least a second apart; before that over its
 * whole life. */
void session_sample(struct session *s)
{
    struct session_rate *r = &s->rate;
    uint64_t now = loop_now_ms(s->env->loop);
    uint64_t since = r->at_ms ? r->at_ms : s->started_ms;
    if (now - since < 1000)
        return;
    r->in = (uint32_t)((s->client.in_bytes - r->in_base) * 1000 / (now - since));
    r->out = (uint32_t)((s->client.out_bytes - r->out_base) * 1000 / (now - since));
    r->at_ms = now;
    r->in_base = s->client.in_bytes;
    r->out_base = s->client.out_bytes;
}

/* ---- rows ---- */

/* Texts are offsets into texts (p) until the chunk is finished: the buffer may still move. */
int session_row_fill(struct session_row *row, struct buf *texts, const struct session *s,
                     uint64_t fields)
{
    char scratch[64];
    *row = (struct session_row){.id = s->id};
    for (int f = 0; f < SESSION_FIELD_COUNT; f++) {
        if (!(fields & SESSION_FIELD_BIT(f)))
            continue;
        enum filter_type type = session_filter_fields[f].type;
        if (type != FILTER_TEXT && type != FILTER_IP) {
            row->v[f].number = field_number(s, f);
            continue;
        }
        const char *text = type == FILTER_IP ? scratch : field_text(s, f, scratch);
        if (type == FILTER_IP)
            addr_format_ip(scratch, &s->peer);
        if (!text)
            continue;
        row->v[f].number = texts->len;
        row->v[f].text.n = strlen(text);
        if (buf_append_c(texts, text) < 0)
            return -ERR_NOMEM;
    }
    return 0;
}

void session_row_fix(struct session_row *row, const struct buf *texts)
{
    for (int f = 0; f < SESSION_FIELD_COUNT; f++)
        if (row->v[f].text.n > 0)
            row->v[f].text.p = texts->data + texts->start + row->v[f].number;
}

/* Numbers by value, texts without regard to case. */
static int value_compare(enum session_field by, const struct session_value *x,
                         const struct session_value *y)
{
    enum filter_type type = session_filter_fields[by].type;
    if (type != FILTER_TEXT && type != FILTER_IP)
        return x->number < y->number ? -1 : x->number > y->number;
    size_t n = x->text.n < y->text.n ? x->text.n : y->text.n;
    int order = n ? strncasecmp(x->text.p, y->text.p, n) : 0;
    if (order != 0)
        return order;
    return x->text.n < y->text.n ? -1 : x->text.n > y->text.n;
}

int session_key_order(const struct session_key *a, const struct session_key *b,
                      const struct session_order *o)
{
    int order = o->by == SESSION_FIELD_ID ? 0 : value_compare(o->by, &a->v, &b->v);
    bool is_older_first = order == 0 && o->by != SESSION_FIELD_ID;
    if (order == 0)
        order = a->id < b->id ? -1 : a->id > b->id;
    if (o->is_descending && !is_older_first)
        order = -order;
    return o->is_from_end ? -order : order;
}

struct session_key session_key_of(const struct session *s, enum session_field f, char scratch[64])
{
    enum filter_type type = session_filter_fields[f].type;
    struct session_key k = {.id = s->id};
    if (type == FILTER_IP)
        addr_format_ip(scratch, &s->peer);
    /* What grows by itself is compared by when it began: a walk takes many turns. */
    if (type != FILTER_TEXT && type != FILTER_IP)
        k.v.number = f == SESSION_FIELD_AGE    ? UINT64_MAX - s->started_ms
                     : f == SESSION_FIELD_IDLE ? UINT64_MAX - s->active_ms
                                               : field_number(s, f);
    else if (f != SESSION_FIELD_ID)
        k.v.text = str_of(type == FILTER_IP ? scratch : field_text(s, f, scratch));
    return k;
}
