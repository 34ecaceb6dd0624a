/* SPDX-License-Identifier: ISC */
/* Health checks: rise and fall, protocols on their own, what is checked and when, certificates,
 * test logins, reloads, checks by hand. */
#include <sys/resource.h>

#include "backend/check.h"
#include "base/clock.h"
#include "cert.h"
#include "pools_case.h"
#include "script.h"

#define HOUR_MS 3600000

static const struct script_step imap_good[] = {
    S("* OK hi\r\n"),   C("P1 CAPABILITY\r\n"), S("* CAPABILITY IMAP4rev1 IDLE\r\nP1 OK\r\n"),
    C("P4 LOGOUT\r\n"), S("P4 OK\r\n"),         HANG_UP};
static const struct script_step imap_bye[] = {S("* BYE overloaded\r\n"), HANG_UP};
static const struct script_step pop3_good[] = {
    S("+OK hi\r\n"), C("CAPA\r\n"), S("+OK\r\nTOP\r\n.\r\n"), C("QUIT\r\n"), S("+OK\r\n"), HANG_UP};
static const struct script_step hang_up[] = {HANG_UP};

struct bench {
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

static void on_changed(void *arg, struct backend *b)
{
    struct bench *t = arg;
    t->changes += strcmp(b->name, "b1") == 0;
}

static void serve(struct script *s, const struct script_step *steps, size_t n)
{
    s->steps = steps;
    s->n_steps = n;
}

#define SERVE(script, list) serve(script, list, ARRAY_LEN(list))

/* One pool with one backend, an IMAP listener, checks every hour; two good servers. */
static int setup(void **state)
{
    static struct bench bench;
    struct bench *t = *state = &bench;
    const struct resolver_spec spec = {.timeout_ms = 2000};
    *t = (struct bench){0};
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
    t->pool->check.interval_ms = HOUR_MS;
    t->pool->check.timeout_ms = 10000;
    struct config_backend *b = pools_case_member(t->pool, "b1", "127.0.0.1", 100);
    b->ports[PROTO_IMAP] = t->imap.port;
    b->ports[PROTO_POP3] = t->pop3.port;
    (void)pools_case_listener(&t->c, "imap", &proto_imap, NULL);
    assert_int_equal(checks_new(t->loop, t->resolver, on_changed, t, &t->checks), 0);
    return 0;
}

static int teardown(void **state)
{
    struct bench *t = *state;
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

static void configure(struct bench *t, const struct pool_edit *edits, size_t n)
{
    struct pools *p = pools_case_build(&t->c, edits, n);
    pools_unref(t->pools);
    t->pools = p;
    t->b1 = pools_case_backend(p, "b1");
    checks_configure(t->checks, p);
}

static void on_result(void *arg, const struct check_result *r)
{
    struct bench *t = arg;
    assert_false(t->is_answered);
    t->is_answered = true;
    t->result = *r;
    assert_true(str_copy(t->text, sizeof(t->text), str_of(r->text)));
}

static bool is_answered(void *arg)
{
    return ((struct bench *)arg)->is_answered;
}

/* One check by hand, from its begin to its end. */
static enum back_failure check(struct bench *t)
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
static void configure_and_check(struct bench *t)
{
    configure(t, NULL, 0);
    (void)check(t);
}

static bool is_known(void *arg)
{
    return ((struct bench *)arg)->b1->health != BACKEND_UNKNOWN;
}

/* The first finding comes by itself. */
static void configure_and_wait(struct bench *t)
{
    configure(t, NULL, 0);
    run_until(t->loop, is_known, t);
}

static void expect_reason(const struct bench *t, const char *want)
{
    char reason[BACKEND_REASON_MAX];
    backend_reason(t->b1, reason);
    assert_string_equal(reason, want);
}

/* ---- findings ---- */

static void test_first_good(void **state)
{
    struct bench *t = *state;
    char caps[BACKEND_CAPS_MAX];
    uint64_t before = clock_wall_ms();
    configure(t, NULL, 0);
    assert_true(t->b1->is_checked);
    run_until(t->loop, is_known, t);
    assert_int_equal(t->b1->health, BACKEND_UP);
    assert_int_equal(t->changes, 1);
    assert_int_equal(t->b1->up_since_ms, 0);
    assert_true(t->b1->last_check_ms >= before);
    assert_true(t->b1->check_us > 0);
    backend_capabilities(t->b1, PROTO_IMAP, caps);
    assert_string_equal(caps, "IMAP4rev1 IDLE");
    expect_reason(t, "");
    assert_int_equal(t->pop3.connections, 0); /* nobody speaks it here */
}

static void test_first_bad(void **state)
{
    struct bench *t = *state;
    SERVE(&t->imap, imap_bye);
    configure_and_wait(t);
    assert_int_equal(t->b1->health, BACKEND_DOWN);
    assert_int_equal(t->changes, 1);
    assert_int_equal(t->imap.connections, 1);
    expect_reason(t, "imap: greeting: overloaded");
}

static void test_fall_and_rise(void **state)
{
    struct bench *t = *state;
    configure_and_check(t);
    SERVE(&t->imap, imap_bye);
    for (unsigned i = 1; i < 3; i++) {
        assert_int_equal(check(t), BACK_FAIL_BYE);
        assert_string_equal(t->text, "imap: greeting: overloaded");
        assert_int_equal(t->b1->health, BACKEND_UP);
    }
    SERVE(&t->imap, imap_good); /* one good check begins the row anew */
    assert_int_equal(check(t), BACK_FAIL_NONE);
    SERVE(&t->imap, imap_bye);
    for (unsigned i = 1; i < 3; i++)
        (void)check(t);
    assert_int_equal(t->b1->health, BACKEND_UP);
    (void)check(t);
    assert_int_equal(t->b1->health, BACKEND_DOWN);
    assert_int_equal(t->changes, 2);
    SERVE(&t->imap, imap_good);
    assert_int_equal(check(t), BACK_FAIL_NONE);
    assert_int_equal(t->b1->health, BACKEND_DOWN);
    assert_int_equal(check(t), BACK_FAIL_NONE);
    assert_int_equal(t->b1->health, BACKEND_UP);
    assert_true(t->b1->up_since_ms > 0);
    assert_int_equal(t->changes, 3);
    expect_reason(t, "");
}

/* A check without a descriptor finds nothing: neither the first one nor later ones, which break no
 * row either. */
static void test_shortage(void **state)
{
    struct bench *t = *state;
    struct rlimit all, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
    none = (struct rlimit){.rlim_cur = 3, .rlim_max = all.rlim_max};
    configure(t, NULL, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(check(t), BACK_FAIL_SHORTAGE);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
    assert_int_equal(t->b1->health, BACKEND_UNKNOWN);
    assert_int_equal(t->b1->down_protocols, 0);
    assert_non_null(strstr(t->text, "this machine lacks"));
    assert_int_equal(check(t), BACK_FAIL_NONE);
    assert_int_equal(t->b1->health, BACKEND_UP);
    SERVE(&t->imap, imap_bye);
    (void)check(t);
    (void)check(t);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_int_equal(check(t), BACK_FAIL_SHORTAGE);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
    assert_int_equal(t->b1->health, BACKEND_UP);
    (void)check(t);
    assert_int_equal(t->b1->health, BACKEND_DOWN);
}

/* One dead protocol leaves the others to the users. */
static void test_protocols(void **state)
{
    struct bench *t = *state;
    (void)pools_case_listener(&t->c, "pop3", &proto_pop3, NULL);
    configure_and_check(t);
    assert_int_equal(t->b1->down_protocols, 0);
    SERVE(&t->pop3, hang_up);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(check(t), BACK_FAIL_CLOSED);
    assert_int_equal(t->b1->health, BACKEND_UP);
    assert_int_equal(t->b1->down_protocols, 1u << PROTO_POP3);
    expect_reason(t, "pop3: greeting: the server closed the connection");
    assert_non_null(strstr(t->text, "imap: ok"));
    assert_non_null(strstr(t->text, "pop3: greeting: the server closed the connection"));
    assert_int_equal(t->changes, 2);
    SERVE(&t->imap, imap_bye);
    for (unsigned i = 0; i < 3; i++)
        (void)check(t);
    assert_int_equal(t->b1->health, BACKEND_DOWN);
    SERVE(&t->pop3, pop3_good);
    (void)check(t);
    assert_int_equal(t->b1->health, BACKEND_DOWN);
    (void)check(t);
    assert_int_equal(t->b1->health, BACKEND_UP);
    assert_int_equal(t->b1->down_protocols, 1u << PROTO_IMAP);
}

/* Logins on other threads may find it down first: that is told, and good checks must follow. */
static bool has_fallen(void *arg)
{
    return ((struct bench *)arg)->changes == 2;
}

static void test_logins_find_it_down(void **state)
{
    struct bench *t = *state;
    configure_and_check(t);
    for (unsigned i = 0; i < 3; i++)
        (void)backend_note_login(t->b1, &(struct backend_login){.failure = BACK_FAIL_TIMEOUT,
                                                                .fall = 3,
                                                                .now_ms = loop_now_ms(t->loop),
                                                                .wall_ms = 1,
                                                                .message = "slow"});
    assert_int_equal(t->changes, 1);
    run_until(t->loop, has_fallen, t);
    assert_int_equal(check(t), BACK_FAIL_NONE);
    assert_int_equal(t->b1->health, BACKEND_DOWN);
    assert_int_equal(check(t), BACK_FAIL_NONE);
    assert_int_equal(t->b1->health, BACKEND_UP);
}

/* ---- by the clock ---- */

static bool is_down(void *arg)
{
    return ((struct bench *)arg)->b1->health == BACKEND_DOWN;
}

static bool is_up(void *arg)
{
    return ((struct bench *)arg)->b1->health == BACKEND_UP;
}

static void test_interval(void **state)
{
    struct bench *t = *state;
    t->pool->check.interval_ms = 1;
    configure_and_wait(t);
    unsigned before = t->imap.connections;
    SERVE(&t->imap, imap_bye);
    run_until(t->loop, is_down, t);
    assert_true(t->imap.connections >= before + 3);
    before = t->imap.connections;
    SERVE(&t->imap, imap_good);
    run_until(t->loop, is_up, t);
    assert_true(t->imap.connections >= before + 2);
}

static void test_timeout(void **state)
{
    struct bench *t = *state;
    serve(&t->imap, NULL, 0);
    t->pool->check.timeout_ms = 50;
    configure_and_check(t);
    assert_int_equal(t->b1->health, BACKEND_DOWN);
    expect_reason(t, "imap: greeting: timed out");
}

static bool has_checked_again(void *arg)
{
    return ((struct bench *)arg)->imap.connections >= 3;
}

static unsigned looks;

static bool has_looked_long(void *arg)
{
    (void)arg;
    return ++looks > 700; /* of 2 ms at least */
}

/* What an operator took out is left alone until it is taken back in; by hand it can be checked. */
static void test_disabled(void **state)
{
    struct bench *t = *state;
    configure_and_check(t);
    t->pool->check.interval_ms = 1;
    backend_set_admin(t->b1, BACKEND_DISABLED, 1, NULL);
    configure(t, NULL, 0);
    looks = 0;
    run_until(t->loop, has_looked_long, t);
    assert_int_equal(t->imap.connections, 1);
    SERVE(&t->imap, imap_bye);
    assert_int_equal(check(t), BACK_FAIL_BYE);
    assert_int_equal(t->imap.connections, 2);
    backend_set_admin(t->b1, BACKEND_READY, 1, NULL);
    run_until(t->loop, has_checked_again, t);
    backend_set_admin(t->b1, BACKEND_DRAIN, 1, NULL); /* a drained one is still checked */
    run_until(t->loop, is_down, t);
}

static void test_off(void **state)
{
    struct bench *t = *state;
    t->pool->check.is_on = false;
    configure(t, NULL, 0);
    looks = 0;
    run_until(t->loop, has_looked_long, t);
    assert_int_equal(t->imap.connections, 0);
    assert_false(t->b1->is_checked);
    assert_int_equal(check(t), BACK_FAIL_NONE); /* by hand one finding is enough */
    assert_int_equal(t->b1->health, BACKEND_UP);
    SERVE(&t->imap, imap_bye);
    assert_int_equal(check(t), BACK_FAIL_BYE);
    assert_int_equal(t->b1->health, BACKEND_DOWN);
    assert_int_equal(t->b1->down_protocols, 0);
    SERVE(&t->imap, imap_good);
    assert_int_equal(check(t), BACK_FAIL_NONE);
    assert_int_equal(t->b1->health, BACKEND_UP);
}

/* ---- which protocols ---- */

/* Listeners and routes as "name proto [pool]" and "listener proto domain pool", '-' = any; which of
 * the two servers then hear from a check of a backend in pool "main" and in pool "other". */
static void test_used_protocols(void **state)
{
    static const struct {
        struct config_listener listeners[3];
        size_t n_listeners;
        struct config_route routes[3];
        size_t n_routes;
        const char *main_pool, *other;
    } rows[] = {
        {{{.name = "i", .proto = &proto_imap}}, 1, {{0}}, 0, "i", "i"},
        {{{.name = "i", .proto = &proto_imap}, {.name = "p", .proto = &proto_pop3}},
         2,
         {{0}},
         0,
         "ip",
         "ip"},
        {{{.name = "i", .proto = &proto_imap},
          {.name = "p", .proto = &proto_pop3, .pool = "other"}},
         2,
         {{0}},
         0,
         "i",
         "p"},
        /* a route that takes all of a listener leaves nothing for the default */
        {{{.name = "i", .proto = &proto_imap}, {.name = "p", .proto = &proto_pop3}},
         2,
         {{.listener = "p", .pool = "other"}},
         1,
         "i",
         "p"},
        {{{.name = "i", .proto = &proto_imap}, {.name = "p", .proto = &proto_pop3}},
         2,
         {{.proto = &proto_pop3, .pool = "other"}},
         1,
         "i",
         "p"},
        /* a route for some of the users does */
        {{{.name = "i", .proto = &proto_imap}, {.name = "p", .proto = &proto_pop3}},
         2,
         {{.domain = "a.test", .listener = "p", .pool = "other"}},
         1,
         "ip",
         "p"},
        {{{.name = "i", .proto = &proto_imap}, {.name = "p", .proto = &proto_pop3}},
         2,
         {{.listener = "p", .pool = "main"}, {.user = "x*", .pool = "other"}},
         2,
         "ip",
         "i"},
    };
    struct bench *t = *state;
    struct config_pool *other = pools_case_add(&t->c, "other", BALANCE_USER);
    struct config_backend *b = pools_case_member(other, "o1", "127.0.0.1", 100);
    memcpy(b->ports, t->pool->backends[0].ports, sizeof(b->ports));
    t->pool->check.is_on = false;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (int is_other = 0; is_other < 2; is_other++) {
            t->c.config.listeners = (struct config_listener *)rows[i].listeners;
            t->c.config.n_listeners = rows[i].n_listeners;
            t->c.config.routes = (struct config_route *)rows[i].routes;
            t->c.config.n_routes = rows[i].n_routes;
            configure(t, NULL, 0);
            t->imap.connections = t->pop3.connections = 0;
            t->is_answered = false;
            assert_int_equal(check_now(t->checks, NULL, is_other ? "o1" : "b1", on_result, t), 0);
            run_until(t->loop, is_answered, t);
            const char *want = is_other ? rows[i].other : rows[i].main_pool;
            if (t->imap.connections != (strchr(want, 'i') != NULL) ||
                t->pop3.connections != (strchr(want, 'p') != NULL))
                fail_msg("row %zu: want %s, got %u imap %u pop3", i, want, t->imap.connections,
                         t->pop3.connections);
        }
}

static void test_no_listener(void **state)
{
    struct bench *t = *state;
    t->c.config.n_listeners = 0;
    configure(t, NULL, 0);
    assert_false(t->b1->is_checked);
    assert_int_equal(check_now(t->checks, NULL, "b1", on_result, t), -ERR_UNSUPPORTED);
    assert_int_equal(check_now(t->checks, NULL, "b2", on_result, t), -ERR_NO_BACKEND);
    assert_int_equal(check_now(t->checks, "other", "b1", on_result, t), -ERR_NO_BACKEND);
    assert_false(t->is_answered);
}

/* ---- TLS, logins, headers ---- */

static void test_certificate(void **state)
{
    static const unsigned char ip[] = {127, 0, 0, 1};
    static const struct script_step steps[] = {
        START_TLS,      S("* OK hi\r\n"),   C("P1 CAPABILITY\r\n"),
        S("P1 OK\r\n"), C("P4 LOGOUT\r\n"), S("P4 OK\r\n")};
    struct bench *t = *state;
    struct cert cert, expired;
    cert_make(&cert, "mail.test", ip, 20);
    cert_make(&expired, "mail.test", ip, 0); /* ended yesterday */
    struct tls_server *good = cert_server(&cert), *bad = cert_server(&expired);
    t->imap.tls = good;
    SERVE(&t->imap, steps);
    t->pool->tls = BACK_TLS_IMPLICIT;
    t->pool->is_verified = true;
    t->pool->ca_file = cert.path;
    configure_and_check(t);
    assert_int_equal(t->b1->health, BACKEND_UP);
    assert_int_equal(backend_cert_expires(t->b1), cert.expires);
    assert_int_equal(check(t), BACK_FAIL_NONE); /* resumed: it is known still */
    assert_int_equal(backend_cert_expires(t->b1), cert.expires);
    t->imap.tls = bad;
    assert_int_equal(check(t), BACK_FAIL_TLS);
    assert_true(str_is_prefix(str_of(t->text), STR("imap: tls: ")));
    tls_server_unref(good);
    tls_server_unref(bad);
    cert_remove(&cert);
    cert_remove(&expired);
}

/* The first end counts, whichever protocol was checked last; without TLS there is none. */
static void test_certificates(void **state)
{
    static const unsigned char ip[] = {127, 0, 0, 1};
    static const struct script_step imap_tls[] = {
        START_TLS,      S("* OK hi\r\n"),   C("P1 CAPABILITY\r\n"),
        S("P1 OK\r\n"), C("P4 LOGOUT\r\n"), S("P4 OK\r\n")};
    static const struct script_step pop3_tls[] = {START_TLS,     S("+OK hi\r\n"),
                                                  C("CAPA\r\n"), S("+OK\r\nTOP\r\n.\r\n"),
                                                  C("QUIT\r\n"), S("+OK\r\n")};
    struct bench *t = *state;
    struct cert sooner, later;
    cert_make(&sooner, "mail.test", ip, 5);
    cert_make(&later, "mail.test", ip, 50);
    struct tls_server *imap = cert_server(&sooner), *pop3 = cert_server(&later);
    (void)pools_case_listener(&t->c, "pop3", &proto_pop3, NULL);
    t->imap.tls = imap;
    t->pop3.tls = pop3;
    SERVE(&t->imap, imap_tls);
    SERVE(&t->pop3, pop3_tls);
    t->pool->backends[0].tls = BACKEND_TLS_IMPLICIT;
    configure_and_check(t);
    assert_int_equal(check(t), BACK_FAIL_NONE);
    assert_int_equal(t->b1->cert_expires[PROTO_IMAP], sooner.expires);
    assert_int_equal(t->b1->cert_expires[PROTO_POP3], later.expires);
    assert_int_equal(backend_cert_expires(t->b1), sooner.expires);
    SERVE(&t->imap, imap_good);
    SERVE(&t->pop3, pop3_good);
    struct pool_edit edit = {
        .pool = "main", .name = "b1", .weight = -1, .has_tls = true, .tls = BACKEND_TLS_OFF};
    configure(t, &edit, 1);
    assert_int_equal(check(t), BACK_FAIL_NONE);
    assert_int_equal(backend_cert_expires(t->b1), 0);
    tls_server_unref(imap);
    tls_server_unref(pop3);
    cert_remove(&sooner);
    cert_remove(&later);
}

static void test_login(void **state)
{
    static const struct script_step good[] = {
        S("* OK [CAPABILITY IMAP4rev1] hi\r\n"), C("P3 LOGIN \"probe\" \"secret\"\r\n"),
        S("P3 OK in\r\n"), C("P4 LOGOUT\r\n"), S("P4 OK\r\n")};
    static const struct script_step bad[] = {S("* OK [CAPABILITY IMAP4rev1] hi\r\n"),
                                             C("P3 LOGIN \"probe\" \"secret\"\r\n"),
                                             S("P3 NO [AUTHENTICATIONFAILED] no\r\n")};
    char path[] = "/tmp/mailproxy-check-XXXXXX";
    struct bench *t = *state;
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "secret\n", 7), 7);
    close(fd);
    t->pool->check.user = "probe";
    t->pool->check.password_file = path;
    SERVE(&t->imap, good);
    configure_and_check(t);
    (void)unlink(path);
    assert_int_equal(t->b1->health, BACKEND_UP);
    SERVE(&t->imap, bad);
    assert_int_equal(check(t), BACK_FAIL_AUTH);
    assert_string_equal(t->text, "imap: auth: [AUTHENTICATIONFAILED] no");
}

/* A mail server that trusts us need not offer AUTH: the check logs in where logins do. */
static void test_login_at_smtp(void **state)
{
    static const struct script_step trusting[] = {
        S("220 mx\r\n"), C("EHLO proxy.test\r\n"), S("250-mx\r\n250 8BITMIME\r\n"),
        C("QUIT\r\n"),   S("221 bye\r\n"),         HANG_UP};
    static const struct script_step judging[] = {S("220 mx\r\n"), C("EHLO proxy.test\r\n"),
                                                 S("250-mx\r\n250 8BITMIME\r\n")};
    char path[] = "/tmp/mailproxy-check-XXXXXX";
    struct bench *t = *state;
    struct config_auth judge = {.type = AUTH_TYPE_BACKEND};
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "secret\n", 7), 7);
    close(fd);
    t->c.config.n_listeners = 0;
    (void)pools_case_listener(&t->c, "mx", &proto_smtp, NULL);
    t->pool->check.user = "probe";
    t->pool->check.password_file = path;
    t->pool->backends[0].ports[PROTO_SMTP] = t->imap.port;
    SERVE(&t->imap, trusting);
    configure_and_check(t);
    assert_int_equal(t->b1->health, BACKEND_UP);
    SERVE(&t->imap, judging);
    t->pool->smtp_auth = CONFIG_SMTP_AUTH_ON;
    assert_int_equal(check(t), BACK_FAIL_NO_MECHANISM);
    t->pool->smtp_auth = CONFIG_SMTP_AUTH_OFF;
    t->c.config.auths = &judge;
    t->c.config.n_auths = 1;
    assert_int_equal(check(t), BACK_FAIL_NO_MECHANISM);
    (void)unlink(path);
}

