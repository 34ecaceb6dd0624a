/* SPDX-License-Identifier: ISC */
/* The http provider against an auth server of the test: the bytes on the wire, and every answer. */
#include "auth_case.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <sys/un.h>

#include "auth/provider.h"

/* ---- the auth server: answers each request with the next of the replies ---- */

#define CONNS_MAX 32

static struct site {
    struct evconnlistener *listener;
    struct bufferevent *conns[CONNS_MAX];
    size_t n_conns;
    struct addr at;
    const char *replies[4]; /* header lines; the last one stands for all further ones */
    size_t n_replies;
    bool is_silent, is_raw; /* raw: replies are all the bytes */
    struct buf requests;
    unsigned n_requests;
} site;

static void site_answer(struct bufferevent *b)
{
    size_t last = site.n_replies - 1;
    const char *reply = site.replies[site.n_requests < last ? site.n_requests : last];
    site.n_requests++;
    if (site.is_silent)
        return;
    assert_true(
        evbuffer_add_printf(bufferevent_get_output(b),
                            site.is_raw ? "%s" : "HTTP/1.1 200 OK\r\n%sContent-Length: 0\r\n\r\n",
                            reply) > 0);
}

static void site_read(struct bufferevent *b, void *arg)
{
    struct evbuffer *in = bufferevent_get_input(b);
    (void)arg;
    for (;;) {
        struct evbuffer_ptr end = evbuffer_search(in, "\r\n\r\n", 4, NULL);
        if (end.pos < 0)
            return;
        size_t n = (size_t)end.pos + 4;
        assert_int_equal(buf_append(&site.requests, evbuffer_pullup(in, (ssize_t)n), n), 0);
        assert_int_equal(evbuffer_drain(in, n), 0);
        site_answer(b);
    }
}

static void site_event(struct bufferevent *b, short what, void *arg)
{
    (void)what;
    (void)arg;
    (void)bufferevent_disable(b, EV_READ | EV_WRITE);
}

static void site_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa, int n,
                        void *arg)
{
    (void)l;
    (void)sa;
    (void)n;
    (void)arg;
    struct bufferevent *b =
        bufferevent_socket_new(loop_base(auth_case.loop), fd, BEV_OPT_CLOSE_ON_FREE);
    assert_non_null(b);
    assert_true(site.n_conns < CONNS_MAX);
    site.conns[site.n_conns++] = b;
    bufferevent_setcb(b, site_read, NULL, site_event, NULL);
    assert_int_equal(bufferevent_enable(b, EV_READ | EV_WRITE), 0);
}

static void site_listen(int fd)
{
    assert_int_equal(evutil_make_socket_nonblocking(fd), 0);
    site.listener = evconnlistener_new(loop_base(auth_case.loop), site_accept, NULL,
                                       LEV_OPT_CLOSE_ON_FREE, 0, fd);
    assert_non_null(site.listener);
}

static int setup(void **state)
{
    (void)auth_case_setup(state);
    site = (struct site){.replies = {"Auth-Status: OK\r\n"}, .n_replies = 1};
    site_listen(io_case_listen(&site.at));
    return 0;
}

static int teardown(void **state)
{
    auth_free(auth_case.auth);
    auth_case.auth = NULL;
    if (site.listener)
        evconnlistener_free(site.listener);
    for (size_t i = 0; i < site.n_conns; i++)
        bufferevent_free(site.conns[i]);
    buf_fini(&site.requests);
    return auth_case_teardown(state);
}

static struct config_auth http_auth;

/* url has one %u for the port, or none. */
static void configure(const char *url, uint64_t timeout_ms, uint64_t cache_ms)
{
    static char text[160];
    snprintf(text, sizeof(text), "%s%u%s", url, site.at.port, "/auth?x=1");
    http_auth = (struct config_auth){.type = AUTH_TYPE_HTTP,
                                     .url = text,
                                     .timeout_ms = timeout_ms,
                                     .cache_ms = cache_ms,
                                     .connections = 4,
                                     .is_verified = true};
    auth_case_configure(&http_auth, 1);
}

