/* SPDX-License-Identifier: ISC */
/* Health checks of one backend, with scripted servers of two protocols. */
#pragma once

#include "backend/check.h"
#include "pools_case.h"
#include "script.h"

#define CHECK_CASE_HOUR_MS 3600000

static const struct script_step imap_good[] = {
    S("* OK hi\r\n"),   C("P1 CAPABILITY\r\n"), S("* CAPABILITY IMAP4rev1 IDLE\r\nP1 OK\r\n"),
    C("P4 LOGOUT\r\n"), S("P4 OK\r\n"),         HANG_UP};
static const struct script_step imap_bye[] = {S("* BYE overloaded\r\n"), HANG_UP};
static const struct script_step pop3_good[] = {
    S("+OK hi\r\n"), C("CAPA\r\n"), S("+OK\r\nTOP\r\n.\r\n"), C("QUIT\r\n"), S("+OK\r\n"), HANG_UP};
static const struct script_step hang_up[] = {HANG_UP};

struct check_case {
    struct loop *loop;
    struct resolver *resolver;
    struct pools_case c;
    struct config_pool *pool;
    struct script imap, pop3;
    struct pools *pools;
    struct checks *checks;
    struct backend *b1;
    unsigned changes; /* told by on_changed */
    /* of the last check by hand */
    bool is_answered;
    struct check_result result;
    char text[BACKEND_REASON_MAX];
};

static inline void on_changed(void *arg, struct backend *b)
{
    struct check_case *t = arg;
    t->changes += strcmp(b->name, "b1") == 0;
}

static inline void serve(struct script *s, const struct script_step *steps, size_t n)
{
    s->steps = steps;
    s->n_steps = n;
}

#define SERVE(script, list) serve(script, list, ARRAY_LEN(list))

/* One pool with one backend, an IMAP listener, checks every hour; two good servers. */
static inline int setup(void **state)
{
    static struct check_case check_case;
    struct check_case *t = *state = &check_case;
    const struct resolver_spec spec = {.timeout_ms = 2000};
    *t = (struct check_case){0};
    is_loop_left = false;
    assert_int_equal(loop_new(NULL, &t->loop), 0);
    assert_int_equal(resolver_new(t->loop, &spec, &t->resolver), 0);
    SERVE(&t->imap, imap_good);
    SERVE(&t->pop3, pop3_good);
    script_start(&t->imap, t->loop);
    script_start(&t->pop3, t->loop);
    pools_case_init(&t->c);
    t->pool = pools_case_add(&t->c, "main", BALANCE_USER);
    t->pool->check.is_on = true;
    t->pool->check.interval_ms = CHECK_CASE_HOUR_MS;
    t->pool->check.timeout_ms = 10000;
    struct config_backend *b = pools_case_member(t->pool, "b1", "127.0.0.1", 100);
    b->ports[PROTO_IMAP] = t->imap.port;
    b->ports[PROTO_POP3] = t->pop3.port;
    (void)pools_case_listener(&t->c, "imap", &proto_imap, NULL);
    assert_int_equal(checks_new(t->loop, t->resolver, on_changed, t, &t->checks), 0);
    return 0;
}

static inline int teardown(void **state)
{
    struct check_case *t = *state;
    if (is_loop_left)
        return 0;
    checks_free(t->checks);
    pools_unref(t->pools);
    pools_case_fini(&t->c);
    script_stop(&t->imap);
    script_stop(&t->pop3);
    resolver_free(t->resolver);
    loop_free(t->loop);
    return 0;
}

static inline void configure(struct check_case *t, const struct pool_edit *edits, size_t n)
{
    struct pools *p = pools_case_build(&t->c, edits, n);
    pools_unref(t->pools);
    t->pools = p;
    t->b1 = pools_case_backend(p, "b1");
    checks_configure(t->checks, p);
}

static inline void on_result(void *arg, const struct check_result *r)
{
    struct check_case *t = arg;
    assert_false(t->is_answered);
    t->is_answered = true;
    t->result = *r;
    assert_true(str_copy(t->text, sizeof(t->text), str_of(r->text)));
}

static inline bool is_answered(void *arg)
{
    return ((struct check_case *)arg)->is_answered;
}

/* One check by hand, from its begin to its end. */
static inline enum back_failure check(struct check_case *t)
{
    t->is_answered = false;
    assert_int_equal(check_now(t->checks, NULL, "b1", on_result, t), 0);
    run_until(t->loop, is_answered, t);
    assert_int_equal(t->result.err, 0);
    assert_ptr_equal(t->result.backend, t->b1);
    if (t->imap.failure[0] || t->pop3.failure[0])
        fail_msg("%s%s", t->imap.failure, t->pop3.failure);
    return t->result.failure;
}

/* The first finding by hand: from then on nothing comes by itself for an hour. */
static inline void configure_and_check(struct check_case *t)
{
    configure(t, NULL, 0);
    (void)check(t);
}

static inline bool is_known(void *arg)
{
    return ((struct check_case *)arg)->b1->health != BACKEND_UNKNOWN;
}

/* The first finding comes by itself. */
static inline void configure_and_wait(struct check_case *t)
{
    configure(t, NULL, 0);
    run_until(t->loop, is_known, t);
}

static inline void expect_reason(const struct check_case *t, const char *want)
{
    char reason[BACKEND_REASON_MAX];
    backend_reason(t->b1, reason);
    assert_string_equal(reason, want);
}

static inline bool is_down(void *arg)
{
    return ((struct check_case *)arg)->b1->health == BACKEND_DOWN;
}

static inline bool is_up(void *arg)
{
    return ((struct check_case *)arg)->b1->health == BACKEND_UP;
}

#define CHECK_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
