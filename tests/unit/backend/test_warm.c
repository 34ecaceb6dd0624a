/* SPDX-License-Identifier: ISC */
/* Connections that are kept ready: how many, for whom, and when they go. */
#include "backend/warm.h"
#include "pools_case.h"
#include "script.h"

static const struct script_step greeting[] = {S("* OK [CAPABILITY IMAP4rev1] hi\r\n")};

/* A server that serves any number of clients, which say nothing. */
struct crowd {
    struct loop *loop;
    struct event *event;
    int fd;
    uint16_t port;
    int fds[32];
    size_t n;
};

static struct warm_case {
    struct loop *loop;
    struct resolver *resolver;
    struct crowd crowd;
    struct pools_case pools;
    struct pools *built;
    const struct pool_member *member;
    struct warm *warm;
    size_t want; /* of ready connections */
} rig;

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
    struct crowd *c = arg;
    (void)what;
    int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    assert_true(client >= 0 && c->n < ARRAY_LEN(c->fds));
    struct str text = greeting[0].text;
    assert_int_equal(write(client, text.p, text.n), (ssize_t)text.n);
    c->fds[c->n++] = client;
}

static void crowd_start(struct crowd *c, struct loop *l)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sin);
    *c = (struct crowd){.loop = l};
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(c->fd, (struct sockaddr *)&sin, len), 0);
    assert_int_equal(listen(c->fd, 32), 0);
    assert_int_equal(getsockname(c->fd, (struct sockaddr *)&sin, &len), 0);
    c->port = ntohs(sin.sin_port);
    c->event = event_new(loop_base(l), c->fd, EV_READ | EV_PERSIST, on_accept, c);
    assert_int_equal(event_add(c->event, NULL), 0);
}

static void crowd_leave(struct crowd *c)
{
    for (size_t i = 0; i < c->n; i++)
        close(c->fds[i]);
    c->n = 0;
}

static int setup(void **state)
{
    const struct resolver_spec spec = {.timeout_ms = 2000};
    rig = (struct warm_case){0};
    assert_int_equal(loop_new(NULL, &rig.loop), 0);
    assert_int_equal(resolver_new(rig.loop, &spec, &rig.resolver), 0);
    crowd_start(&rig.crowd, rig.loop);
    pools_case_init(&rig.pools);
    rig.pools.config.timeouts.connect_ms = rig.pools.config.timeouts.login_ms = 10000;
    struct config_pool *p = pools_case_add(&rig.pools, "main", BALANCE_USER);
    p->warm = 3;
    p->tls = BACK_TLS_OFF;
    pools_case_member(p, "b1", "127.0.0.1", 1)->ports[PROTO_IMAP] = rig.crowd.port;
    rig.built = pools_case_build(&rig.pools, NULL, 0);
    rig.member = pools_case_find(rig.built, "b1");
    assert_int_equal(warm_new(rig.loop, rig.resolver, &rig.warm), 0);
    warm_configure(rig.warm, rig.built);
    return 0;
}

static bool is_nothing_left(void *arg)
{
    (void)arg;
    return true;
}

static int teardown(void **state)
{
    warm_free(rig.warm);
    run_until(rig.loop, is_nothing_left, NULL); /* what was closed dies at the end of a turn */
    crowd_leave(&rig.crowd);
    event_free(rig.crowd.event);
    close(rig.crowd.fd);
    pools_unref(rig.built);
    pools_case_fini(&rig.pools);
    resolver_free(rig.resolver);
    loop_free(rig.loop);
    return 0;
}

static bool has_wanted(void *arg)
{
    (void)arg;
    return warm_ready(rig.warm) == rig.want;
}

static void expect_ready(size_t n)
{
    rig.want = n;
    run_until(rig.loop, has_wanted, NULL);
}

static struct login *take(void)
{
    return warm_take(rig.warm, &rig.built->v[0], rig.member, PROTO_IMAP);
}

/* None before anybody logs in; each one taken is replaced. */
static void test_taken(void **state)
{
    assert_null(take());
    expect_ready(3);
    for (size_t i = 1; i <= 4; i++) {
        struct login *l = take();
        assert_non_null(l);
        assert_int_equal(warm_ready(rig.warm), 2);
        login_cancel(l);
        expect_ready(3);
        assert_int_equal(rig.crowd.n, 3 + i);
    }
    /* Another protocol has its own. */
    assert_null(warm_take(rig.warm, &rig.built->v[0], rig.member, PROTO_POP3));
    login_cancel(take());
}

/* Where a backend takes no logins, none wait for any. */
static void test_drained(void **state)
{
    assert_null(take());
    expect_ready(3);
    atomic_store(&rig.member->backend->admin, BACKEND_DRAIN);
    expect_ready(0);
    assert_null(take());
    assert_int_equal(rig.crowd.n, 3);
    atomic_store(&rig.member->backend->admin, BACKEND_READY);
    assert_null(take());
    expect_ready(3);
}

/* A server that leaves, or is not there, is not asked in a loop. */
static void test_left(void **state)
{
    assert_null(take());
    expect_ready(3);
    crowd_leave(&rig.crowd);
    expect_ready(0);
    assert_null(take());
    run_until(rig.loop, is_nothing_left, NULL);
    assert_int_equal(rig.crowd.n, 0);
}

/* Other pools: what was made for the former ones is closed, and their logins find none. */
static void test_reload(void **state)
{
    assert_null(take());
    expect_ready(3);
    struct pools *old = rig.built;
    const struct pool_member *old_member = rig.member;
    rig.built = pools_case_build(&rig.pools, NULL, 0);
    rig.member = pools_case_find(rig.built, "b1");
    warm_configure(rig.warm, rig.built);
    assert_int_equal(warm_ready(rig.warm), 0);
    assert_null(warm_take(rig.warm, &old->v[0], old_member, PROTO_IMAP));
    pools_unref(old);
    assert_null(take());
    expect_ready(3);
    assert_int_equal(rig.crowd.n, 6);
}

static void test_off(void **state)
{
    rig.pools.pools[0].warm = 0;
    assert_null(take());
    assert_null(take());
    assert_null(warm_take(NULL, &rig.built->v[0], rig.member, PROTO_IMAP));
    run_until(rig.loop, is_nothing_left, NULL);
    assert_int_equal(rig.crowd.n, 0);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {T(test_taken), T(test_drained), T(test_left), T(test_reload),
                                       T(test_off)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
