/* SPDX-License-Identifier: ISC */
/* The HTTP client against a server of the test: exact requests, kept connections, replies of all
 * sorts, limits, time, HTTPS. */
#include "tests/unit/io/tls_case.h"

#include <sys/un.h>

#include "io/http/http.h"

/* ---- the server: answers each request with the same bytes ---- */

#define CONNS_MAX 16

struct site {
    struct event *event;
    int fd;
    struct addr at;
    struct end conns[CONNS_MAX];
    size_t n_conns;
    struct buf requests; /* all, as they came */
    unsigned n_requests;
    const char *reply; /* NULL = silence */
    size_t reply_n;    /* 0 = up to its NUL */
    bool is_closing;   /* after the reply */
    struct tls_server *tls;
};

static struct loop *loop;
static struct site site;
static struct http_client *client;
static struct resolver *resolver;
static struct tls_case_cert ca, cert, other_ca;

static void site_answer(struct end *e)
{
    site.n_requests++;
    if (site.reply)
        assert_int_equal(
            conn_send(&e->conn, site.reply, site.reply_n ? site.reply_n : strlen(site.reply)), 0);
    if (site.is_closing)
        conn_shutdown(&e->conn);
}

static void site_readable(struct conn *c)
{
    struct end *e = end_of(c);
    end_readable(c);
    for (;;) {
        struct str in = buf_str(&e->in);
        const char *end = in.n ? memmem(in.p, in.n, "\r\n\r\n", 4) : NULL;
        if (!end)
            break;
        size_t n = (size_t)(end - in.p) + 4;
        assert_int_equal(buf_append(&site.requests, in.p, n), 0);
        buf_consume(&e->in, n);
        site_answer(e);
    }
    if (e->read_err)
        conn_close(c);
}

static const struct conn_ops site_ops = {.secured = end_secured, .readable = site_readable};

static void site_accept(evutil_socket_t fd, short what, void *arg)
{
    int got = accept(fd, NULL, NULL);
    (void)what;
    (void)arg;
    if (got < 0)
        return;
    assert_true(site.n_conns < CONNS_MAX);
    struct end *e = &site.conns[site.n_conns++];
    end_init(e, loop);
    conn_own(&e->conn, &site_ops, e);
    assert_int_equal(conn_adopt(&e->conn, got), 0);
    conn_want_read(&e->conn, true);
    if (site.tls)
        assert_int_equal(conn_secure_server(&e->conn, site.tls, NULL), 0);
}

static void site_start(int fd)
{
    site.fd = fd;
    site.event = event_new(loop_base(loop), fd, EV_READ | EV_PERSIST, site_accept, NULL);
    assert_non_null(site.event);
    assert_int_equal(event_add(site.event, NULL), 0);
}

static void site_stop(void)
{
    if (site.event)
        event_free(site.event);
    if (site.fd >= 0)
        close(site.fd);
    for (size_t i = 0; i < site.n_conns; i++)
        end_fini(&site.conns[i]);
    buf_fini(&site.requests);
    tls_server_unref(site.tls);
    site = (struct site){.fd = -1};
}

static const char *url(const char *scheme, const char *host, const char *path)
{
    static char text[256];
    snprintf(text, sizeof(text), "%s://%s:%u%s", scheme, host, site.at.port, path);
    return text;
}

/* A client of the site, or of the URL that spec has. */
static void make(const struct http_spec *spec)
{
    struct http_spec s = *spec;
    if (!s.url)
        s.url = url("http", "127.0.0.1", "/auth");
    s.resolver = resolver;
    http_client_free(client);
    client = NULL;
    assert_int_equal(http_client_new(loop, &s, &client), 0);
}

static int setup(void **state)
{
    site = (struct site){.fd = -1};
    client = NULL;
    if (loop_new(NULL, &loop) != 0)
        return -1;
    assert_int_equal(resolver_new(loop, &(struct resolver_spec){.timeout_ms = 5000}, &resolver), 0);
    site_start(io_case_listen(&site.at));
    make(&(struct http_spec){0});
    return 0;
}

