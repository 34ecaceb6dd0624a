/* SPDX-License-Identifier: ISC */
/* The client of Redis against servers of the test: what is said first, calls in order, too late or
 * never answered, scripts, the breaker, Sentinels, servers that are none. */
#include "tests/unit/io/tls_case.h"

#include "io/redis/redis.h"
#include "io/redis/redis_reader.h"

/* ---- servers ---- */

#define SITES 3
#define CONNS_MAX 64

struct site {
    struct event *event;
    int fd;
    char text[64]; /* as a specification writes it */
    struct site_conn {
        struct end end;
        struct redis_reader reader;
        struct site *site;
    } conns[CONNS_MAX];
    size_t n_conns;
    struct buf heard;                                 /* "AUTH x;SELECT 2;" */
    const char *auth, *role, *info, *probe, *primary; /* replies; NULL = silence */
    const char *answer;     /* to all else; "" = what was asked for: ":N" of "SAY N" */
    bool is_without_script; /* EVALSHA finds nothing */
    bool wants_password;    /* from those that ask for the primary */
    struct tls_server *tls;
};

static struct loop *loop;
static struct site sites[SITES];
static struct redis_client *client;
static unsigned n_changes;
static bool is_up;

static void site_answer(struct site_conn *c, const struct redisReply *command)
{
    struct site *s = c->site;
    char number[32];
    const char *word = command->element[0]->str, *reply = s->answer;
    for (size_t i = 0; i < command->elements; i++)
        assert_int_equal(buf_printf(&s->heard, "%s%s", i ? " " : "", command->element[i]->str), 0);
    assert_int_equal(buf_append_char(&s->heard, ';'), 0);
    if (strcmp(word, "AUTH") == 0) {
        reply = s->auth;
        s->wants_password &= strcmp(s->auth, "+OK\r\n") != 0;
    } else if (strcmp(word, "SELECT") == 0) {
        reply = "+OK\r\n";
    } else if (strcmp(word, "ROLE") == 0) {
        reply = s->role;
    } else if (strcmp(word, "INFO") == 0) {
        reply = s->info;
    } else if (strcmp(word, "SENTINEL") == 0) {
        reply = s->wants_password ? "-NOAUTH Authentication required.\r\n" : s->primary;
    } else if (strcmp(word, "EVAL") == 0 && strcmp(command->element[1]->str, "return 1") == 0) {
        reply = s->probe;
    } else if (strcmp(word, "EVALSHA") == 0 && s->is_without_script) {
        reply = "-NOSCRIPT No matching script. Please use EVAL.\r\n";
    } else if (reply && !*reply) {
        snprintf(number, sizeof(number), ":%s\r\n", command->element[1]->str);
        reply = number;
    }
    if (reply)
        end_say(&c->end, reply);
}

static void site_readable(struct conn *conn)
{
    struct end *e = end_of(conn);
    struct site_conn *c = CONTAINER_OF(e, struct site_conn, end);
    struct redisReply *command;
    end_readable(conn);
    assert_int_equal(redis_reader_feed(&c->reader, buf_str(&e->in)), 0);
    buf_clear(&e->in);
    while (conn->fd >= 0 && redis_reader_next(&c->reader, &command) == 0) {
        site_answer(c, command);
        redis_reply_free(command);
    }
    if (e->read_err)
        conn_close(conn);
}

static const struct conn_ops site_ops = {.secured = end_secured, .readable = site_readable};

static void site_accept(evutil_socket_t fd, short what, void *arg)
{
    struct site *s = arg;
    int got = accept(fd, NULL, NULL);
    (void)what;
    if (got < 0)
        return;
    assert_true(s->n_conns < CONNS_MAX);
    struct site_conn *c = &s->conns[s->n_conns++];
    c->site = s;
    end_init(&c->end, loop);
    assert_int_equal(redis_reader_init(&c->reader, 1 << 20), 0);
    conn_own(&c->end.conn, &site_ops, &c->end);
    assert_int_equal(conn_adopt(&c->end.conn, got), 0);
    conn_want_read(&c->end.conn, true);
    if (s->tls)
        assert_int_equal(conn_secure_server(&c->end.conn, s->tls, NULL), 0);
}