static void http_only(void)
{
    configure("http://127.0.0.1:", 10000, 0);
}

static void reply(const char *headers)
{
    site.replies[0] = headers;
    site.n_replies = 1;
}

static const char *answer_to(const char *headers)
{
    reply(headers);
    return auth_case_login("Bob@Example.org", "secret");
}

/* ---- requests ---- */

static void test_wire(void **state)
{
    static const char *headers[] = {"X-Key: 1", NULL};
    http_only();
    http_auth.headers = (struct config_strings){headers, 1};
    auth_case_cred(SASL_PLAIN, "us er%", "p w\x01");
    assert_string_equal(auth_case_ask(), "OK http us er% login=PLAIN us er% p w\x01");
    assert_string_equal(buf_cstr(&site.requests),
                        "GET /auth?x=1 HTTP/1.1\r\nHost: 127.0.0.1\r\nAuth-Method: plain\r\n"
                        "Auth-User: us%20er%25\r\nAuth-Pass: p%20w%01\r\nAuth-Protocol: imap\r\n"
                        "Auth-Login-Attempt: 1\r\nClient-IP: 192.0.2.7\r\nX-Key: 1\r\n\r\n");
}

/* The password of a login that failed before is not in the next request. */
static void test_no_stale_password(void **state)
{
    http_only();
    reply("Auth-Status: no\r\nAuth-Wait: 1\r\n");
    (void)auth_case_login("bob", "old-secret");
    buf_clear(&site.requests);
    auth_case_cred(SASL_EXTERNAL, "bob", "");
    auth_case.cred.is_proved = true;
    (void)auth_case_ask();
    assert_non_null(strstr(buf_cstr(&site.requests), "\r\nAuth-Pass: \r\n"));
    assert_null(strstr(buf_cstr(&site.requests), "old-secret"));
}

static void test_kept_connection(void **state)
{
    http_only();
    for (int i = 0; i < 5; i++)
        assert_string_equal(auth_case_login("bob", "x"), "OK http bob login=PLAIN bob x");
    assert_int_equal(site.n_requests, 5);
    assert_int_equal(site.n_conns, 1);
}