static int teardown(void **state)
{
    http_client_free(client);
    site_stop();
    resolver_free(resolver);
    loop_free(loop);
    return 0;
}

/* ---- one request ---- */

struct answer {
    bool is_here;
    int err;
    long status;
    char text[512]; /* "name=value;name=value;" or, with an error, why */
};

static void on_result(void *arg, const struct http_result *r)
{
    struct answer *a = arg;
    AUTO_BUF text = BUF_INIT;
    assert_false(a->is_here);
    *a = (struct answer){.is_here = true, .err = r->err, .status = r->status};
    assert_int_equal(r->error == NULL, r->err == 0);
    assert_true(r->err == 0 || r->n_headers == 0);
    if (r->error)
        assert_int_equal(buf_append_c(&text, r->error), 0);
    for (size_t i = 0; i < r->n_headers; i++)
        assert_int_equal(buf_printf(&text, "%.*s=%.*s;", STR_ARG(r->headers[i].name),
                                    STR_ARG(r->headers[i].value)),
                         0);
    (void)str_copy(a->text, sizeof(a->text), buf_str(&text));
}

static struct http_request *ask(struct answer *a, uint64_t timeout_ms)
{
    struct http_request *r = NULL;
    *a = (struct answer){0};
    assert_int_equal(http_get(client, STR_NULL, timeout_ms, on_result, a, &r), 0);
    assert_false(a->is_here);
    return r;
}

static struct answer get(void)
{
    struct answer a;
    (void)ask(&a, 10000);
    io_case_run(loop, io_case_is_true, &a.is_here);
    return a;
}

static void expect(struct answer a, int err, const char *text)
{
    if (a.err != err || (text && strcmp(a.text, text) != 0))
        fail_msg("%s \"%s\" instead of %s \"%s\"", err_name(a.err), a.text, err_name(err),
                 text ? text : "");
}

#define OK "HTTP/1.1 200 OK\r\n"
#define EMPTY "Content-Length: 0\r\n\r\n"

static void test_request(void **state)
{
    const struct str fields = STR("Auth-Method: plain\r\nAuth-User: j%20oe\r\nAuth-Salt:\r\n"
                                  "X-Twice: 1\r\nX-Twice: 2\r\n");
    struct answer a = {0};
    struct http_request *r;
    site.reply = OK EMPTY;
    make(&(struct http_spec){.url = url("http", "127.0.0.1", "/auth?x=1")});
    assert_int_equal(http_get(client, fields, 10000, on_result, &a, &r), 0);
    io_case_run(loop, io_case_is_true, &a.is_here);
    expect(a, 0, "Content-Length=0;");
    assert_int_equal(a.status, 200);
    assert_string_equal(buf_cstr(&site.requests),
                        "GET /auth?x=1 HTTP/1.1\r\nHost: 127.0.0.1\r\nAuth-Method: plain\r\n"
                        "Auth-User: j%20oe\r\nAuth-Salt:\r\nX-Twice: 1\r\nX-Twice: 2\r\n\r\n");
}