#define PRIMARY "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"
#define REPLICA "*5\r\n$5\r\nslave\r\n$1\r\nx\r\n:1\r\n$9\r\nconnected\r\n:0\r\n"

static void site_start(struct site *s)
{
    struct addr at;
    *s = (struct site){
        .auth = "+OK\r\n", .role = PRIMARY, .info = "$-1\r\n", .probe = ":1\r\n", .answer = ""};
    s->fd = io_case_listen(&at);
    addr_format(s->text, &at);
    s->event = event_new(loop_base(loop), s->fd, EV_READ | EV_PERSIST, site_accept, s);
    assert_int_equal(event_add(s->event, NULL), 0);
}

static void site_hang_up(struct site *s)
{
    for (size_t i = 0; i < s->n_conns; i++)
        conn_close(&s->conns[i].end.conn);
}

static void site_stop(struct site *s)
{
    event_free(s->event);
    close(s->fd);
    for (size_t i = 0; i < s->n_conns; i++) {
        end_fini(&s->conns[i].end);
        redis_reader_fini(&s->conns[i].reader);
    }
    buf_fini(&s->heard);
    tls_server_unref(s->tls);
}

/* ---- the client ---- */

static void on_changed(void *arg, bool up)
{
    (void)arg;
    assert_true(up != is_up);
    is_up = up;
    n_changes++;
}

/* A client of the first n sites. */
static void make(struct redis_spec spec, size_t n)
{
    const char *servers[SITES];
    for (size_t i = 0; i < n; i++)
        servers[i] = sites[i].text;
    spec.servers = servers;
    spec.n_servers = n;
    spec.changed = on_changed;
    assert_int_equal(redis_client_new(loop, &spec, &client), 0);
    assert_false(redis_is_up(client));
}

static bool is_client_up(void *arg)
{
    (void)arg;
    return is_up && redis_is_up(client);
}

static bool is_client_down(void *arg)
{
    (void)arg;
    return !is_up && !redis_is_up(client);
}

static void make_up(struct redis_spec spec, size_t n)
{
    make(spec, n);
    io_case_run(loop, is_client_up, NULL);
}

static struct redis_facts facts(void)
{
    struct redis_facts f;
    redis_look(client, &f);
    return f;
}

static bool has_why(void *arg)
{
    return strstr(facts().why, arg) != NULL;
}

struct answer {
    unsigned n;
    int err;
    long long number;
    char text[128];
};

static void on_result(void *arg, const struct redis_result *r)
{
    struct answer *a = arg;
    a->n++;
    a->err = r->err;
    assert_int_equal(r->err == 0, r->reply != NULL);
    assert_int_equal(r->err == 0, r->error == NULL);
    a->number = r->reply ? r->reply->integer : 0;
    (void)str_copy(a->text, sizeof(a->text), str_of(r->error));
}

static bool has_answer(void *arg)
{
    return ((struct answer *)arg)->n > 0;
}

static struct redis_call *ask(struct answer *a, const char *number, uint64_t timeout_ms)
{
    const struct str words[] = {STR("SAY"), str_of(number)};
    struct redis_call *call;
    *a = (struct answer){0};
    assert_int_equal(redis_call(client, words, 2, timeout_ms, on_result, a, &call), 0);
    assert_int_equal(a->n, 0);
    return call;
}

static void expect(struct answer *a, int err, long long number)
{
    io_case_run(loop, has_answer, a);
    assert_int_equal(a->n, 1);
    assert_string_equal(err_name(a->err), err_name(err));
    assert_int_equal(a->number, number);
}