static void test_urls(void **state)
{
    static const struct {
        const char *url, *host;
    } cases[] = {
        {"http://127.0.0.1:", "127.0.0.1"},
        {"127.0.0.1:", "127.0.0.1"}, /* as NGINX takes it */
        {"HTTP://127.0.0.1:", "127.0.0.1"},
        {"http://localhost:", "localhost"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char line[64];
        configure(cases[i].url, 10000, 0);
        buf_clear(&site.requests);
        assert_string_equal(auth_case_login("bob", "x"), "OK http bob login=PLAIN bob x");
        snprintf(line, sizeof(line), "\r\nHost: %s\r\n", cases[i].host);
        if (!strstr(buf_cstr(&site.requests), line))
            fail_msg("%s: %s", cases[i].url, buf_cstr(&site.requests));
    }
}

static void test_unix_socket(void **state)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    char url[160];
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    snprintf(un.sun_path, sizeof(un.sun_path), "%s/auth", auth_case.folder);
    assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    assert_int_equal(listen(fd, 4), 0);
    evconnlistener_free(site.listener);
    site_listen(fd);
    static const struct {
        const char *uri, *line;
    } cases[] = {{":/mail/auth?a", "GET /mail/auth?a HTTP/1.1\r\nHost: localhost\r\n"},
                 {"", "GET / HTTP/1.1\r\nHost: localhost\r\n"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        snprintf(url, sizeof(url), "http://unix:%s%s", un.sun_path, cases[i].uri);
        http_auth = (struct config_auth){.type = AUTH_TYPE_HTTP, .url = url, .timeout_ms = 10000};
        auth_case_configure(&http_auth, 1);
        buf_clear(&site.requests);
        assert_string_equal(auth_case_login("bob", "x"), "OK http bob login=PLAIN bob x");
        assert_int_equal(strncmp(buf_cstr(&site.requests), cases[i].line, strlen(cases[i].line)),
                         0);
    }
    assert_int_equal(unlink(un.sun_path), 0);
}

/* ---- replies ---- */

static void test_accepted(void **state)
{
    static const struct {
        const char *headers, *want;
    } cases[] = {
        {"Auth-Status: OK\r\n", "OK http bob@example.org login=PLAIN Bob@Example.org secret"},
        {"Auth-Status: OK\r\nAuth-Server: 10.0.0.1\r\nAuth-Port: 143\r\n",
         "OK http bob@example.org login=PLAIN Bob@Example.org secret server=10.0.0.1 port=143"},
        {"Auth-Status: OK\r\nAuth-Server: [::1]\r\nAuth-Port: 143\r\nAuth-SMTP: yes\r\n",
         "OK http bob@example.org login=PLAIN Bob@Example.org secret server=::1 port=143 smtp=1"},
        {"Auth-Status: OK\r\nAuth-Pool: main\r\nAuth-Backend: b1\r\nAuth-SMTP: no\r\n",
         "OK http bob@example.org login=PLAIN Bob@Example.org secret pool=main backend=b1 smtp=0"},
        {"Auth-Status: OK\r\nAuth-User: Carol\r\nAuth-Pass: p%20w x\r\nAuth-Wait: 3\r\n",
         "OK http carol login=PLAIN Carol p%20w x"},
        {"Auth-Status: OK\r\n Auth-User: nobody\r\n", /* folded: no header of its own */
         "REJECTED http: refused by the auth server: OK Auth-User: nobody text=OK Auth-User: "
         "nobody final"},
    };
    http_only();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_string_equal(answer_to(cases[i].headers), cases[i].want);
}

static void test_refused(void **state)
{
    static const struct {
        const char *headers, *want;
    } cases[] = {
        {"Auth-Status: Invalid login\r\nAuth-Wait: 3\r\n",
         "REJECTED http: refused by the auth server: Invalid login text=Invalid login wait=3000"},
        {"Auth-Status: Invalid login\r\n",
         "REJECTED http: refused by the auth server: Invalid login text=Invalid login final"},
        {"Auth-Status:\r\nAuth-Wait: 1\r\n", "REJECTED http: refused by the auth server wait=1000"},
        {"Auth-Status: No\r\nAuth-Wait: 1\r\nAuth-Error-Code: 451 4.3.0\r\n",
         "REJECTED http: refused by the auth server: No code=451 4.3.0 text=No wait=1000"},
        {"Auth-Status: a\tb\x1b[2J\x7f\r\nAuth-Wait: 1\r\n",
         "REJECTED http: refused by the auth server: a b [2J text=a b [2J wait=1000"},
        {"Auth-Status: Gesperrt f\xc3\xbcr heute\r\nAuth-Wait: 1\r\n",
         "REJECTED http: refused by the auth server: Gesperrt f\xc3\xbcr heute text=Gesperrt "
         "f\xc3\xbcr heute wait=1000"},
        {"Auth-Status: f\xfcr\r\nAuth-Wait: 1\r\n",
         "REJECTED http: refused by the auth server: f?r text=f?r wait=1000"},
    };
    http_only();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_string_equal(answer_to(cases[i].headers), cases[i].want);
}

static void test_long_words(void **state)
{
    AUTO_BUF headers = BUF_INIT;
    http_only();
    assert_int_equal(buf_append_c(&headers, "Auth-Wait: 1\r\nAuth-Status: "), 0);
    for (int i = 0; i < 4000; i++)
        assert_int_equal(buf_append_c(&headers, "\xc3\xb6"), 0);
    assert_int_equal(buf_append_c(&headers, "\r\n"), 0);
    const char *text = answer_to(buf_cstr(&headers)); /* NGINX fails at 1 KB */
    const char *words = strstr(text, "text=\xc3\xb6\xc3\xb6");
    assert_int_equal(strncmp(text, "REJECTED http: ", 15), 0);
    assert_non_null(words);
    assert_true(str_is_utf8(str_of(text))); /* cut between two characters */
    assert_true(strcspn(words, " ") > QUERY_TEXT_MAX - 8);
}

static void test_nonsense(void **state)
{
    static const struct {
        const char *headers, *want;
    } cases[] = {
        {"", "TEMPFAIL http: the reply has no Auth-Status"},
        {"Auth-Server: 10.0.0.1\r\nAuth-Port: 143\r\n",
         "TEMPFAIL http: the reply has no Auth-Status"},
        {"Auth-Status: OK\r\nAuth-Server: 10.0.0.1\r\n",
         "TEMPFAIL http: Auth-Server comes without Auth-Port"},
        {"Auth-Status: OK\r\nAuth-Port: 1\r\n",
         "TEMPFAIL http: Auth-Port comes without Auth-Server"},
        {"Auth-Status: OK\r\nAuth-Port: 99999\r\nAuth-Server: ::1\r\n",
         "TEMPFAIL http: Auth-Port is not a port"},
        {"Auth-Status: OK\r\nAuth-SMTP: perhaps\r\n",
         "TEMPFAIL http: Auth-SMTP is neither yes nor no"},
        {"Auth-Status: OK\r\nAuth-User: a\x01z\r\n",
         "TEMPFAIL http: the auth server sent an impossible Auth-User"},
        {"Auth-Status: OK\r\nno colon\r\n", NULL},
        {"Auth-Status: OK\r\nAuth-User: a\rb\r\n", NULL},
    };
    http_only();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *got = answer_to(cases[i].headers);
        if (cases[i].want)
            assert_string_equal(got, cases[i].want);
        else
            assert_int_equal(strncmp(got, "TEMPFAIL http: auth server: ", 28), 0);
    }
}