static void test_proxy_header(void **state)
{
    static const struct script_step steps[] = {C("PROXY UNKNOWN\r\n"), S("* OK hi\r\n"),
                                               C("P1 CAPABILITY\r\n"), S("P1 OK\r\n"),
                                               C("P4 LOGOUT\r\n"),     S("P4 OK\r\n")};
    struct bench *t = *state;
    t->pool->forward = FORWARD_PROXY_V1;
    SERVE(&t->imap, steps);
    configure_and_check(t);
    assert_int_equal(t->b1->health, BACKEND_UP);
}

/* ---- reloads ---- */

static bool has_begun(void *arg)
{
    return ((struct bench *)arg)->imap.connections > 0;
}

/* What was found stays with the name; what ran goes on. */
static void test_reload_keeps(void **state)
{
    struct bench *t = *state;
    configure_and_check(t);
    SERVE(&t->imap, imap_bye);
    (void)check(t);
    (void)check(t);
    struct pool_edit edit = {.pool = "main", .name = "b1", .weight = 5};
    configure(t, &edit, 1);
    assert_int_equal(t->b1->health, BACKEND_UP);
    (void)check(t); /* the third in a row */
    assert_int_equal(t->b1->health, BACKEND_DOWN);
    serve(&t->imap, NULL, 0);
    t->imap.connections = 0;
    t->is_answered = false;
    assert_int_equal(check_now(t->checks, NULL, "b1", on_result, t), 0);
    run_until(t->loop, has_begun, t);
    configure(t, NULL, 0);
    script_close(&t->imap);
    conn_close(&t->imap.conn);
    run_until(t->loop, is_answered, t);
    assert_int_equal(t->result.failure, BACK_FAIL_CLOSED);
    assert_int_equal(t->imap.connections, 1);
}

