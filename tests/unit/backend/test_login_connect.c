/* SPDX-License-Identifier: ISC */
/* The way to a mail server: addresses in turn, UNIX sockets, source addresses, PROXY headers, and
 * logins that their owner gives up. */
#include "rig.h"

#include <event2/dns.h>
#include <event2/dns_struct.h>
#include <poll.h>

#define IN S("* OK hi\r\n"), C("P3 LOGIN \"joe\" \"secret\"\r\n"), S("P3 OK Logged in\r\n")

static const struct script_step imap_steps[] = {IN};
static const struct script_step starttls_steps[] = {S("* OK hi\r\n"),
                                                    C("P0 STARTTLS\r\n"),
                                                    S("P0 OK go\r\n"),
                                                    START_TLS,
                                                    C("P3 LOGIN \"joe\" \"secret\"\r\n"),
                                                    S("P3 OK Logged in\r\n")};

static void serve(struct rig *r)
{
    rig_serve(r, &proto_imap, BACK_TLS_OFF, imap_steps, ARRAY_LEN(imap_steps));
}

/* ---- names ---- */

/* A name server for ".test". */
struct names {
    struct evdns_server_port *port;
    int fd;
};

static const struct name_row {
    const char *name;
    const char *v4[3], *v6[2];
} name_rows[] = {
    {"one.test", {"127.0.0.1"}, {0}},
    {"two.test", {"127.0.0.9", "127.0.0.1"}, {0}},
    {"mixed.test", {"127.0.0.9", "127.0.0.1"}, {"::1"}},
    {"v6.test", {0}, {"::1"}},
    {"deaf.test", {"127.0.0.9"}, {0}},
    {"silent.test", {0}, {0}}, /* gets no answer */
};

static void names_add(struct evdns_server_request *req, const struct name_row *row,
                      const struct evdns_server_question *q)
{
    bool is_v4 = q->type == EVDNS_TYPE_A;
    const char *const *texts = is_v4 ? row->v4 : row->v6;
    for (size_t i = 0; i < (is_v4 ? 3 : 2) && texts[i]; i++) {
        unsigned char ip[16];
        assert_int_equal(inet_pton(is_v4 ? AF_INET : AF_INET6, texts[i], ip), 1);
        assert_int_equal(is_v4 ? evdns_server_request_add_a_reply(req, q->name, 1, ip, 60)
                               : evdns_server_request_add_aaaa_reply(req, q->name, 1, ip, 60),
                         0);
    }
}

static void on_question(struct evdns_server_request *req, void *arg)
{
    const struct name_row *found = NULL;
    (void)arg;
    for (int i = 0; i < req->nquestions; i++)
        for (size_t j = 0; j < ARRAY_LEN(name_rows); j++)
            if (strcasecmp(req->questions[i]->name, name_rows[j].name) == 0) {
                found = &name_rows[j];
                names_add(req, found, req->questions[i]);
            }
    if (found && strcmp(found->name, "silent.test") == 0)
        assert_int_equal(evdns_server_request_drop(req), 0);
    else
        assert_int_equal(evdns_server_request_respond(req, found ? 0 : DNS_ERR_NOTEXIST), 0);
}

/* The resolver asks this name server alone from now on. */
static void names_start(struct names *n, struct rig *r)
{
    struct sockaddr_in sin = {.sin_family = AF_INET};
    socklen_t len = sizeof(sin);
    char text[32];
    n->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(inet_pton(AF_INET, "127.0.0.1", &sin.sin_addr), 1);
    assert_int_equal(bind(n->fd, (struct sockaddr *)&sin, len), 0);
    assert_int_equal(getsockname(n->fd, (struct sockaddr *)&sin, &len), 0);
    n->port = evdns_add_server_port_with_base(loop_base(r->loop), n->fd, 0, on_question, NULL);
    assert_non_null(n->port);
    snprintf(text, sizeof(text), "127.0.0.1:%u", ntohs(sin.sin_port));
    const char *const servers[] = {text, NULL};
    const struct resolver_spec spec = {.name_servers = servers, .timeout_ms = 5000};
    resolver_free(r->resolver);
    assert_int_equal(resolver_new(r->loop, &spec, &r->resolver), 0);
}

static void names_stop(struct names *n)
{
    evdns_close_server_port(n->port); /* closes the socket too */
}

/* An address whose port answers nothing at all: a listener with a full queue. */
struct deaf {
    int listener, fds[16];
    size_t n;
};