/* NGINX does not look at the status: servers exist that answer 401 with their Auth-Status. */
static void test_http_status(void **state)
{
    http_only();
    site.is_raw = true;
    assert_string_equal(answer_to("HTTP/1.1 401 No\r\nAuth-Status: Bad\r\nAuth-Wait: 2\r\n"
                                  "Content-Length: 3\r\n\r\nabc"),
                        "REJECTED http: refused by the auth server: Bad text=Bad wait=2000");
    assert_string_equal(answer_to("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"),
                        "TEMPFAIL http: the reply has no Auth-Status (HTTP status 500)");
    /* one that neither closes nor says where its body ends */
    assert_string_equal(answer_to("HTTP/1.0 200 OK\r\nAuth-Status: OK\r\n\r\n"),
                        "OK http bob@example.org login=PLAIN Bob@Example.org secret");
}

static void test_passwords_that_must_come(void **state)
{
    static const enum sasl_mech mechs[] = {SASL_CRAM_MD5, SASL_APOP, SASL_EXTERNAL};
    http_only();
    for (size_t i = 0; i < ARRAY_LEN(mechs); i++) {
        reply("Auth-Status: OK\r\n");
        auth_case_cred(mechs[i], "bob", mechs[i] == SASL_EXTERNAL ? "" : "0123456789abcdef");
        auth_case.cred.is_proved = mechs[i] == SASL_EXTERNAL;
        assert_string_equal(auth_case_ask(),
                            "TEMPFAIL http: the auth server did not send Auth-Pass");
        auth_case.request.is_backend_password_needed = false;
        assert_string_equal(auth_case_ask(), "OK http bob login=PLAIN bob ");
        auth_case.request.is_backend_password_needed = true;
        reply("Auth-Status: OK\r\nAuth-Pass: real\r\n");
        assert_string_equal(auth_case_ask(), "OK http bob login=PLAIN bob real");
    }
}

static void test_tokens(void **state)
{
    http_only();
    auth_case_cred(SASL_XOAUTH2, "bob", "ya29");
    assert_string_equal(auth_case_ask(), "OK http bob login=XOAUTH2 bob ya29");
    reply("Auth-Status: OK\r\nAuth-Pass: real\r\n");
    assert_string_equal(auth_case_ask(), "OK http bob login=PLAIN bob real");
}