static void test_replies(void **state)
{
    static const struct {
        const char *reply;
        int err;
        const char *text;
        long status;
    } cases[] = {
        {OK "Auth-Status: OK\r\nAuth-Server:  10.0.0.1 \r\nauth-port:143\r\n" EMPTY, 0,
         "Auth-Status=OK;Auth-Server=10.0.0.1;auth-port=143;Content-Length=0;", 200},
        {OK "A: 1\r\n A: 2\r\n\tand 3\r\nB:\r\n" EMPTY, 0, "A=1 A: 2 and 3;B=;Content-Length=0;",
         200},
        {OK "A: 1\r\nA: 2\r\n" EMPTY, 0, "A=1;A=2;Content-Length=0;", 200},
        {"HTTP/1.1 403 No\r\n" EMPTY, 0, "Content-Length=0;", 403},
        {"HTTP/1.1 204 None\r\nA: 1\r\n\r\n", 0, "A=1;", 204},
        {"HTTP/1.1 302 Away\r\nLocation: http://127.0.0.2/\r\n" EMPTY, 0,
         "Location=http://127.0.0.2/;Content-Length=0;", 302},
        {OK "A: 1\r\nContent-Length: 5\r\n\r\nhello", 0, "A=1;Content-Length=5;", 200},
        {OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nAuth-Status: OK\r\n\r\n", 0,
         "Transfer-Encoding=chunked;", 200}, /* a trailer is no header */
        {OK "A: 1\r\n\r\n", 0, "A=1;", 200}, /* nothing says where it ends */
        {"HTTP/1.1 100 Continue\r\nA: 1\r\n\r\n" OK "B: 2\r\n" EMPTY, 0, "B=2;Content-Length=0;",
         200},
        {"HTTP/1.0 200 OK\r\nA: 1\r\n\r\n", 0, "A=1;", 200},
        {"SMTP ready\r\n", -ERR_PROTOCOL, NULL, 0},
        {OK "no colon\r\n" EMPTY, -ERR_PROTOCOL, NULL, 200},
        {OK ": no name\r\n" EMPTY, -ERR_PROTOCOL, NULL, 200},
        {OK "A: 1\r\nB: ", -ERR_PROTOCOL, "the reply ends within its headers", 200},
        {OK "A: 1\r\n", -ERR_PROTOCOL, "the reply ends within its headers", 200},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        make(&(struct http_spec){0});
        site.reply = cases[i].reply;
        site.is_closing = cases[i].err != 0;
        struct answer a = get();
        expect(a, cases[i].err, cases[i].text);
        if (a.err == 0)
            assert_int_equal(a.status, cases[i].status);
    }
}

/* Bytes that must not be in a value end the reply. */
static void test_nul_in_header(void **state)
{
    static const char reply[] = OK "Auth-Server: 10.0.0.1\0x\r\n" EMPTY;
    site.reply = reply;
    site.reply_n = sizeof(reply) - 1;
    struct answer a = get();
    assert_true(a.err == -ERR_PROTOCOL || a.err == -ERR_IO);
}

static void test_keep_alive(void **state)
{
    site.reply = OK "Content-Length: 3\r\n\r\nabc";
    for (int i = 0; i < 5; i++)
        expect(get(), 0, "Content-Length=3;");
    assert_int_equal(site.n_requests, 5);
    assert_int_equal(site.n_conns, 1);
    /* a server that closes is asked anew */
    site.reply = OK "Connection: close\r\n" EMPTY;
    site.is_closing = true;
    expect(get(), 0, NULL);
    expect(get(), 0, NULL);
    assert_int_equal(site.n_requests, 7);
}

/* One that closed while the connection was idle costs nobody a login. */
static void test_stale_connection(void **state)
{
    site.reply = OK EMPTY;
    expect(get(), 0, NULL);
    conn_close(&site.conns[0].conn);
    expect(get(), 0, NULL);
    assert_int_equal(site.n_conns, 2);
}

static void test_connection_limit(void **state)
{
    struct answer a[6];
    make(&(struct http_spec){.max_connections = 2});
    site.reply = OK EMPTY;
    for (size_t i = 0; i < ARRAY_LEN(a); i++)
        (void)ask(&a[i], 10000);
    for (size_t i = 0; i < ARRAY_LEN(a); i++) {
        io_case_run(loop, io_case_is_true, &a[i].is_here);
        expect(a[i], 0, NULL);
    }
    assert_true(site.n_conns <= 2);
}