static int setup(void **state)
{
    client = NULL;
    is_up = false;
    n_changes = 0;
    if (loop_new(NULL, &loop) != 0)
        return -1;
    for (size_t i = 0; i < SITES; i++)
        site_start(&sites[i]);
    return 0;
}

static int teardown(void **state)
{
    redis_client_free(client);
    for (size_t i = 0; i < SITES; i++)
        site_stop(&sites[i]);
    loop_free(loop);
    return 0;
}

/* ---- tests ---- */

static void test_greeting(void **state)
{
    make_up((struct redis_spec){.user = "proxy", .password = "secret", .database = 2}, 1);
    assert_string_equal(buf_cstr(&sites[0].heard),
                        "AUTH proxy secret;SELECT 2;ROLE;INFO cluster;EVAL return 1 0;");
    assert_string_equal(facts().server, sites[0].text);
    assert_true(facts().is_up && !facts().is_open && facts().up_since_ms > 0);
}

static void test_calls_in_order(void **state)
{
    struct answer a[100];
    char numbers[100][8];
    make_up((struct redis_spec){0}, 1);
    buf_clear(&sites[0].heard);
    for (size_t i = 0; i < 100; i++) {
        snprintf(numbers[i], sizeof(numbers[i]), "%zu", i);
        (void)ask(&a[i], numbers[i], 20000);
    }
    assert_int_equal(facts().calls, 100);
    expect(&a[99], 0, 99);
    for (size_t i = 0; i < 100; i++)
        expect(&a[i], 0, (long long)i);
    assert_true(facts().latency_us > 0);
    /* An error reply is its call's alone. */
    sites[0].answer = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";
    (void)ask(&a[0], "1", 20000);
    expect(&a[0], -ERR_REFUSED, 0);
    assert_string_equal(a[0].text, "OOM command not allowed when used memory > 'maxmemory'.");
    assert_true(redis_is_up(client));
}

static void test_cancel(void **state)
{
    struct answer gone, stays;
    make_up((struct redis_spec){0}, 1);
    struct redis_call *call = ask(&gone, "1", 20000);
    (void)ask(&stays, "2", 20000);
    redis_cancel(call);
    redis_cancel(NULL);
    expect(&stays, 0, 2);
    assert_int_equal(gone.n, 0);
}

/* A reply that comes after its time is nobody's; the next call has its own. */
static void test_late_reply(void **state)
{
    struct answer late, next;
    make_up((struct redis_spec){0}, 1);
    sites[0].answer = NULL;
    (void)ask(&late, "1", 20);
    expect(&late, -ERR_TIMEOUT, 0);
    assert_true(redis_is_up(client));
    sites[0].answer = "";
    (void)ask(&next, "2", 20000);
    end_say(&sites[0].conns[0].end, ":1\r\n");
    expect(&next, 0, 2);
    assert_int_equal(late.n, 1);
    assert_int_equal(facts().timeouts, 1);
}

/* Calls of different patience: each has its own time. */
static void test_timeouts_in_order(void **state)
{
    struct answer slow, quick;
    make_up((struct redis_spec){0}, 1);
    sites[0].answer = NULL;
    (void)ask(&slow, "1", 20000);
    (void)ask(&quick, "2", 20);
    expect(&quick, -ERR_TIMEOUT, 0);
    assert_int_equal(slow.n, 0);
}