static void test_others_identity(void **state)
{
    http_only();
    auth_case_cred(SASL_PLAIN, "bob", "secret");
    assert_int_equal(buf_append_c(&auth_case.cred.authzid, "alice"), 0);
    assert_string_equal(auth_case_ask(), "REJECTED http: may not act as somebody else");
    assert_int_equal(site.n_requests, 0);
    /* with a certificate the auth server decides about the name */
    reply("Auth-Status: OK\r\nAuth-Pass: real\r\n");
    auth_case.cred.mech = SASL_EXTERNAL;
    auth_case.cred.is_proved = true;
    assert_string_equal(auth_case_ask(), "OK http alice login=PLAIN alice real");
    assert_non_null(strstr(buf_cstr(&site.requests), "\r\nAuth-User: alice\r\n"));
}

static void test_no_login(void **state)
{
    http_only();
    reply("Auth-Status: OK\r\nAuth-Server: 10.0.0.1\r\nAuth-Port: 25\r\n");
    auth_case_cred(SASL_NONE, "", "");
    auth_case.request.proto = &proto_smtp;
    auth_case.request.helo = STR("client");
    auth_case.request.mail_from = STR("MAIL FROM:<a@b>");
    auth_case.request.rcpt_to = STR("RCPT TO:<c@d>");
    assert_string_equal(auth_case_ask(), "OK http  login=NONE   server=10.0.0.1 port=25");
    assert_non_null(strstr(buf_cstr(&site.requests),
                           "\r\nAuth-SMTP-Helo: client\r\nAuth-SMTP-From: MAIL FROM:<a@b>\r\n"
                           "Auth-SMTP-To: RCPT TO:<c@d>\r\n"));
}

/* SCRAM proofs are none of an auth server's business. */
static void test_scram_is_not_asked(void **state)
{
    http_only();
    auth_case_cred(SASL_SCRAM_SHA_256, "bob", "");
    auth_case.cred.is_proved = true;
    assert_string_equal(auth_case_ask(), "REJECTED -: no provider knows the user");
    assert_int_equal(site.n_requests, 0);
}

/* Users of the store go first; the auth server hears of the others only. */
static void test_after_users(void **state)
{
    static char url[64];
    static struct config_auth auths[2];
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/", site.at.port);
    auths[0] = (struct config_auth){.type = AUTH_TYPE_USERS};
    auths[1] = (struct config_auth){.type = AUTH_TYPE_HTTP, .url = url, .timeout_ms = 10000};
    auth_case_configure(auths, 2);
    AUTH_CASE_USERS({.name = "alice", .password_hash = "{PLAIN}secret"});
    assert_string_equal(auth_case_login("alice", "secret"),
                        "OK users alice login=PLAIN alice secret");
    assert_string_equal(auth_case_login("alice", "x"), "REJECTED users: wrong password");
    assert_int_equal(site.n_requests, 0);
    assert_string_equal(auth_case_login("bob", "x"), "OK http bob login=PLAIN bob x");
}

static void test_cache(void **state)
{
    configure("http://127.0.0.1:", 10000, 60000);
    reply("Auth-Status: OK\r\nAuth-Server: mail\r\nAuth-Port: 143\r\nAuth-Pass: other\r\n");
    assert_string_equal(auth_case_login("bob", "x"),
                        "OK http bob login=PLAIN bob other server=mail port=143");
    assert_string_equal(auth_case_login("bob", "x"),
                        "OK http (cached) bob login=PLAIN bob other server=mail port=143");
    assert_int_equal(site.n_requests, 1);
    reply("Auth-Status: no\r\nAuth-Wait: 1\r\n");
    for (unsigned i = 2; i < 4; i++) {
        assert_string_equal(auth_case_login("bob", "y"),
                            "REJECTED http: refused by the auth server: no text=no wait=1000");
        assert_int_equal(site.n_requests, i);
    }
}

/* ---- time ---- */

static void test_wait(void **state)
{
    http_only();
    site.replies[0] = "Auth-Status: WAIT\r\n"; /* NGINX would ask at once, for ever */
    site.replies[1] = "Auth-Status: OK\r\n";
    site.n_replies = 2;
    uint64_t begin = clock_ms();
    assert_string_equal(auth_case_login("bob", "x"), "OK http bob login=PLAIN bob x");
    assert_true(clock_ms() - begin >= 1000);
    assert_int_equal(site.n_requests, 2);
    /* the same request again: the attempt is not counted */
    const char *first = buf_cstr(&site.requests);
    const char *second = strstr(first + 1, "GET ");
    assert_non_null(second);
    assert_int_equal(strlen(second), second - first);
    assert_memory_equal(first, second, strlen(second));
}