static void test_too_long(void **state)
{
    AUTO_BUF reply = BUF_INIT;
    make(&(struct http_spec){.max_response_bytes = 2000});
    assert_int_equal(buf_append_c(&reply, OK), 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(buf_printf(&reply, "X-%d: aaaaaaaaaaaaaaaaaaaaaaaa\r\n", i), 0);
    assert_int_equal(buf_append_c(&reply, EMPTY), 0);
    site.reply = buf_cstr(&reply);
    expect(get(), -ERR_TOO_LONG, NULL);
    /* a body without end */
    buf_clear(&reply);
    assert_int_equal(buf_append_c(&reply, OK "Content-Length: 2000000\r\n\r\n"), 0);
    while (reply.len < 2000000)
        assert_int_equal(buf_append_c(&reply, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
                         0);
    site.reply = buf_cstr(&reply);
    expect(get(), -ERR_TOO_LONG, NULL);
}

static void test_silence(void **state)
{
    struct answer a;
    uint64_t before_ms = clock_ms();
    (void)ask(&a, 150);
    io_case_run(loop, io_case_is_true, &a.is_here);
    expect(a, -ERR_TIMEOUT, NULL);
    assert_true(clock_ms() - before_ms >= 150 && clock_ms() - before_ms < 5000);
    /* queued behind it, a request does not wait longer than it may */
    make(&(struct http_spec){.max_connections = 1});
    struct answer first, second;
    (void)ask(&first, 10000);
    (void)ask(&second, 150);
    io_case_run(loop, io_case_is_true, &second.is_here);
    expect(second, -ERR_TIMEOUT, NULL);
    assert_false(first.is_here);
}

static void test_no_server(void **state)
{
    event_free(site.event);
    site.event = NULL;
    close(site.fd);
    site.fd = -1;
    expect(get(), -ERR_REFUSED, NULL);
    make(&(struct http_spec){.url = "http://name.invalid/"});
    expect(get(), -ERR_DNS, NULL);
}

static void test_hangs_up(void **state)
{
    site.is_closing = true;
    expect(get(), -ERR_PROTOCOL, NULL);
    site.reply = OK "Content-Length: 100\r\n\r\nabc";
    expect(get(), -ERR_PROTOCOL, NULL);
}

static void test_bad_arguments(void **state)
{
    static const char *const bad[] = {
        "no colon\r\n", ": no name\r\n",  "A: b\r\nC: d",        "A: b\n",
        "\r\n",         "A: b\rC: d\r\n", "A: b\r\n folded\r\n", "A: b\r\n\r\n"};
    struct answer never = {0};
    struct http_request *r = NULL;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(http_get(client, str_of(bad[i]), 1000, on_result, &never, &r), -ERR_INVAL);
        assert_null(r);
    }
    assert_int_equal(http_get(client, STR("A: b\0c\r\n"), 1000, on_result, &never, &r), -ERR_INVAL);
    static const char *const urls[] = {"",
                                       "http://",
                                       "http://[::1/",
                                       "http://127.0.0.1:99999/",
                                       "ftp://127.0.0.1/",
                                       "https://127.0.0.1/", /* without credentials */
                                       "http://u:p@127.0.0.1/",
                                       "http://127.0.0.1/a b",
                                       "http://unix:relative"};
    struct http_client *none = NULL;
    for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
        const struct http_spec spec = {.url = urls[i]};
        assert_int_equal(http_client_new(loop, &spec, &none), -ERR_INVAL);
    }
    assert_null(none);
    io_case_idle(loop, 10);
    assert_int_equal(site.n_requests, 0);
    assert_false(never.is_here);
}

static bool has_request(void *arg)
{
    (void)arg;
    return site.n_requests > 0;
}

static void test_cancel(void **state)
{
    struct answer never, also_never, a;
    struct http_request *r = ask(&never, 10000);
    io_case_run(loop, has_request, NULL);
    http_cancel(r);
    http_cancel(NULL);
    http_cancel(ask(&also_never, 10000)); /* before it even started */
    site.reply = OK EMPTY;
    (void)ask(&a, 10000);
    io_case_run(loop, io_case_is_true, &a.is_here);
    expect(a, 0, NULL);
    assert_false(never.is_here || also_never.is_here);
    /* the end of the client ends what is pending */
    (void)ask(&never, 10000);
    http_client_free(client);
    client = NULL;
    io_case_idle(loop, 20);
    assert_false(never.is_here);
    http_client_free(NULL);
}

static void on_result_free(void *arg, const struct http_result *r)
{
    (void)r;
    http_client_free(client);
    client = NULL;
    *(bool *)arg = true;
}

