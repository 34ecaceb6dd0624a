/* SPDX-License-Identifier: ISC */
/* Plain conns: both directions, back-pressure, half close, broken peers, connecting. */
#include "conn_case.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/un.h>

static struct loop *loop;
static struct end a, b;

static int setup(void **state)
{
    if (loop_new(NULL, &loop) != 0)
        return -1;
    end_init(&a, loop);
    end_init(&b, loop);
    return 0;
}

static int setup_pair(void **state)
{
    int fds[2];
    if (setup(state) != 0)
        return -1;
    io_case_pair(fds);
    assert_int_equal(conn_adopt(&a.conn, fds[0]), 0);
    assert_int_equal(conn_adopt(&b.conn, fds[1]), 0);
    conn_want_read(&a.conn, true);
    conn_want_read(&b.conn, true);
    return 0;
}

static int teardown(void **state)
{
    end_fini(&a);
    end_fini(&b);
    loop_free(loop);
    return 0;
}

static void test_both_ways(void **state)
{
    struct tls_info info;
    end_say(&a, "hello");
    end_say(&b, "hi");
    end_wait(&b, "hello");
    end_wait(&a, "hi");
    assert_int_equal(a.conn.out_bytes, 5);
    assert_int_equal(b.conn.in_bytes, 5);
    assert_int_equal(conn_send(&a.conn, NULL, 0), 0);
    assert_false(conn_tls_info(&a.conn, &info));
    assert_null(conn_tls_error(&a.conn));
    conn_close(&a.conn);
    assert_int_equal(a.conn.out_bytes, 5); /* the counters stay */
    assert_int_equal(conn_send(&a.conn, "x", 1), -ERR_CLOSED);
    io_case_run(loop, end_is_over, &b);
    assert_int_equal(b.read_err, -ERR_EOF);
}

#define BIG (8 * 1024 * 1024)

/* What the kernel does not take is kept, sent when there is room, and told once. */
static void test_back_pressure(void **state)
{
    uint64_t sum;
    AUTO_FREE char *noise = end_noise(BIG, &sum);
    conn_want_read(&b.conn, false);
    assert_int_equal(conn_send(&a.conn, noise, BIG), 0);
    end_say(&a, "end");
    size_t kept = conn_pending(&a.conn);
    assert_true(kept > BIG / 2);
    io_case_idle(loop, 30);
    assert_int_equal(conn_pending(&a.conn), kept);
    assert_int_equal(a.n_drained, 0);
    assert_int_equal(b.n_readable, 0);
    b.is_counting = true;
    conn_want_read(&b.conn, true);
    io_case_run(loop, end_is_drained, &a);
    assert_null(a.conn.out.data); /* holds no memory */
    conn_shutdown(&a.conn);
    io_case_run(loop, end_is_over, &b);
    assert_int_equal(b.in_n, BIG + 3);
    assert_true(b.in_sum == end_sum(sum, "end", 3));
    assert_int_equal(a.n_drained, 1);
}

/* Bytes that wait are told of when reading is turned on, and again while some are left. */
static void test_want_read(void **state)
{
    conn_want_read(&b.conn, false);
    end_say(&a, "abcdef");
    io_case_idle(loop, 20);
    assert_int_equal(b.n_readable, 0);
    b.read_max = 1;
    conn_want_read(&b.conn, true);
    end_wait(&b, "abcdef");
    conn_want_read(&b.conn, false);
    conn_want_read(&b.conn, true);
    conn_want_read(&b.conn, false);
    unsigned before = b.n_readable;
    end_say(&a, "g");
    io_case_idle(loop, 20);
    assert_int_equal(b.n_readable, before);
}

/* One side has said everything; what the other answers still arrives. */
static void test_half_close(void **state)
{
    uint64_t sum;
    AUTO_FREE char *noise = end_noise(BIG, &sum);
    b.is_counting = true;
    assert_int_equal(conn_send(&a.conn, noise, BIG), 0);
    conn_shutdown(&a.conn); /* not before the last byte is out */
    assert_true(conn_pending(&a.conn) > 0);
    assert_int_equal(conn_send(&a.conn, "x", 1), -ERR_CLOSED);
    io_case_run(loop, end_is_over, &b);
    assert_int_equal(b.read_err, -ERR_EOF);
    assert_true(b.in_n == BIG && b.in_sum == sum);
    assert_int_equal(a.read_err, 0);
    end_say(&b, "late answer");
    conn_shutdown(&b.conn);
    end_wait(&a, "late answer");
    io_case_run(loop, end_is_over, &a);
    assert_int_equal(a.read_err, -ERR_EOF);
}