static void test_silence(void **state)
{
    configure("http://127.0.0.1:", 300, 0);
    site.is_silent = true;
    const char *text = auth_case_login("bob", "x");
    assert_int_equal(strncmp(text, "TEMPFAIL http: auth server: timed out", 37), 0);
}

static void test_no_server(void **state)
{
    http_only();
    evconnlistener_free(site.listener);
    site.listener = NULL;
    const char *text = auth_case_login("bob", "x");
    assert_int_equal(strncmp(text, "TEMPFAIL http: auth server: connection refused", 46), 0);
}

static bool has_requests(void *arg)
{
    return site.n_requests >= *(unsigned *)arg;
}

static bool has_no_queries(void *arg)
{
    (void)arg;
    return list_is_empty(&auth_case.auth->queries);
}

/* The auth server counts attempts: a request that is on its way is completed, and its connection
 * serves the next one. */
static void test_cancel(void **state)
{
    struct auth_case_answer a;
    unsigned wanted = 1;
    http_only();
    site.is_silent = true;
    auth_case_cred(SASL_PLAIN, "bob", "x");
    struct auth_query *q = auth_case_begin(&a);
    io_case_run(auth_case.loop, has_requests, &wanted);
    auth_cancel(q);
    site.is_silent = false;
    site.n_requests = 0;
    site_answer(site.conns[0]);
    io_case_run(auth_case.loop, has_no_queries, NULL);
    assert_string_equal(auth_case_ask(), "OK http bob login=PLAIN bob x");
    assert_false(a.is_here);
    assert_int_equal(site.n_requests, 2);
    assert_int_equal(site.n_conns, 1);
}

/* What waits for a connection is not sent for a client that left. */
static void test_cancel_unsent(void **state)
{
    struct auth_case_answer a, b;
    unsigned wanted = 1;
    http_only();
    http_auth.connections = 1;
    auth_case_configure(&http_auth, 1);
    reply("Auth-Status: OK\r\nAuth-Server: 10.0.0.1\r\nAuth-Port: 143\r\n");
    site.is_silent = true;
    auth_case_cred(SASL_PLAIN, "bob", "x");
    (void)auth_case_begin(&a);
    io_case_run(auth_case.loop, has_requests, &wanted);
    struct auth_query *unsent = auth_case_begin(&b);
    io_case_idle(auth_case.loop, 20);
    auth_cancel(unsent);
    assert_int_equal(site.n_requests, 1);
    site.is_silent = false;
    site_answer(site.conns[0]); /* counts once more */
    io_case_run(auth_case.loop, io_case_is_true, &a.is_here);
    io_case_run(auth_case.loop, has_no_queries, NULL);
    io_case_idle(auth_case.loop, 20);
    assert_int_equal(site.n_requests, 2);
    assert_false(b.is_here);
}

/* But nobody waits for one who left. */
static void test_cancel_while_waiting(void **state)
{
    struct auth_case_answer a, b;
    unsigned wanted = 2;
    http_only();
    reply("Auth-Status: WAIT\r\nAuth-Wait: 1\r\n");
    auth_case_cred(SASL_PLAIN, "bob", "x");
    struct auth_query *before = auth_case_begin(&a), *after = auth_case_begin(&b);
    io_case_run(auth_case.loop, has_requests, &wanted);
    auth_cancel(before); /* its reply is on the way */
    io_case_idle(auth_case.loop, 50);
    auth_cancel(after); /* it waits */
    io_case_idle(auth_case.loop, 1600);
    assert_false(a.is_here || b.is_here);
    assert_int_equal(site.n_requests, 2);
    assert_true(list_is_empty(&auth_case.auth->queries));
}