static void deaf_start(struct deaf *d, const char *ip, uint16_t port)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(port)};
    assert_int_equal(inet_pton(AF_INET, ip, &sin.sin_addr), 1);
    d->n = 0;
    d->listener = script_bind(ip, port, NULL);
    assert_int_equal(listen(d->listener, 0), 0);
    for (int ready = 1; ready == 1;) {
        assert_true(d->n < ARRAY_LEN(d->fds));
        int fd = d->fds[d->n++] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (connect(fd, (struct sockaddr *)&sin, sizeof(sin)) == 0)
            continue;
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        ready = poll(&p, 1, 100);
    }
}

static void deaf_stop(struct deaf *d)
{
    for (size_t i = 0; i < d->n; i++)
        close(d->fds[i]);
    close(d->listener);
}

/* ---- addresses ---- */

static void expect_server(const struct rig *r, const char *ip)
{
    char text[ADDR_TEXT_MAX];
    addr_format_ip(text, &r->outcome.server);
    assert_string_equal(text, ip);
    assert_int_equal(r->outcome.server.port, r->spec.port);
}

static void test_refused(void **state)
{
    struct rig *r = *state;
    serve(r);
    script_close(&r->server);
    rig_login(r);
    rig_expect(r, "refused", BACK_FAIL_CONNECT, "connect", "connection refused");
    expect_server(r, "127.0.0.1");
    assert_null(r->outcome.success);
    assert_false(r->outcome.were_credentials_sent);
}

static void test_names(void **state)
{
    static const struct {
        const char *host, *ip; /* NULL = fails */
        const char *step;
    } rows[] = {
        {"one.test", "127.0.0.1", NULL},   {"two.test", "127.0.0.1", NULL},
        {"mixed.test", "127.0.0.1", NULL}, {"v6.test", NULL, "connect"},
        {"deaf.test", NULL, "connect"},    {"none.test", NULL, "resolve"},
    };
    struct rig *r = *state;
    struct names names;
    names_start(&names, r);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        serve(r);
        r->spec.host = rows[i].host;
        rig_login(r);
        if (rows[i].ip) {
            rig_expect(r, rows[i].host, BACK_FAIL_NONE, NULL, NULL);
            expect_server(r, rows[i].ip);
        } else {
            rig_expect(r, rows[i].host, BACK_FAIL_CONNECT, rows[i].step, NULL);
        }
    }
    names_stop(&names);
}

/* An address that says nothing costs its share of the time, then the next one has its turn. */
static void test_deaf_address(void **state)
{
    struct rig *r = *state;
    struct names names;
    struct deaf deaf;
    names_start(&names, r);
    serve(r);
    deaf_start(&deaf, "127.0.0.9", r->server.port);
    r->spec.host = "two.test";
    r->spec.connect_ms = 1200;
    rig_login(r);
    rig_expect(r, "deaf, then good", BACK_FAIL_NONE, NULL, NULL);
    expect_server(r, "127.0.0.1");
    if (rig_is_unconfirmed)
        assert_int_equal(r->outcome.connect_us, 0);
    else
        assert_in_range(r->outcome.connect_us, 600000, 1200000 + 250000);
    serve(r);
    deaf_stop(&deaf);
    deaf_start(&deaf, "127.0.0.9", r->server.port);
    r->spec.host = "deaf.test";
    r->spec.connect_ms = 50;
    rig_login(r);
    rig_expect(r, "deaf alone", BACK_FAIL_TIMEOUT, "connect", "timed out");
    expect_server(r, "127.0.0.9");
    deaf_stop(&deaf);
    names_stop(&names);
}

/* One that is connected to and takes its time to greet is not passed over for the next one. */
static void test_slow_greeting(void **state)
{
    struct rig *r = *state;
    struct names names;
    names_start(&names, r);
    serve(r);
    int listener = script_bind("127.0.0.9", r->server.port, NULL); /* accepts, and says nothing */
    assert_int_equal(listen(listener, 5), 0);
    r->spec.host = "two.test";
    r->spec.connect_ms = 1000;
    r->spec.login_ms = 100;
    rig_login(r);
    rig_expect(r, "no greeting", BACK_FAIL_TIMEOUT, NULL, "timed out");
    assert_string_not_equal(r->outcome.step, "connect");
    expect_server(r, "127.0.0.9");
    close(listener);
    names_stop(&names);
}

static void test_source(void **state)
{
    static const struct {
        const char *host, *source;
        enum back_failure failure;
        const char *step;
    } rows[] = {
        {"one.test", "127.0.0.5", BACK_FAIL_NONE, NULL},
        {"mixed.test", "127.0.0.5", BACK_FAIL_NONE, NULL},
        {"one.test", "::1", BACK_FAIL_CONNECT, "resolve"},
        {"one.test", "192.0.2.1", BACK_FAIL_SHORTAGE, "connect"}, /* not ours */
    };
    struct rig *r = *state;
    struct names names;
    names_start(&names, r);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct addr source, from;
        assert_int_equal(addr_parse(str_of(rows[i].source), &source), 0);
        serve(r);
        r->spec.host = rows[i].host;
        r->spec.source = &source;
        rig_start(r);
        memset(&source, 0x55, sizeof(source)); /* the login has its own copy */
        run_until(r->loop, rig_is_done, r);
        rig_expect(r, rows[i].host, rows[i].failure, rows[i].step, NULL);
        if (rows[i].failure != BACK_FAIL_NONE)
            continue;
        char text[ADDR_TEXT_MAX];
        assert_int_equal(conn_local_addr(&r->conn, &from), 0);
        addr_format_ip(text, &from);
        assert_string_equal(text, rows[i].source);
    }
    names_stop(&names);
}