/* A check of an address that is no longer the backend's begins anew at the new one. */
static void test_reload_moves(void **state)
{
    struct bench *t = *state;
    struct script other = {0};
    SERVE(&other, imap_good);
    script_start(&other, t->loop);
    serve(&t->imap, NULL, 0);
    configure(t, NULL, 0);
    t->is_answered = false;
    assert_int_equal(check_now(t->checks, "main", "b1", on_result, t), 0);
    run_until(t->loop, has_begun, t);
    struct pool_edit edit = {
        .pool = "main", .name = "b1", .weight = -1, .ports = {[PROTO_IMAP] = other.port}};
    configure(t, &edit, 1);
    run_until(t->loop, is_answered, t);
    assert_int_equal(t->result.failure, BACK_FAIL_NONE);
    assert_int_equal(other.connections, 1);
    assert_int_equal(t->b1->health, BACKEND_UP);
    script_stop(&other);
}

static void test_removed_while_checked(void **state)
{
    struct bench *t = *state;
    serve(&t->imap, NULL, 0);
    configure(t, NULL, 0);
    assert_int_equal(check_now(t->checks, NULL, "b1", on_result, t), 0);
    run_until(t->loop, has_begun, t);
    struct pool_edit edit = {.pool = "main", .name = "b1", .weight = -1, .is_removed = true};
    struct pools *p = pools_case_build(&t->c, &edit, 1);
    checks_configure(t->checks, p);
    pools_unref(p);
    assert_true(t->is_answered);
    assert_int_equal(t->result.err, -ERR_NO_BACKEND);
    assert_false(t->b1->is_checked);
    assert_int_equal(check_now(t->checks, NULL, "b1", on_result, t), -ERR_NO_BACKEND);
}

