/* SPDX-License-Identifier: ISC */
/* Where a login goes: who is asked first, patterns of routes, pins that are gone. */
#include "session/route.h"
#include "tests/unit/backend/pools_case.h"

static struct pools_case c;
static struct pools *pools;
static struct snapshot snapshot;
static struct config_route routes[8];

static int setup(void **state)
{
    memset(routes, 0, sizeof(routes));
    pools_case_init(&c);
    for (int i = 0; i < 3; i++) {
        static const char *const names[] = {"main", "mta", "old"};
        static const char *const members[] = {"b1", "m1", "o1"};
        static const char *const hosts[] = {"10.0.0.1", "10.0.1.1", "10.0.2.1"};
        struct config_pool *p = pools_case_add(&c, names[i], BALANCE_USER);
        struct config_backend *b = pools_case_member(p, members[i], hosts[i], 100);
        b->ports[PROTO_IMAP] = 143;
    }
    (void)pools_case_listener(&c, "imap", &proto_imap, NULL);
    (void)pools_case_listener(&c, "submission", &proto_smtp, NULL);
    (void)pools_case_listener(&c, "fixed", &proto_imap, "old");
    c.config.routes = routes;
    pools = pools_case_build(&c, NULL, 0);
    snapshot = (struct snapshot){.refs = 1, .config = &c.config, .pools = pools};
    return 0;
}

static int teardown(void **state)
{
    pools_unref(pools);
    pools_case_fini(&c);
    return 0;
}

static struct route_request request(const char *user, unsigned listener)
{
    return (struct route_request){
        .user = user, .listener = &c.listeners[listener], .proto = c.listeners[listener].proto};
}

static void expect_pool(const struct route_request *q, const char *pool, const char *reason)
{
    struct route r;
    assert_int_equal(route_find(&snapshot, c.registry, q, &r), 0);
    assert_non_null(r.pool);
    if (strcmp(r.pool->config->name, pool) != 0 || strcmp(r.reason, reason) != 0)
        fail_msg("%s by %s instead of %s by %s", r.pool->config->name, r.reason, pool, reason);
    assert_null(r.member);
    assert_null(r.dynamic);
    route_fini(&r);
}

static void test_default(void **state)
{
    struct route_request q = request("joe", 0);
    expect_pool(&q, "main", "default pool");
    c.config.n_pools = 0;
    struct route r;
    assert_int_equal(route_find(&snapshot, c.registry, &q, &r), -ERR_NO_POOL);
    c.config.n_pools = 3;
}