static void test_breaker(void **state)
{
    const struct str words[] = {STR("SAY"), STR("1")};
    struct answer a[4], waiting;
    make_up((struct redis_spec){.connect_ms = 50}, 1);
    sites[0].answer = sites[0].probe = NULL;
    (void)ask(&waiting, "1", 20000);
    for (size_t i = 0; i < 3; i++) {
        (void)ask(&a[i], "1", 10);
        expect(&a[i], -ERR_TIMEOUT, 0);
    }
    expect(&waiting, -ERR_CLOSED, 0);
    io_case_run(loop, is_client_down, NULL);
    assert_true(facts().is_open && !facts().is_up && facts().up_since_ms == 0);
    assert_int_equal(redis_call(client, words, 2, 0, on_result, &a[3], NULL), -ERR_UNREACHABLE);
    assert_int_equal(facts().refused, 1);
    /* It answers who it is, but runs nothing: that is not enough. */
    io_case_run(loop, has_why, "timed out");
    assert_false(redis_is_up(client));
    sites[0].answer = "";
    sites[0].probe = ":1\r\n";
    io_case_run(loop, is_client_up, NULL);
    (void)ask(&a[0], "7", 20000);
    expect(&a[0], 0, 7);
    assert_int_equal(facts().reconnects, 1);
    assert_int_equal(n_changes, 3);
}

static void test_broken_connection(void **state)
{
    struct answer a, b;
    make_up((struct redis_spec){0}, 1);
    sites[0].answer = NULL;
    (void)ask(&a, "1", 20000);
    (void)ask(&b, "1", 20000);
    io_case_idle(loop, 5);
    site_hang_up(&sites[0]);
    expect(&a, -ERR_CLOSED, 0);
    expect(&b, -ERR_CLOSED, 0);
    assert_non_null(strstr(b.text, "closed"));
    io_case_run(loop, is_client_up, NULL);
    assert_int_equal(facts().errors, 2);
}

/* A primary that has become a replica is left for the one that has become the primary. */
static void test_demoted(void **state)
{
    struct answer a;
    make_up((struct redis_spec){0}, 2);
    assert_string_equal(facts().server, sites[0].text);
    sites[0].answer = "-READONLY You can't write against a read only replica.\r\n";
    sites[0].role = REPLICA;
    (void)ask(&a, "1", 20000);
    expect(&a, -ERR_REFUSED, 0);
    io_case_run(loop, is_client_down, NULL);
    io_case_run(loop, is_client_up, NULL);
    assert_string_equal(facts().server, sites[1].text);
    (void)ask(&a, "3", 20000);
    expect(&a, 0, 3);
}

static void test_configure(void **state)
{
    struct answer a;
    const char *servers[] = {sites[1].text}, *bad[] = {"a b"};
    make_up((struct redis_spec){0}, 1);
    sites[0].answer = NULL;
    (void)ask(&a, "1", 20000);
    assert_int_equal(
        redis_client_configure(client, &(struct redis_spec){.servers = bad, .n_servers = 1}),
        -ERR_SYNTAX);
    assert_true(redis_is_up(client));
    assert_int_equal(
        redis_client_configure(
            client, &(struct redis_spec){.servers = servers, .n_servers = 1, .database = 3}),
        0);
    expect(&a, -ERR_CLOSED, 0);
    io_case_run(loop, is_client_up, NULL);
    assert_string_equal(facts().server, sites[1].text);
    assert_non_null(strstr(buf_cstr(&sites[1].heard), "SELECT 3;"));
}

/* What is sent last of all, before the loop ends. */
static void test_flush(void **state)
{
    const struct str words[] = {STR("SAY"), STR("1")};
    make_up((struct redis_spec){0}, 1);
    buf_clear(&sites[0].heard);
    assert_int_equal(redis_call(client, words, 2, 0, NULL, NULL, NULL), 0);
    redis_flush(client);
    redis_client_free(STEAL(client));
    io_case_idle(loop, 20);
    assert_string_equal(buf_cstr(&sites[0].heard), "SAY 1;");
}

static const char why_role[] = "is no primary but a replica";

