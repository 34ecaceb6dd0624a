/* SPDX-License-Identifier: ISC */
/* The HTTP client against servers that fail in every way: each request ends, in time and with
 * little memory, and the next one finds a server that works. */
#include "tests/unit/io/dns_case.h"
#include "tests/unit/io/io_case.h"

#include <malloc.h>
#include <netinet/in.h>

#include "io/conn.h"
#include "io/http/http.h"

#define CONNS_MAX 64
#define OK "HTTP/1.1 200 OK\r\n"
#define EMPTY OK "Content-Length: 0\r\n\r\n"

/* What the server does on each connection, by the order of their coming; the last one stands for
 * all further ones. */
struct script {
    const char *reply;     /* to each request; NULL = silence */
    const char *more;      /* sent again and again after it, as fast as it is taken */
    unsigned trickle_ms;   /* a byte of the reply each so many ms */
    bool closes_at_once;   /* without reading */
    bool closes, resets;   /* after the reply */
    unsigned closes_after; /* so many requests were answered, at the next one, unanswered */
};

struct peer {
    struct conn conn;
    const struct script *script;
    struct loop_timer timer;
    size_t sent; /* of the reply, when it trickles */
    unsigned n_requests;
    char tail[3]; /* the last bytes read */
};

static struct {
    struct event *event;
    int fd;
    struct addr at;
    struct peer peers[CONNS_MAX];
    size_t n_peers;
    const struct script *scripts;
    size_t n_scripts;
    unsigned n_requests;
} site;

static struct loop *loop;
static struct dns_case dns;
static struct resolver *resolver;
static struct http_client *client;

/* As much as the kernel takes; `drained` tells when there is room again. */
static void peer_pour(struct peer *p)
{
    char block[4096];
    size_t n = strlen(p->script->more), len = 0;
    for (; len + n <= sizeof(block); len += n)
        memcpy(block + len, p->script->more, n);
    while (p->conn.fd >= 0 && conn_pending(&p->conn) == 0)
        if (conn_send(&p->conn, block, len) < 0)
            return;
}