static void test_free_while_asking(void **state)
{
    struct auth_case_answer a, b;
    unsigned wanted = 1;
    http_only();
    site.is_silent = true;
    auth_case_cred(SASL_PLAIN, "bob", "x");
    (void)auth_case_begin(&a);
    io_case_run(auth_case.loop, has_requests, &wanted);
    reply("Auth-Status: WAIT\r\nAuth-Wait: 100\r\n");
    site.is_silent = false;
    wanted = 2;
    (void)auth_case_begin(&b);
    io_case_run(auth_case.loop, has_requests, &wanted);
    io_case_idle(auth_case.loop, 50);
    auth_free(auth_case.auth);
    auth_case.auth = NULL;
    io_case_idle(auth_case.loop, 50);
    assert_false(a.is_here || b.is_here);
}

/* A reload while an auth server is asked: the old client lives until it has answered. */
static void test_reload_meanwhile(void **state)
{
    struct auth_case_answer a;
    http_only();
    auth_case_cred(SASL_PLAIN, "bob", "x");
    (void)auth_case_begin(&a);
    uint64_t now = clock_ms();
    io_case_run(auth_case.loop, io_case_after, &now);
    AUTH_CASE_PROVIDERS({.type = AUTH_TYPE_BACKEND});
    io_case_run(auth_case.loop, io_case_is_true, &a.is_here);
    assert_string_equal(a.text, "OK http bob login=PLAIN bob x");
}

/* ---- what operators say of a name that the auth server judges ---- */

static void test_names(void **state)
{
    const char *to_b1 = "Auth-Status: OK\r\nAuth-Server: 10.0.0.1\r\nAuth-Port: 143\r\n";
    http_only();
    AUTH_CASE_NAMES({.name = "locked", .state = USER_LOCKED, .state_text = "Pay first"},
                    {.name = "held", .state = USER_HELD},
                    {.name = "moved", .pool = "main", .backend = "b2", .max_sessions = 2},
                    {.name = "pop", .protocols = 1u << PROTO_POP3});
    reply("Auth-Status: no\r\nAuth-Wait: 1\r\n");
    assert_string_equal(auth_case_login("locked", "x"),
                        "REJECTED http: refused by the auth server: no text=no wait=1000");
    reply(to_b1);
    assert_string_equal(auth_case_login("LOCKED", "x"),
                        "LOCKED http: the account is locked text=Pay first");
    assert_string_equal(auth_case_login("held", "x"),
                        "OK http held login=PLAIN held x server=10.0.0.1 port=143 held");
    assert_string_equal(auth_case_login("moved", "x"),
                        "OK http moved login=PLAIN moved x pool=main backend=b2 max=2");
    assert_string_equal(auth_case_login("pop", "x"),
                        "REJECTED http: the account may not use this protocol"
                        " text=This account may not use this protocol.");
    assert_string_equal(auth_case_login("other", "x"),
                        "OK http other login=PLAIN other x server=10.0.0.1 port=143");
    assert_int_equal(site.n_requests, 6); /* the auth server judged them all */
}

/* One mailbox has several names: what is said of it holds for each, and what is said of one of them
 * for that one. */
static void test_names_of_an_alias(void **state)
{
    http_only();
    AUTH_CASE_NAMES({.name = "bob", .pool = "main", .backend = "b2", .max_sessions = 2},
                    {.name = "b.smith", .state = USER_LOCKED, .pool = "other"});
    reply("Auth-Status: OK\r\nAuth-User: bob\r\n");
    assert_string_equal(auth_case_login("bobby", "x"),
                        "OK http bob login=PLAIN bob x pool=main backend=b2 max=2");
    assert_string_equal(auth_case_login("b.smith", "x"), "LOCKED http: the account is locked");
    AUTH_CASE_NAMES({.name = "bob", .state = USER_LOCKED, .state_text = "bob's"},
                    {.name = "b.smith"});
    assert_string_equal(auth_case_login("b.smith", "x"),
                        "LOCKED http: the account is locked text=bob's");
    assert_string_equal(auth_case_login("bob", "x"),
                        "LOCKED http: the account is locked text=bob's");
}