static void test_routes(void **state)
{
    routes[0] = (struct config_route){.user = "boss", .pool = "old"};
    routes[1] = (struct config_route){.domain = "*.example.org", .pool = "old"};
    routes[2] =
        (struct config_route){.domain = "example.org", .listener = "submission", .pool = "mta"};
    routes[3] = (struct config_route){.proto = &proto_smtp, .pool = "mta"};
    routes[4] = (struct config_route){.user = "*@example.net", .pool = "mta"};
    routes[5] = (struct config_route){.domain = "*", .pool = "old"};
    c.config.n_routes = 6;
    static const struct {
        const char *user;
        unsigned listener;
        const char *pool, *reason;
    } cases[] = {
        {"boss", 0, "old", "route"},
        {"BOSS", 0, "old", "route"},
        {"boss2", 0, "main", "default pool"},
        {"joe@sub.example.org", 0, "old", "route"},
        {"joe@example.org", 1, "mta", "route"},
        {"joe", 1, "mta", "route"}, /* by protocol */
        {"joe@EXAMPLE.net", 0, "mta", "route"},
        {"a@b@example.net", 0, "mta", "route"}, /* the last @ counts */
        {"joe@example.org", 0, "old", "route"}, /* any domain */
        {"joe@", 0, "old", "route"},
        {"joe", 0, "main", "default pool"}, /* none at all */
        {"", 0, "main", "default pool"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct route_request q = request(cases[i].user, cases[i].listener);
        expect_pool(&q, cases[i].pool, cases[i].reason);
    }
}

/* Auth server, the user's backend, the user's pool, the listener, routes, default: in this order.
 */
static void test_order(void **state)
{
    struct route r;
    routes[0] = (struct config_route){.pool = "mta"};
    c.config.n_routes = 1;
    struct route_request q = request("joe", 2);
    expect_pool(&q, "old", "listener");
    q.pool = "mta";
    expect_pool(&q, "mta", "user's pool");
    q.backend = "m1";
    assert_int_equal(route_find(&snapshot, c.registry, &q, &r), 0);
    assert_string_equal(r.reason, "user's backend");
    assert_string_equal(r.member->backend->name, "m1");
    assert_string_equal(r.pool->config->name, "mta");
    route_fini(&r);
    q.pool = NULL; /* in whatever pool it is */
    q.backend = "b1";
    assert_int_equal(route_find(&snapshot, c.registry, &q, &r), 0);
    assert_string_equal(r.pool->config->name, "main");
    route_fini(&r);
    q.server_host = "10.9.9.9";
    q.server_port = 143;
    assert_int_equal(route_find(&snapshot, c.registry, &q, &r), 0);
    assert_string_equal(r.reason, "auth server");
    route_fini(&r);
}

/* A pin that is gone is no reason to go elsewhere: the user's mail is not there. */
static void test_lost_pins(void **state)
{
    struct route r;
    struct route_request q = request("joe", 0);
    q.backend = "gone";
    assert_int_equal(route_find(&snapshot, c.registry, &q, &r), -ERR_NO_BACKEND);
    q.backend = "b1";
    q.pool = "mta"; /* it is not in that one */
    assert_int_equal(route_find(&snapshot, c.registry, &q, &r), -ERR_NO_BACKEND);
    q.backend = NULL;
    q.pool = "gone";
    assert_int_equal(route_find(&snapshot, c.registry, &q, &r), -ERR_NO_POOL);
}

static void test_auth_server(void **state)
{
    struct route r, again;
    struct route_request q = request("joe", 0);
    q.server_host = "10.0.1.1";
    q.server_port = 143;
    assert_int_equal(route_find(&snapshot, c.registry, &q, &r),
                     0); /* a member: it can be drained */
    assert_string_equal(r.member->backend->name, "m1");
    assert_null(r.dynamic);
    route_fini(&r);
    q.server_port = 1430; /* another port is another server */
    assert_int_equal(route_find(&snapshot, c.registry, &q, &r), 0);
    assert_null(r.member);
    assert_string_equal(r.pool->config->name, "main"); /* of the login, without the server */
    assert_string_equal(r.dynamic->pool, "(dynamic)");
    assert_string_equal(r.host, "10.0.1.1");
    assert_int_equal(r.port, 1430);
    assert_int_equal(route_find(&snapshot, c.registry, &q, &again), 0);
    assert_ptr_equal(again.dynamic, r.dynamic); /* one object, so that it can be drained, too */
    route_fini(&again);
    route_fini(&r);
}

/* How a server is reached that an auth server names: as the pool says where the login would go
 * without its word. */
static void test_governing_pool(void **state)
{
    static const struct {
        const char *host, *pin, *user;
        unsigned listener;
        const char *pool;
        bool is_member;
    } cases[] = {
        {"10.9.9.9", NULL, "joe", 0, "main", false},
        {"10.9.9.9", NULL, "joe", 2, "old", false},
        {"10.9.9.9", NULL, "joe@example.org", 0, "mta", false},
        {"10.9.9.9", NULL, "joe@example.org", 2, "old", false},
        {"10.9.9.9", "mta", "joe", 2, "mta", false}, /* the auth server names one */
        {"10.0.0.1", NULL, "joe", 2, "main", true},  /* a member of another pool: that one's word */
        {"10.0.9.9", NULL, "joe", 0, "main", true},  /* in two pools */
        {"10.0.9.9", NULL, "joe", 2, "old", true},
    };
    for (size_t i = 0; i < 3; i += 2)
        pools_case_member(&c.pools[i], i ? "o9" : "b9", "10.0.9.9", 100)->ports[PROTO_IMAP] = 143;
    pools_unref(pools);
    pools = pools_case_build(&c, NULL, 0);
    snapshot.pools = pools;
    routes[0] = (struct config_route){.domain = "example.org", .pool = "mta"};
    c.config.n_routes = 1;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct route r;
        struct route_request q = request(cases[i].user, cases[i].listener);
        q.server_host = cases[i].host;
        q.server_port = 143;
        q.pool = cases[i].pin;
        assert_int_equal(route_find(&snapshot, c.registry, &q, &r), 0);
        if (strcmp(r.pool->config->name, cases[i].pool) != 0)
            fail_msg("case %zu: %s instead of %s", i, r.pool->config->name, cases[i].pool);
        assert_int_equal(r.member != NULL, cases[i].is_member);
        assert_string_equal(r.reason, "auth server");
        route_fini(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_default, setup, teardown),
        cmocka_unit_test_setup_teardown(test_routes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lost_pins, setup, teardown),
        cmocka_unit_test_setup_teardown(test_auth_server, setup, teardown),
        cmocka_unit_test_setup_teardown(test_governing_pool, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