static void test_turned_off(void **state)
{
    struct bench *t = *state;
    (void)pools_case_listener(&t->c, "pop3", &proto_pop3, NULL);
    SERVE(&t->pop3, hang_up);
    configure_and_check(t);
    for (unsigned i = 0; i < 3; i++)
        (void)check(t);
    assert_int_equal(t->b1->down_protocols, 1u << PROTO_POP3);
    t->pool->check.is_on = false;
    configure(t, NULL, 0);
    assert_false(t->b1->is_checked);
    assert_int_equal(t->b1->down_protocols, 0);
}

/* ---- by hand ---- */

static unsigned answers;

static void count_answer(void *arg, const struct check_result *r)
{
    answers += r->err == *(int *)arg;
}

static bool are_three(void *arg)
{
    (void)arg;
    return answers == 3;
}

static void test_joined(void **state)
{
    struct bench *t = *state;
    int want = 0;
    answers = 0;
    t->pool->check.is_on = false;
    configure(t, NULL, 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(check_now(t->checks, NULL, "b1", count_answer, &want), 0);
    run_until(t->loop, are_three, NULL);
    assert_int_equal(t->imap.connections, 1);
}

static void test_shutdown(void **state)
{
    struct bench *t = *state;
    int want = -ERR_SHUTDOWN;
    answers = 0;
    configure(t, NULL, 0);
    assert_int_equal(check_now(t->checks, NULL, "b1", count_answer, &want), 0);
    assert_int_equal(check_now(t->checks, NULL, "b1", count_answer, &want), 0);
    checks_free(STEAL(t->checks));
    assert_int_equal(answers, 2);
    checks_free(NULL);
}

/* ---- shared with other proxies ---- */

static unsigned n_asked, n_well, n_ill;

static bool on_ask(void *arg, const char *pool, const char *backend, enum proto_id proto,
                   uint64_t interval_ms)
{
    struct bench *t = arg;
    assert_string_equal(pool, "main");
    assert_string_equal(backend, "b1");
    assert_int_equal(proto, PROTO_IMAP);
    assert_int_equal(interval_ms, t->pool->check.interval_ms);
    n_asked++;
    return true;
}

static void on_tell(void *arg, const char *pool, const char *backend, enum proto_id proto,
                    uint64_t interval_ms, const struct check_finding *f)
{
    (void)arg;
    (void)pool;
    (void)backend;
    (void)proto;
    (void)interval_ms;
    n_well += f != NULL;
    n_ill += f == NULL;
    if (f) {
        assert_string_equal(f->by, "px1");
        assert_string_equal(f->capabilities, "IMAP4rev1 IDLE");
    }
}

static bool is_asked(void *arg)
{
    (void)arg;
    return n_asked > 0;
}

static void wait_for_ask(struct bench *t)
{
    n_asked = 0;
    run_until(t->loop, is_asked, t);
}

static bool is_told_well(void *arg)
{
    (void)arg;
    return n_well > 0;
}

static bool is_told_ill(void *arg)
{
    (void)arg;
    return n_ill >= 3;
}

static unsigned n_connections;

static bool has_connected(void *arg)
{
    return ((struct bench *)arg)->imap.connections > n_connections;
}

static void test_shared(void **state)
{
    struct bench *t = *state;
    struct check_sharing sharing = {.arg = t, .name = "px1", .ask = on_ask, .tell = on_tell};
    struct check_finding found = {
        .by = "px2", .number = 5, .took_us = 1500, .capabilities = "IMAP4rev1 ID"};
    char text[BACKEND_CAPS_MAX], by[BACKEND_BY_MAX];
    n_well = n_ill = 0;
    t->pool->check.interval_ms = 1;
    checks_share(t->checks, &sharing);
    configure(t, NULL, 0);
    wait_for_ask(t);
    /* what another one found counts as one's own */
    checks_heard(t->checks, "main", "b1", PROTO_IMAP, &found);
    assert_int_equal(t->b1->health, BACKEND_UP);
    assert_int_equal(t->b1->check_us, 1500);
    backend_capabilities(t->b1, PROTO_IMAP, text);
    assert_string_equal(text, "IMAP4rev1 ID");
    backend_checked_by(t->b1, by);
    assert_string_equal(by, "px2");
    assert_int_equal(t->imap.connections, 0);
    /* nobody has asked: nothing happens */
    checks_heard(t->checks, "main", "b1", PROTO_IMAP, NULL);
    checks_heard(t->checks, "main", "b1", PROTO_POP3, &found);
    checks_heard(t->checks, "main", "b9", PROTO_IMAP, &found);
    assert_int_equal(t->imap.connections, 0);
    /* an older finding is none, and nobody knows one: it is checked here, and told */
    wait_for_ask(t);
    found.number = 4;
    checks_heard(t->checks, "main", "b1", PROTO_IMAP, &found);
    run_until(t->loop, is_told_well, t);
    backend_checked_by(t->b1, by);
    assert_string_equal(by, "px1");
    assert_int_equal(n_ill, 0);
    /* who finds it ill does not ask again before it is well */
    wait_for_ask(t);
    SERVE(&t->imap, imap_bye);
    checks_heard(t->checks, "main", "b1", PROTO_IMAP, NULL);
    n_asked = 0;
    run_until(t->loop, is_down, t);
    run_until(t->loop, is_told_ill, t);
    assert_int_equal(n_asked, 0);
    SERVE(&t->imap, imap_good);
    run_until(t->loop, is_up, t);
    /* the others are gone while one waits for their answer: each for itself */
    wait_for_ask(t);
    checks_share(t->checks, NULL);
    n_well = 0;
    n_connections = t->imap.connections;
    run_until(t->loop, has_connected, t);
    assert_int_equal(n_well, 0);
}

#define CHECK_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CHECK_TEST(test_first_good),     CHECK_TEST(test_first_bad),
        CHECK_TEST(test_fall_and_rise),  CHECK_TEST(test_shortage),
        CHECK_TEST(test_protocols),      CHECK_TEST(test_logins_find_it_down),
        CHECK_TEST(test_interval),       CHECK_TEST(test_timeout),
        CHECK_TEST(test_disabled),       CHECK_TEST(test_off),
        CHECK_TEST(test_used_protocols), CHECK_TEST(test_no_listener),
        CHECK_TEST(test_certificate),    CHECK_TEST(test_certificates),
        CHECK_TEST(test_login),          CHECK_TEST(test_login_at_smtp),
        CHECK_TEST(test_proxy_header),   CHECK_TEST(test_reload_keeps),
        CHECK_TEST(test_reload_moves),   CHECK_TEST(test_removed_while_checked),
        CHECK_TEST(test_turned_off),     CHECK_TEST(test_joined),
        CHECK_TEST(test_shutdown),       CHECK_TEST(test_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