static void peer_answer(struct peer *p)
{
    const struct script *s = p->script;
    site.n_requests++;
    if (s->closes_after && p->n_requests++ >= s->closes_after) {
        conn_close(&p->conn);
        return;
    }
    if (!s->reply)
        return;
    if (s->trickle_ms) {
        loop_timer_set(loop, &p->timer, s->trickle_ms);
        return;
    }
    (void)!conn_send(&p->conn, s->reply, strlen(s->reply));
    if (s->more)
        peer_pour(p);
    if (s->resets) {
        const struct linger now = {.l_onoff = 1};
        (void)setsockopt(p->conn.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
        conn_close(&p->conn);
    } else if (s->closes) {
        conn_shutdown(&p->conn);
    }
}

static void peer_readable(struct conn *c)
{
    struct peer *p = c->owner;
    char bytes[4096];
    size_t n;
    int err;
    while (c->fd >= 0 && (err = conn_read(c, bytes, sizeof(bytes), &n)) == 0)
        if (n >= 4 && memcmp(bytes + n - 4, "\r\n\r\n", 4) == 0)
            peer_answer(p);
    if (c->fd >= 0 && err != -ERR_AGAIN)
        conn_close(c);
}

static void peer_drained(struct conn *c)
{
    struct peer *p = c->owner;
    if (p->script->more)
        peer_pour(p);
}

static void peer_tick(struct loop_timer *t)
{
    struct peer *p = CONTAINER_OF(t, struct peer, timer);
    if (p->conn.fd < 0 || !p->script->reply[p->sent])
        return;
    (void)!conn_send(&p->conn, p->script->reply + p->sent++, 1);
    loop_timer_set(loop, &p->timer, p->script->trickle_ms);
}

static const struct conn_ops peer_ops = {.readable = peer_readable, .drained = peer_drained};

static void site_accept(evutil_socket_t fd, short what, void *arg)
{
    int got = accept(fd, NULL, NULL);
    (void)what;
    (void)arg;
    if (got < 0)
        return;
    assert_true(site.n_peers < CONNS_MAX);
    size_t i = site.n_peers++;
    struct peer *p = &site.peers[i];
    p->script = &site.scripts[i < site.n_scripts ? i : site.n_scripts - 1];
    loop_timer_init(&p->timer, peer_tick);
    conn_init(&p->conn, loop, &peer_ops, p);
    if (p->script->closes_at_once) {
        close(got);
        return;
    }
    assert_int_equal(conn_adopt(&p->conn, got), 0);
    conn_want_read(&p->conn, true);
}

static void make(const char *host, const struct http_spec *spec)
{
    char url[80];
    struct http_spec s = *spec;
    snprintf(url, sizeof(url), "http%s://%s:%u/", s.tls ? "s" : "", host, site.at.port);
    s.url = url;
    s.resolver = resolver;
    http_client_free(client);
    assert_int_equal(http_client_new(loop, &s, &client), 0);
}

#define SCRIPTS(...)                                                                               \
    do {                                                                                           \
        static const struct script scripts_[] = {__VA_ARGS__};                                     \
        site.scripts = scripts_;                                                                   \
        site.n_scripts = ARRAY_LEN(scripts_);                                                      \
    } while (0)

static const struct dns_case_row rows[] = {
    {.name = "two.test", .type = DNS_CASE_A, .value = "127.0.0.2"},
    {.name = "two.test", .type = DNS_CASE_A, .value = "127.0.0.1"},
    {.name = "first.test", .type = DNS_CASE_A, .value = "127.0.0.1"},
    {.name = "first.test", .type = DNS_CASE_A, .value = "127.0.0.2"},
};

static int setup(void **state)
{
    memset(&site, 0, sizeof(site));
    client = NULL;
    assert_int_equal(loop_new(NULL, &loop), 0);
    site.fd = io_case_listen(&site.at);
    site.event = event_new(loop_base(loop), site.fd, EV_READ | EV_PERSIST, site_accept, NULL);
    assert_int_equal(event_add(site.event, NULL), 0);
    dns_case_start(&dns, loop, rows, ARRAY_LEN(rows));
    const char *servers[] = {dns.text, NULL};
    const struct resolver_spec spec = {
        .name_servers = servers, .timeout_ms = 5000, .is_ipv6_off = true};
    assert_int_equal(resolver_new(loop, &spec, &resolver), 0);
    make("127.0.0.1", &(struct http_spec){0});
    return 0;
}

static void site_stop(void)
{
    if (site.event)
        event_free(site.event);
    if (site.fd >= 0)
        close(site.fd);
    site.event = NULL;
    site.fd = -1;
}

static int teardown(void **state)
{
    http_client_free(client);
    site_stop();
    for (size_t i = 0; i < site.n_peers; i++) {
        loop_timer_cancel(loop, &site.peers[i].timer);
        conn_close(&site.peers[i].conn);
    }
    resolver_free(resolver);
    dns_case_stop(&dns);
    loop_free(loop);
    return 0;
}

/* ---- requests ---- */

struct answer {
    bool is_here;
    int err;
    unsigned status;
};

static void on_result(void *arg, const struct http_result *r)
{
    struct answer *a = arg;
    *a = (struct answer){.is_here = true, .err = r->err, .status = r->status};
}

static struct answer get(uint64_t timeout_ms)
{
    struct answer a = {0};
    struct http_request *r;
    assert_int_equal(http_get(client, STR("A: 1\r\n"), timeout_ms, on_result, &a, &r), 0);
    io_case_run(loop, io_case_is_true, &a.is_here);
    return a;
}

static void expect(int err)
{
    struct answer a = get(10000);
    if (a.err != err)
        fail_msg("%s instead of %s", err_name(a.err), err_name(err));
}

/* ---- attacks ---- */

/* Bytes without end, of every part of a reply: the request fails, and memory stays. */
static void test_without_end(void **state)
{
    static const struct script scripts[] = {
        {.reply = "HTTP/1.1 200 ", .more = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"},
        {.reply = OK, .more = "A: xxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n"},
        {.reply = OK, .more = "A:\n"},
        {.reply = OK "A: 1", .more = "\r\n xxxxxxxxxxxxxxxxxxxxxxxxxxxxx"},
        {.reply = "HTTP/1.1 100 Go on\r\n\r\n", .more = "HTTP/1.1 100 Go on\r\n\r\n"},
        {.reply = OK "Transfer-Encoding: chunked\r\n\r\n", .more = "1\r\nx\r\n"},
        {.reply = OK "Transfer-Encoding: chunked\r\n\r\n1;", .more = "xxxxxxxxxxxxxxxx"},
        {.reply = OK "Transfer-Encoding: chunked\r\n\r\n0\r\n", .more = "A: xxxxxxxx\r\n"},
        {.reply = OK "Transfer-Encoding: chunked\r\n\r\nfffffff\r\n", .more = "xxxxxxxxxxx"},
    };
    size_t before = mallinfo2().uordblks;
    for (size_t i = 0; i < ARRAY_LEN(scripts); i++) {
        site.scripts = &scripts[i];
        site.n_scripts = 1;
        make("127.0.0.1", &(struct http_spec){0});
        struct answer a = get(20000);
        if (a.err != -ERR_TOO_LONG && a.err != -ERR_PROTOCOL)
            fail_msg("case %zu: %s", i, err_name(a.err));
        io_case_idle(loop, 5);
        assert_true(mallinfo2().uordblks < before + 512 * 1024);
    }
}

/* Whatever follows a whole reply belongs to nobody: it is not the answer to the next request. */
static void test_more_than_asked(void **state)
{
    SCRIPTS({.reply = EMPTY "HTTP/1.1 299 Forged\r\nContent-Length: 0\r\n\r\n"}, {.reply = EMPTY});
    for (int i = 0; i < 3; i++) {
        struct answer a = get(10000);
        assert_int_equal(a.err, 0);
        assert_int_equal(a.status, 200);
    }
    assert_int_equal(site.n_peers, 2);
}

static void test_forged_while_idle(void **state)
{
    SCRIPTS({.reply = EMPTY}, {.reply = EMPTY});
    expect(0);
    const char forged[] = "HTTP/1.1 299 Forged\r\nContent-Length: 0\r\n\r\n";
    assert_int_equal(conn_send(&site.peers[0].conn, forged, strlen(forged)), 0);
    io_case_idle(loop, 30);
    assert_int_equal(get(10000).status, 200);
    assert_int_equal(site.n_peers, 2);
}

/* A byte now and then does not prolong a request. */
static void test_trickle(void **state)
{
    SCRIPTS({.reply = OK "A: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n\r\n",
             .trickle_ms = 20});
    uint64_t start = clock_ms();
    assert_int_equal(get(600).err, -ERR_TIMEOUT);
    assert_true(clock_ms() - start < 5000);
    io_case_idle(loop, 20);
}

static void test_kept_connection_closes(void **state)
{
    /* the second request goes unanswered on the first connection: asked again on a new one */
    SCRIPTS({.reply = EMPTY, .closes_after = 1}, {.reply = EMPTY});
    expect(0);
    expect(0);
    assert_int_equal(site.n_peers, 2);
    assert_int_equal(site.n_requests, 3);
}

/* Once: a server that always hangs up is no reason to ask for ever. */
static void test_asked_again_once(void **state)
{
    SCRIPTS({.reply = EMPTY, .closes_after = 1}, {.closes_at_once = true});
    expect(0);
    struct answer a = get(10000);
    assert_true(a.err == -ERR_PROTOCOL || a.err == -ERR_CLOSED);
    assert_int_equal(site.n_peers, 2);
}

/* A reply that has begun is not asked for anew: the server has counted the login. */
static void test_half_a_reply(void **state)
{
    SCRIPTS({.reply = EMPTY}, {.reply = EMPTY});
    expect(0);
    SCRIPTS({.reply = OK "Content-Le", .closes = true}, {.reply = EMPTY});
    site.peers[0].script = &site.scripts[0];
    expect(-ERR_PROTOCOL);
    assert_int_equal(site.n_peers, 1);
    SCRIPTS({.reply = OK "Content-Length: 9\r\n\r\nabc", .resets = true});
    struct answer a = get(10000);
    assert_true(a.err == -ERR_PROTOCOL || a.err == -ERR_CLOSED);
}

/* ---- several servers ---- */

static void test_next_address(void **state)
{
    SCRIPTS({.reply = OK "Connection: close\r\nContent-Length: 0\r\n\r\n"}); /* 127.0.0.2 refuses */
    make("two.test", &(struct http_spec){0});
    for (int i = 0; i < 10; i++)
        expect(0);
    assert_int_equal(site.n_requests, 10);
}

/* Of several addresses that failed the one that came furthest tells why: here the first one, which
 * accepts and then breaks off the handshake. */
static void test_error_of_the_furthest(void **state)
{
    struct http_spec spec = {.connect_ms = 2000};
    char *error = NULL;
    SCRIPTS({.closes_at_once = true});
    assert_int_equal(tls_client_new(&(struct tls_client_spec){0}, &spec.tls, &error), 0);
    make("first.test", &spec);
    tls_client_unref(spec.tls);
    struct answer a = get(10000);
    assert_int_not_equal(a.err, 0);
    assert_int_not_equal(a.err, -ERR_REFUSED);
    make("first.test", &(struct http_spec){.connect_ms = 2000});
    site_stop();
    expect(-ERR_REFUSED);
}

/* An address that never answers keeps its own requests waiting, and after some of them no more. */
static void test_silent_address(void **state)
{
    struct addr at;
    struct sockaddr_storage ss;
    SCRIPTS({.reply = EMPTY});
    make("two.test", &(struct http_spec){.connect_ms = 300});
    /* accepts nothing, but the kernel does: the requests get no reply */
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(addr_parse(STR("127.0.0.2"), &at), 0);
    at.port = site.at.port;
    socklen_t len = addr_to_sockaddr(&at, &ss);
    assert_int_equal(bind(fd, (struct sockaddr *)&ss, len), 0);
    assert_int_equal(listen(fd, 64), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(get(300).err, -ERR_TIMEOUT);
    unsigned n_good = 0; /* now and then one of them is the try whether it answers again */
    for (int i = 0; i < 6; i++)
        n_good += get(300).err == 0;
    assert_true(n_good >= 3);
    close(fd);
}

/* When no address is left, requests fail at once; some time later one of them tries again. */
static void test_all_down(void **state)
{
    SCRIPTS({.closes_at_once = true}, {.closes_at_once = true}, {.closes_at_once = true},
            {.reply = EMPTY});
    for (int i = 0; i < 3; i++)
        assert_true(get(10000).err < 0);
    assert_int_equal(site.n_peers, 3);
    uint64_t start = clock_ms();
    int err = get(10000).err;
    if (clock_ms() - start < 500) /* else the machine stood still, and the pause is over */
        assert_int_equal(err, -ERR_UNREACHABLE);
    while (get(10000).err != 0) {
        assert_true(clock_ms() - start < 15000);
        io_case_idle(loop, 50);
    }
    expect(0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_without_end),
        T(test_more_than_asked),
        T(test_forged_while_idle),
        T(test_trickle),
        T(test_kept_connection_closes),
        T(test_asked_again_once),
        T(test_half_a_reply),
        T(test_next_address),
        T(test_error_of_the_furthest),
        T(test_silent_address),
        T(test_all_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