static void test_unix(void **state)
{
    struct rig *r = *state;
    char folder[] = "/tmp/mailproxy-login-XXXXXX", host[64];
    assert_non_null(mkdtemp(folder));
    snprintf(host, sizeof(host), "unix:%s/s", folder);
    serve(r);
    script_close(&r->server);
    script_start_unix(&r->server, r->loop, host + 5);
    r->spec.host = host;
    rig_login(r);
    rig_expect(r, "unix", BACK_FAIL_NONE, NULL, NULL);
    assert_int_equal(r->outcome.server.family, AF_UNIX);
    (void)unlink(host + 5);
    (void)rmdir(folder);
    serve(r);
    r->spec.host = host;
    rig_login(r);
    rig_expect(r, "no such socket", BACK_FAIL_CONNECT, "connect", NULL);
}

/* ---- PROXY header ---- */

static struct proxyhdr example(void)
{
    struct proxyhdr h = {.tls_version = "TLSv1.3"};
    assert_int_equal(addr_parse(STR("192.0.2.7:4711"), &h.src), 0);
    assert_int_equal(addr_parse(STR("192.0.2.1:143"), &h.dst), 0);
    return h;
}

/* A login behind a header, in clear and with implicit TLS, which begins after the header. */
static void run_proxy(struct rig *r, const struct proxyhdr *h, bool is_v2, struct str want)
{
    const struct script_step plain[] = {{HEAR, want}, IN};
    const struct script_step tls[] = {{HEAR, want}, START_TLS, IN};
    for (int is_tls = 0; is_tls < 2; is_tls++) {
        struct proxyhdr copy = *h;
        rig_serve(r, &proto_imap, is_tls ? BACK_TLS_IMPLICIT : BACK_TLS_OFF, is_tls ? tls : plain,
                  is_tls ? ARRAY_LEN(tls) : ARRAY_LEN(plain));
        r->spec.proxy = &copy;
        r->spec.is_proxy_v2 = is_v2;
        rig_start(r);
        memset(&copy, 0x55, sizeof(copy)); /* the login has its own copy */
        run_until(r->loop, rig_is_done, r);
        if (r->server.failure[0])
            fail_msg("%s", r->server.failure);
        rig_expect(r, "proxy header", BACK_FAIL_NONE, NULL, NULL);
    }
}

static void test_proxy_v1(void **state)
{
    const struct proxyhdr h = example(), local = {.is_local = true};
    run_proxy(*state, &h, false, STR("PROXY TCP4 192.0.2.7 192.0.2.1 4711 143\r\n"));
    run_proxy(*state, &local, false, STR("PROXY UNKNOWN\r\n"));
}

static void test_proxy_v2(void **state)
{
    const struct proxyhdr h = example(), local = {.is_local = true};
    const struct proxyhdr *const headers[] = {&h, &local};
    for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
        AUTO_BUF want = BUF_INIT;
        struct proxyhdr seen;
        size_t n;
        assert_int_equal(proxyhdr_build_v2(headers[i], &want), 0);
        run_proxy(*state, headers[i], true, buf_str(&want));
        assert_int_equal(proxyhdr_parse(buf_str(&want), &seen, &n), 0);
        assert_int_equal(seen.is_local, headers[i]->is_local);
        assert_true(seen.is_local || addr_eq(&seen.src, &h.src));
    }
}

/* ---- given up ---- */

static bool is_gone(void *arg)
{
    return ((struct rig *)arg)->server.is_gone;
}

static bool has_turned(void *arg)
{
    unsigned *turns = arg;
    return ++*turns > 3;
}

static void run_some(struct rig *r)
{
    unsigned turns = 0;
    run_until(r->loop, has_turned, &turns);
}

static void test_cancel_at_once(void **state)
{
    struct rig *r = *state;
    serve(r);
    rig_start(r);
    login_cancel(STEAL(r->login));
    login_cancel(NULL);
    run_some(r);
    assert_false(r->is_done);
    assert_int_equal(r->server.connections, 0);
}