static void test_free_in_callback(void **state)
{
    struct http_request *r;
    struct answer never;
    bool is_called = false;
    site.reply = OK EMPTY;
    assert_int_equal(http_get(client, STR_NULL, 10000, on_result_free, &is_called, &r), 0);
    (void)ask(&never, 10000);
    io_case_run(loop, io_case_is_true, &is_called);
    io_case_idle(loop, 10);
    assert_false(never.is_here && client);
}

static void test_unix_socket(void **state)
{
    char folder[] = "/tmp/mailproxy-http-XXXXXX", path[64];
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/socket", folder);
    assert_true(str_copy(sun.sun_path, sizeof(sun.sun_path), str_of(path)));
    site_stop();
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
    assert_int_equal(listen(fd, 4), 0);
    site_start(fd);
    site.reply = OK EMPTY;
    char text[80];
    snprintf(text, sizeof(text), "http://unix:%s:/auth", path);
    make(&(struct http_spec){.url = text});
    expect(get(), 0, NULL);
    assert_string_equal(buf_cstr(&site.requests), "GET /auth HTTP/1.1\r\nHost: localhost\r\n\r\n");
    (void)remove(path);
    (void)remove(folder);
}

static void expect_https(const struct tls_client_spec *spec, const char *host, int err)
{
    char *error = NULL;
    struct http_spec s = {.url = url("https", host, "/"), .connect_ms = 2000};
    assert_int_equal(tls_client_new(spec, &s.tls, &error), 0);
    make(&s);
    tls_client_unref(s.tls);
    expect(get(), err, err ? NULL : "Content-Length=0;");
}

static void test_https(void **state)
{
    char *error = NULL;
    const struct tls_cert_spec certs[] = {{.cert_file = cert.crt_file, .key_file = cert.key_file}};
    const struct tls_server_spec spec = {.certs = certs, .n_certs = 1};
    assert_int_equal(tls_server_new(&spec, &site.tls, &error), 0);
    site.reply = OK EMPTY;
    const struct tls_client_spec good = {.is_verified = true, .ca_file = ca.crt_file};
    expect_https(&good, "127.0.0.1", 0);
    expect_https(&(struct tls_client_spec){.is_verified = false}, "127.0.0.1", 0);
    expect_https(&(struct tls_client_spec){.is_verified = true, .ca_file = other_ca.crt_file},
                 "127.0.0.1", -ERR_TLS_VERIFY);
    expect_https(&good, "localhost", -ERR_TLS_NAME);
    tls_server_unref(site.tls);
    site.tls = NULL;
    expect_https(&good, "127.0.0.1", -ERR_TIMEOUT); /* it does not speak TLS */
}

static int setup_all(void **state)
{
    if (tls_case_setup(state) != 0)
        return -1;
    ca = tls_case_make(&(struct tls_case_spec){.file = "ca", .cn = "CA", .is_ca = true});
    other_ca =
        tls_case_make(&(struct tls_case_spec){.file = "other", .cn = "Other", .is_ca = true});
    cert = tls_case_make(
        &(struct tls_case_spec){.file = "cert", .cn = "x", .ip = "127.0.0.1", .issuer = &ca});
    return 0;
}

static int teardown_all(void **state)
{
    tls_case_cert_fini(&ca);
    tls_case_cert_fini(&other_ca);
    tls_case_cert_fini(&cert);
    return rmdir(tls_case_folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_request, setup, teardown),
        cmocka_unit_test_setup_teardown(test_replies, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nul_in_header, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keep_alive, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stale_connection, setup, teardown),
        cmocka_unit_test_setup_teardown(test_connection_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_long, setup, teardown),
        cmocka_unit_test_setup_teardown(test_silence, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_server, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hangs_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_arguments, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
        cmocka_unit_test_setup_teardown(test_free_in_callback, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unix_socket, setup, teardown),
        cmocka_unit_test_setup_teardown(test_https, setup, teardown),
    };
    return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