static void test_refused_servers(void **state)
{
    static const struct {
        const char *auth, *role, *info, *probe, *why;
    } cases[] = {
        {"-WRONGPASS invalid username-password pair\r\n", PRIMARY, "$-1\r\n", ":1\r\n",
         "says: WRONGPASS invalid username-password pair"},
        {"+OK\r\n", REPLICA, "$-1\r\n", ":1\r\n", why_role},
        {"+OK\r\n", "+no\r\n", "$-1\r\n", ":1\r\n", "speaks, but not as Redis does"},
        {"+OK\r\n", "*1\r\n:1\r\n", "$-1\r\n", ":1\r\n", "speaks, but not as Redis does"},
        {"+OK\r\n", PRIMARY, "$19\r\ncluster_enabled:1\r\n\r\n", ":1\r\n", "Redis Cluster"},
        {"+OK\r\n", PRIMARY, "$-1\r\n", "-NOPERM this user has no permissions\r\n",
         "says: NOPERM this user"},
        {"+OK\r\n", PRIMARY, "$-1\r\n", "-LOADING Redis is loading\r\n", "says: LOADING"},
        {"+OK\r\n", PRIMARY, "$-1\r\n", NULL, "timed out"},
        {"HTTP/1.1 400 Bad Request\r\n\r\n", PRIMARY, "$-1\r\n", ":1\r\n", "protocol violation"},
        {"*2000000000\r\n", PRIMARY, "$-1\r\n", ":1\r\n", "too long"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        sites[0].auth = cases[i].auth;
        sites[0].role = cases[i].role;
        sites[0].info = cases[i].info;
        sites[0].probe = cases[i].probe;
        make((struct redis_spec){.password = "p", .connect_ms = 50}, 1);
        io_case_run(loop, has_why, (void *)cases[i].why);
        assert_non_null(strstr(facts().why, sites[0].text));
        assert_false(redis_is_up(client));
        assert_int_equal(n_changes, 0);
        redis_client_free(STEAL(client));
    }
}

/* Nobody listens, a replica, then a primary. */
static void test_next_server(void **state)
{
    event_del(sites[0].event);
    assert_int_equal(shutdown(sites[0].fd, SHUT_RDWR), 0);
    sites[1].role = REPLICA;
    make_up((struct redis_spec){.connect_ms = 1000}, 3);
    assert_string_equal(facts().server, sites[2].text);
}

static void test_unasked(void **state)
{
    make_up((struct redis_spec){0}, 1);
    end_say(&sites[0].conns[0].end, ":1\r\n");
    io_case_run(loop, is_client_down, NULL);
    assert_non_null(strstr(facts().why, "protocol"));
    io_case_run(loop, is_client_up, NULL);
}

static void test_limits(void **state)
{
    const struct str words[] = {STR("SAY"), STR("1")};
    struct answer a[2];
    make_up((struct redis_spec){.max_calls = 2, .max_reply_bytes = 1000}, 1);
    sites[0].answer = NULL;
    (void)ask(&a[0], "1", 20000);
    (void)ask(&a[1], "1", 20000);
    assert_int_equal(redis_call(client, words, 2, 0, NULL, NULL, NULL), -ERR_BUSY);
    io_case_idle(loop, 5);
    end_say(&sites[0].conns[0].end, "*1000\r\n");
    expect(&a[0], -ERR_CLOSED, 0);
    assert_non_null(strstr(a[0].text, "too long"));
}

static struct redis_script script = {.text = "return ARGV[1]"};

static void test_script(void **state)
{
    const struct str words[] = {STR("4"), STR("two words")};
    struct answer a = {0};
    redis_script_init(&script);
    assert_string_equal(script.sha, "098e0f0d1448c0a81dafe820f66d460eb09263da");
    make_up((struct redis_spec){0}, 1);
    buf_clear(&sites[0].heard);
    sites[0].answer = ":9\r\n";
    assert_int_equal(redis_eval(client, &script, words, 2, 1, 20000, on_result, &a, NULL), 0);
    expect(&a, 0, 9);
    assert_string_equal(buf_cstr(&sites[0].heard),
                        "EVALSHA 098e0f0d1448c0a81dafe820f66d460eb09263da 1 4 two words;");
    /* A server that was restarted has forgotten it. */
    buf_clear(&sites[0].heard);
    sites[0].is_without_script = true;
    a = (struct answer){0};
    assert_int_equal(redis_eval(client, &script, words, 2, 1, 20000, on_result, &a, NULL), 0);
    expect(&a, 0, 9);
    assert_string_equal(buf_cstr(&sites[0].heard),
                        "EVALSHA 098e0f0d1448c0a81dafe820f66d460eb09263da 1 4 two words;"
                        "EVAL return ARGV[1] 1 4 two words;");
    assert_int_equal(facts().errors, 0);
}

/* The time of a script is one, for both ways to ask. */
static void test_script_in_time(void **state)
{
    struct answer a = {0};
    redis_script_init(&script);
    make_up((struct redis_spec){0}, 1);
    sites[0].is_without_script = true;
    sites[0].answer = NULL;
    assert_int_equal(redis_eval(client, &script, NULL, 0, 0, 20, on_result, &a, NULL), 0);
    expect(&a, -ERR_TIMEOUT, 0);
}

static void site_is_primary(struct site *sentinel, char *reply, size_t cap, const struct site *s)
{
    const char *port = strchr(s->text, ':') + 1;
    snprintf(reply, cap, "*2\r\n$9\r\n127.0.0.1\r\n$%zu\r\n%s\r\n", strlen(port), port);
    sentinel->primary = reply;
}

static void test_sentinel(void **state)
{
    char first[128], second[128];
    struct answer a;
    /* The first knows nothing of it, the second wants a password first. */
    sites[0].primary = "*-1\r\n";
    site_is_primary(&sites[1], first, sizeof(first), &sites[2]);
    sites[1].wants_password = true;
    make_up((struct redis_spec){.sentinel = "mail", .password = "p"}, 2);
    assert_string_equal(facts().server, sites[2].text);
    assert_string_equal(buf_cstr(&sites[0].heard), "SENTINEL get-master-addr-by-name mail;");
    assert_string_equal(buf_cstr(&sites[1].heard), "SENTINEL get-master-addr-by-name mail;"
                                                   "AUTH p;SENTINEL get-master-addr-by-name mail;");
    (void)ask(&a, "5", 20000);
    expect(&a, 0, 5);
    /* Promotion: what Sentinels tell late is not believed. */
    sites[2].role = REPLICA;
    sites[2].answer = "-READONLY You can't write against a read only replica.\r\n";
    (void)ask(&a, "6", 20000);
    expect(&a, -ERR_REFUSED, 0);
    io_case_run(loop, has_why, (void *)why_role);
    assert_false(redis_is_up(client));
    site_is_primary(&sites[1], second, sizeof(second), &sites[0]);
    io_case_run(loop, is_client_up, NULL);
    assert_string_equal(facts().server, sites[0].text);
}

static void test_sentinel_nonsense(void **state)
{
    static const char *const replies[] = {
        "+OK\r\n",
        "*1\r\n$1\r\na\r\n",
        "*2\r\n$3\r\na b\r\n$1\r\n1\r\n",
        "*2\r\n$1\r\na\r\n$6\r\n999999\r\n",
        "*2\r\n:1\r\n:2\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(replies); i++) {
        sites[0].primary = replies[i];
        make((struct redis_spec){.sentinel = "mail"}, 1);
        io_case_run(loop, has_why, "Sentinel ");
        assert_false(redis_is_up(client));
        redis_client_free(STEAL(client));
    }
}

/* ---- TLS ---- */

static struct tls_case_cert ca, cert;

static void test_tls(void **state)
{
    struct tls_client *trusting;
    struct answer a;
    char *why = NULL;
    const char *ca_file = ca.crt_file;
    const struct tls_cert_spec own = {.cert_file = cert.crt_file, .key_file = cert.key_file};
    const struct tls_server_spec server = {.certs = &own, .n_certs = 1};
    assert_int_equal(tls_server_new(&server, &sites[0].tls, &why), 0);
    assert_int_equal(
        tls_client_new(&(struct tls_client_spec){.is_verified = true, .ca_file = ca_file},
                       &trusting, &why),
        0);
    make((struct redis_spec){.tls = trusting, .tls_name = "wrong.test"}, 1);
    io_case_run(loop, has_why, "another name");
    redis_client_free(STEAL(client));
    make_up((struct redis_spec){.tls = trusting, .tls_name = "redis.test"}, 1);
    (void)ask(&a, "5", 20000);
    expect(&a, 0, 5);
    tls_client_unref(trusting);
}

static int setup_all(void **state)
{
    if (tls_case_setup(state) != 0)
        return -1;
    ca = tls_case_make(&(struct tls_case_spec){.file = "ca", .cn = "CA", .is_ca = true});
    cert = tls_case_make(&(struct tls_case_spec){
        .file = "redis", .cn = "redis", .dns = "redis.test", .issuer = &ca});
    return 0;
}

static int teardown_all(void **state)
{
    tls_case_cert_fini(&ca);
    tls_case_cert_fini(&cert);
    return rmdir(tls_case_folder);
}

/* ---- what callbacks do ---- */

static void on_result_free(void *arg, const struct redis_result *r)
{
    on_result(arg, r);
    redis_client_free(client);
}

static void test_free_within(void **state)
{
    const struct str words[] = {STR("SAY"), STR("1")};
    struct answer first = {0}, second = {0};
    make_up((struct redis_spec){0}, 1);
    assert_int_equal(redis_call(client, words, 2, 20000, on_result_free, &first, NULL), 0);
    assert_int_equal(redis_call(client, words, 2, 20000, on_result, &second, NULL), 0);
    expect(&first, 0, 1);
    io_case_idle(loop, 20);
    assert_int_equal(second.n, 0);
    client = NULL;
}

/* The same when the connection breaks, and when they are late. */
static void test_free_when_broken(void **state)
{
    const struct str words[] = {STR("SAY"), STR("1")};
    for (unsigned is_late = 0; is_late < 2; is_late++) {
        struct answer first = {0}, second = {0};
        is_up = false;
        sites[0].answer = NULL;
        make_up((struct redis_spec){0}, 1);
        assert_int_equal(
            redis_call(client, words, 2, is_late ? 10 : 20000, on_result_free, &first, NULL), 0);
        assert_int_equal(
            redis_call(client, words, 2, is_late ? 10 : 20000, on_result, &second, NULL), 0);
        io_case_idle(loop, 2);
        if (!is_late)
            site_hang_up(&sites[0]);
        io_case_run(loop, has_answer, &first);
        io_case_idle(loop, 20);
        assert_int_equal(second.n, 0);
        client = NULL;
    }
}

/* What is over is not told as if it were still so. */
static void test_why(void **state)
{
    struct redis_facts f = {.why = "OOM", .why_ms = 5000, .is_up = true};
    assert_string_equal(redis_why(&f, 5000), "OOM");
    assert_string_equal(redis_why(&f, 5000 + REDIS_WHY_MS - 1), "OOM");
    assert_string_equal(redis_why(&f, 5000 + REDIS_WHY_MS), "");
    f.is_up = false;
    assert_string_equal(redis_why(&f, 5000 + 10 * REDIS_WHY_MS), "OOM");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_why),
        T(test_greeting),
        T(test_calls_in_order),
        T(test_cancel),
        T(test_late_reply),
        T(test_timeouts_in_order),
        T(test_breaker),
        T(test_broken_connection),
        T(test_demoted),
        T(test_refused_servers),
        T(test_next_server),
        T(test_unasked),
        T(test_limits),
        T(test_script),
        T(test_script_in_time),
        T(test_sentinel),
        T(test_sentinel_nonsense),
        T(test_tls),
        T(test_free_within),
        T(test_free_when_broken),
        T(test_configure),
        T(test_flush),
    };
    return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