static void test_cork(void **state)
{
    struct pollfd p = {.fd = b.conn.fd, .events = POLLIN};
    char text[16];
    conn_cork(&a.conn);
    end_say(&a, "one ");
    end_say(&a, "two");
    assert_int_equal(poll(&p, 1, 0), 0); /* nothing left yet */
    assert_int_equal(conn_pending(&a.conn), 7);
    assert_int_equal(conn_uncork(&a.conn), 0);
    assert_int_equal(conn_pending(&a.conn), 0);
    assert_int_equal(recv(b.conn.fd, text, sizeof(text), MSG_PEEK), 7);
    end_wait(&b, "one two");
    /* closing does not swallow what was gathered */
    conn_cork(&a.conn);
    end_say(&a, "!");
    conn_close(&a.conn);
    end_wait(&b, "one two!");
    assert_int_equal(conn_uncork(&a.conn), -ERR_CLOSED);
}

static void test_close_in_callback(void **state)
{
    end_say(&a, "x");
    b.is_closing = true;
    io_case_run(loop, end_is_over, &a);
    assert_int_equal(b.conn.fd, -1);
    assert_int_equal(b.n_readable, 1);
    size_t n;
    char c;
    assert_int_equal(conn_read(&b.conn, &c, 1, &n), -ERR_CLOSED);
}

/* A peer that resets the connection. */
static void test_reset(void **state)
{
    struct addr at;
    const struct linger now = {1, 0};
    int listening = io_case_listen(&at);
    assert_int_equal(conn_connect(&a.conn, &at, NULL), 0);
    conn_want_read(&a.conn, true);
    io_case_run(loop, end_is_connected, &a);
    int fd = accept(listening, NULL, NULL);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
    close(fd);
    io_case_run(loop, end_is_over, &a);
    assert_int_equal(a.read_err, -ERR_CLOSED);
    assert_int_equal(conn_send(&a.conn, "x", 1), -ERR_CLOSED);
    close(listening);
}