static void test_cancel_lookup(void **state)
{
    struct rig *r = *state;
    struct names names;
    names_start(&names, r);
    serve(r);
    r->spec.host = "silent.test";
    rig_start(r);
    run_some(r);
    login_cancel(STEAL(r->login));
    run_some(r);
    assert_int_equal(r->server.connections, 0);
    assert_false(r->is_done);
    resolver_free(STEAL(r->resolver)); /* its open question ends in the loop's next turn */
    run_some(r);
    names_stop(&names);
}

/* In the words about its own progress. */
static void test_cancel_in_progress(void **state)
{
    static const char *const at[] = {"connect", "login", "tls"};
    struct rig *r = *state;
    for (size_t i = 0; i < ARRAY_LEN(at); i++) {
        rig_serve(r, &proto_imap, BACK_TLS_STARTTLS, starttls_steps, ARRAY_LEN(starttls_steps));
        r->cancel_at = at[i];
        rig_start(r);
        if (i == 0)
            run_some(r);
        else
            run_until(r->loop, is_gone, r);
        assert_null(r->login);
        assert_false(r->is_done);
        assert_int_equal(r->conn.fd, -1);
        assert_int_equal(r->server.connections, i > 0);
        assert_int_equal(r->server.failure[0], '\0');
        assert_int_equal(r->server.heard.len, 0); /* but what the script awaited */
    }
}

static void cancel_now(struct script *s)
{
    struct rig *r = s->arg;
    login_cancel(STEAL(r->login));
}

/* After each step of the server: nothing more is sent, not even what its last words ask for. */
static void test_cancel_at_each_step(void **state)
{
    struct rig *r = *state;
    for (size_t n = 1; n < ARRAY_LEN(starttls_steps); n++) {
        rig_serve(r, &proto_imap, BACK_TLS_STARTTLS, starttls_steps, n);
        if (starttls_steps[n - 1].op ==
            TLS) /* in TLS 1.3 the client is through before the server */
            continue;
        r->server.on_done = cancel_now;
        r->server.arg = r;
        rig_start(r);
        run_until(r->loop, is_gone, r);
        run_some(r);
        assert_false(r->is_done);
        assert_int_equal(r->conn.fd, -1);
        assert_int_equal(r->server.heard.len, 0);
    }
}

struct canceller {
    struct loop_deferred later;
    struct rig *rig;
};

static void on_cancel(struct loop_deferred *d)
{
    struct rig *r = LIST_ITEM(d, struct canceller, later)->rig;
    login_cancel(STEAL(r->login));
}

static void defer_cancel(void *arg, const char *step)
{
    static struct canceller c;
    (void)step;
    c = (struct canceller){.rig = arg, .later = {.fn = on_cancel}};
    list_init(&c.later.link);
    loop_defer(c.rig->loop, &c.later);
}

/* The end is known already, but its owner was not told yet. */
static void test_cancel_before_told(void **state)
{
    struct rig *r = *state;
    serve(r);
    r->spec.host = "unix:/nonexistent/socket"; /* fails while it begins */
    r->spec.progress = defer_cancel;
    rig_start(r);
    run_some(r);
    assert_null(r->login);
    assert_false(r->is_done);
}

/* The same connection object serves the next try, begun where the first one's end is told. */
static void retry(void *arg, struct login_outcome *o)
{
    struct rig *r = arg;
    assert_int_equal(o->failure, BACK_FAIL_CLOSED);
    r->spec.done = rig_on_done;
    r->server.steps = imap_steps;
    r->server.n_steps = ARRAY_LEN(imap_steps);
    assert_int_equal(login_start(&r->spec, &r->login), 0);
}

static void test_retry(void **state)
{
    static const struct script_step steps[] = {S("* OK hi\r\n"), HANG_UP};
    struct rig *r = *state;
    rig_serve(r, &proto_imap, BACK_TLS_OFF, steps, ARRAY_LEN(steps));
    r->spec.done = retry;
    rig_login(r);
    rig_expect(r, "second try", BACK_FAIL_NONE, NULL, NULL);
    assert_int_equal(r->server.connections, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(test_refused),
        RIG_TEST(test_names),
        RIG_TEST(test_deaf_address),
        RIG_TEST(test_slow_greeting),
        RIG_TEST(test_source),
        RIG_TEST(test_unix),
        RIG_TEST(test_proxy_v1),
        RIG_TEST(test_proxy_v2),
        RIG_TEST(test_cancel_at_once),
        RIG_TEST(test_cancel_lookup),
        RIG_TEST(test_cancel_in_progress),
        RIG_TEST(test_cancel_at_each_step),
        RIG_TEST(test_cancel_before_told),
        RIG_TEST(test_retry),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rig_is_unconfirmed = true;
    return failed + cmocka_run_group_tests_name("unconfirmed", tests, NULL, NULL);
}
