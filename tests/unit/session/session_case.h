/* SPDX-License-Identifier: ISC */
/* Sessions made by hand, without sockets, on a worker of the test. */
#pragma once

#include "base/container/map.h"
#include "session/row.h"
#include "session/session_priv.h"
#include "tests/unit/io/io_case.h"

struct session_case {
    struct loop *loop;
    struct session_env env;
    struct config config;
    struct config_listener listener_config;
    struct snapshot_listener listener;
    struct snapshot snapshot;
    struct counters counters;
};

static inline void session_case_init(struct session_case *c)
{
    memset(c, 0, sizeof(*c));
    assert_int_equal(loop_new(&c->env, &c->loop), 0);
    c->listener_config = (struct config_listener){.name = "imap", .proto = &proto_imap};
    c->listener.config = &c->listener_config;
    c->snapshot = (struct snapshot){
        .refs = 1, .config = &c->config, .listeners = &c->listener, .n_listeners = 1};
    session_env_init(&c->env);
    c->env.loop = c->loop;
    c->env.counters = &c->counters;
    c->env.worker = 2;
}

static inline void session_case_death(struct loop_deferred *d)
{
    struct session *s = CONTAINER_OF(d, struct session, death);
    backend_unref(s->backend);
    free(s->watch);
    free(s->kill);
    free(s->user);
    free(s);
}

/* Ends what is left. */
static inline void session_case_fini(struct session_case *c)
{
    LIST_FOREACH_SAFE (it, &c->env.sessions)
        session_end(session_of_link(it), SESSION_END_SHUTDOWN);
    session_env_fini(&c->env);
    loop_free(c->loop);
}

static inline void session_case_timer(struct loop_timer *t)
{
    (void)t;
}

/* A session of this number that has just been accepted. */
static inline struct session *session_case_add(struct session_case *c, uint64_t id)
{
    struct session *s = calloc(1, sizeof(*s));
    assert_non_null(s);
    s->env = &c->env;
    s->snapshot = &c->snapshot;
    s->listener = &c->listener;
    s->proto = c->listener_config.proto;
    s->id = id;
    s->mech = SASL_NONE;
    s->started_ms = s->active_ms = loop_now_ms(c->loop);
    s->death.fn = session_case_death;
    list_init(&s->death.link);
    loop_timer_init(&s->timer, session_case_timer);
    conn_init(&s->client, c->loop, NULL, s);
    conn_init(&s->server, c->loop, NULL, s);
    assert_int_equal(addr_parse(STR("192.0.2.1:4711"), &s->peer), 0);
    const struct hashed_key key = hashed_key_of(map_key_u64(&s->id));
    assert_int_equal(table_add(&c->env.by_id, &key, s), 0);
    list_add_tail(&c->env.sessions, &s->link);
    c->env.count++;
    return s;
}