/* Output that fails is told even to an owner who does not read. */
static void test_reset_while_writing(void **state)
{
    struct addr at;
    const struct linger now = {1, 0};
    uint64_t sum;
    AUTO_FREE char *noise = end_noise(BIG, &sum);
    int listening = io_case_listen(&at);
    assert_int_equal(conn_connect(&a.conn, &at, NULL), 0);
    io_case_run(loop, end_is_connected, &a);
    int fd = accept(listening, NULL, NULL);
    assert_true(fd >= 0);
    assert_int_equal(conn_send(&a.conn, noise, BIG), 0);
    assert_true(conn_pending(&a.conn) > 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
    close(fd);
    io_case_run(loop, end_is_over, &a);
    assert_int_equal(a.read_err, -ERR_CLOSED);
    assert_int_equal(conn_pending(&a.conn), 0);
    assert_int_equal(a.n_drained, 0);
    close(listening);
}

static void test_connect(void **state)
{
    struct addr at, source, seen, local;
    struct sockaddr_storage ss;
    socklen_t n = sizeof(ss);
    int listening = io_case_listen(&at);
    assert_int_equal(addr_parse(STR("127.0.0.2"), &source), 0);
    assert_int_equal(conn_connect(&a.conn, &at, &source), 0);
    end_say(&a, "early"); /* waits for the connection */
    assert_int_equal(a.n_connected, 0);
    io_case_run(loop, end_is_connected, &a);
    assert_int_equal(a.connected_err, 0);
    int fd = accept(listening, (struct sockaddr *)&ss, &n);
    assert_true(fd >= 0);
    addr_from_sockaddr(&seen, (struct sockaddr *)&ss, n);
    assert_true(addr_ip_eq(&seen, &source));
    assert_int_equal(conn_local_addr(&a.conn, &local), 0);
    assert_true(addr_eq(&local, &seen));
    assert_int_equal(conn_adopt(&b.conn, fd), 0);
    conn_want_read(&b.conn, true);
    end_wait(&b, "early");
    close(listening);
}

static int tcp_option(int fd, int level, int name)
{
    int v = -1;
    socklen_t n = sizeof(v);
    assert_int_equal(getsockopt(fd, level, name, &v, &n), 0);
    return v;
}

static void test_keep_alive(void **state)
{
    struct addr at;
    int listening = io_case_listen(&at);
    assert_int_equal(conn_connect(&a.conn, &at, NULL), 0);
    io_case_run(loop, end_is_connected, &a);
    conn_keep_alive(&a.conn, 59500);
    assert_int_equal(tcp_option(a.conn.fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    assert_int_equal(tcp_option(a.conn.fd, IPPROTO_TCP, TCP_KEEPIDLE), 60);
    assert_int_equal(tcp_option(a.conn.fd, IPPROTO_TCP, TCP_KEEPINTVL), 11);
    assert_int_equal(tcp_option(a.conn.fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 120000);
    conn_keep_alive(&a.conn, 1);
    assert_int_equal(tcp_option(a.conn.fd, IPPROTO_TCP, TCP_KEEPIDLE), 1);
    conn_keep_alive(&a.conn, 32767000);
    assert_int_equal(tcp_option(a.conn.fd, IPPROTO_TCP, TCP_KEEPIDLE), 32767);
    close(listening);
}

static void test_connect_refused(void **state)
{
    struct addr at, none = {.family = AF_UNSPEC};
    close(io_case_bind(SOCK_STREAM, &at));
    int err = conn_connect(&a.conn, &at, NULL);
    if (err == 0) {
        io_case_run(loop, end_is_connected, &a);
        err = a.connected_err;
    }
    assert_int_equal(err, -ERR_REFUSED);
    assert_int_equal(a.conn.fd, -1);
    assert_int_equal(conn_connect(&a.conn, &none, NULL), -ERR_INVAL);
    assert_int_equal(conn_local_addr(&a.conn, &at), -ERR_CLOSED);
}

static void test_connect_unix(void **state)
{
    char folder[] = "/tmp/mailproxy-conn-XXXXXX", path[64], longest[300];
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/socket", folder);
    memset(longest, 'x', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(conn_connect_unix(&a.conn, longest), -ERR_TOO_LONG);
    assert_int_equal(conn_connect_unix(&a.conn, path), -ERR_NOT_FOUND);
    assert_true(str_copy(sun.sun_path, sizeof(sun.sun_path), str_of(path)));
    int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listening, (struct sockaddr *)&sun, sizeof(sun)), 0);
    assert_int_equal(listen(listening, 1), 0);
    assert_int_equal(conn_connect_unix(&a.conn, path), 0);
    assert_int_equal(a.n_connected, 0); /* told later, like any other success */
    io_case_run(loop, end_is_connected, &a);
    assert_int_equal(a.connected_err, 0);
    close(listening);
    (void)remove(path);
    (void)remove(folder);
}

/* Closed while it still connects: nobody is called, and it can be used again. */
static void test_close_while_connecting(void **state)
{
    struct addr at;
    int listening = io_case_listen(&at);
    assert_int_equal(conn_connect(&a.conn, &at, NULL), 0);
    conn_close(&a.conn);
    assert_int_equal(conn_connect(&a.conn, &at, NULL), 0);
    io_case_run(loop, end_is_connected, &a);
    assert_int_equal(a.n_connected, 1);
    close(listening);
}

/* Another owner takes over in the middle. */
static unsigned n_second;

static void second_readable(struct conn *c)
{
    char text[8];
    size_t n;
    while (conn_read(c, text, sizeof(text), &n) == 0)
        n_second += (unsigned)n;
}

static bool second_has_two(void *arg)
{
    (void)arg;
    return n_second == 2;
}

static void test_own(void **state)
{
    static const struct conn_ops second = {.readable = second_readable};
    n_second = 0;
    end_say(&a, "1");
    end_wait(&b, "1");
    conn_own(&b.conn, &second, NULL);
    end_say(&a, "23");
    io_case_run(loop, second_has_two, NULL);
    assert_true(end_has(&b, "1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_both_ways, setup_pair, teardown),
        cmocka_unit_test_setup_teardown(test_back_pressure, setup_pair, teardown),
        cmocka_unit_test_setup_teardown(test_want_read, setup_pair, teardown),
        cmocka_unit_test_setup_teardown(test_half_close, setup_pair, teardown),
        cmocka_unit_test_setup_teardown(test_cork, setup_pair, teardown),
        cmocka_unit_test_setup_teardown(test_close_in_callback, setup_pair, teardown),
        cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reset_while_writing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_connect, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keep_alive, setup, teardown),
        cmocka_unit_test_setup_teardown(test_connect_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_connect_unix, setup, teardown),
        cmocka_unit_test_setup_teardown(test_close_while_connecting, setup, teardown),
        cmocka_unit_test_setup_teardown(test_own, setup_pair, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