/* An answer that is remembered is forgotten with a word about either name. */
static void test_names_and_cache(void **state)
{
    configure("http://127.0.0.1:", 10000, 60000);
    reply("Auth-Status: OK\r\nAuth-User: bob\r\n");
    assert_string_equal(auth_case_login("bobby", "x"), "OK http bob login=PLAIN bob x");
    assert_string_equal(auth_case_login("bobby", "x"), "OK http (cached) bob login=PLAIN bob x");
    static const char *const names[] = {"bob", "bobby"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        AUTH_CASE_NAMES({.name = (char *)names[i], .state = USER_LOCKED});
        auth_forget(auth_case.auth, names[i]);
        for (int again = 0; again < 2; again++)
            assert_string_equal(auth_case_login("bobby", "x"),
                                "LOCKED http: the account is locked");
        AUTH_CASE_NAMES({.name = (char *)names[i]});
        auth_forget(auth_case.auth, names[i]);
        assert_string_equal(auth_case_login("bobby", "x"), "OK http bob login=PLAIN bob x");
    }
    AUTH_CASE_NAMES({.name = "bob", .state = USER_HELD});
    auth_forget(auth_case.auth, "bob");
    for (int again = 0; again < 2; again++)
        assert_string_equal(auth_case_login("bobby", "x"), "OK http bob login=PLAIN bob x held");
}

/* Nothing is said of anybody: no login waits for the store. */
static void test_no_names(void **state)
{
    http_only();
    assert_false(auth_case.auth->has_names);
    store_close(auth_case.store); /* whoever asks it dies */
    auth_case.store = auth_case.auth->store = NULL;
    assert_string_equal(auth_case_login("bob", "x"), "OK http bob login=PLAIN bob x");
}

/* An account without a password opens no way past the auth server; what it says of the mail server
 * holds. */
static void test_account_without_password(void **state)
{
    configure("http://127.0.0.1:", 10000, 0);
    static struct config_auth both[2];
    both[0] = (struct config_auth){.type = AUTH_TYPE_USERS};
    both[1] = http_auth;
    auth_case_configure(both, 2);
    AUTH_CASE_USERS({.name = "bob", .pool = "main", .backend_user = "Robert"},
                    {.name = "own", .backend_password = "other"},
                    {.name = "eve", .master_user = "root", .backend_password = "master's"},
                    {.name = "known", .password_hash = "{PLAIN}secret"});
    AUTH_CASE_NAMES({.name = "carol", .backend = "b2"});
    reply("Auth-Status: no\r\nAuth-Wait: 1\r\n");
    static const char *const names[] = {"bob", "own", "eve", "carol"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_string_equal(auth_case_login(names[i], "x"),
                            "REJECTED http: refused by the auth server: no text=no wait=1000");
    reply("Auth-Status: OK\r\n");
    assert_string_equal(auth_case_login("bob", "x"), "OK http bob login=PLAIN Robert x pool=main");
    assert_string_equal(auth_case_login("own", "x"), "OK http own login=PLAIN own other");
    assert_string_equal(auth_case_login("eve", "x"),
                        "OK http eve login=PLAIN eve master's master=root");
    assert_string_equal(auth_case_login("carol", "x"),
                        "OK http carol login=PLAIN carol x backend=b2");
    assert_int_equal(site.n_requests, 8);
    assert_string_equal(auth_case_login("known", "x"), "REJECTED users: wrong password");
    assert_int_equal(site.n_requests, 8);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_wire),
        T(test_no_stale_password),
        T(test_kept_connection),
        T(test_urls),
        T(test_unix_socket),
        T(test_accepted),
        T(test_refused),
        T(test_long_words),
        T(test_nonsense),
        T(test_http_status),
        T(test_passwords_that_must_come),
        T(test_tokens),
        T(test_others_identity),
        T(test_no_login),
        T(test_scram_is_not_asked),
        T(test_after_users),
        T(test_cache),
        T(test_wait),
        T(test_silence),
        T(test_no_server),
        T(test_names),
        T(test_names_of_an_alias),
        T(test_names_and_cache),
        T(test_no_names),
        T(test_account_without_password),
        T(test_cancel),
        T(test_cancel_unsent),
        T(test_cancel_while_waiting),
        T(test_free_while_asking),
        T(test_reload_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
