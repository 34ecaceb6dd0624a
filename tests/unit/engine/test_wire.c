/* SPDX-License-Identifier: ISC */
/* Messages between engine and supervisor: words, requests for sockets, descriptors on the way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "engine/wire.h"

static void test_words(void **state)
{
    (void)state;
    static const struct {
        const char *text, *word, *rest;
    } cases[] = {
        {"close unix:/a b", "close", "unix:/a b"},
        {"close ", "close", ""},
        {"close", "close", NULL},
        {"closed x", "close", NULL},
        {"clos", "close", NULL},
        {"", "close", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *rest = wire_after(cases[i].text, cases[i].word);
        if (cases[i].rest)
            assert_string_equal(rest, cases[i].rest);
        else
            assert_null(rest);
    }
}

static void test_bind_both_ways(void **state)
{
    (void)state;
    static const struct listen_spec cases[] = {
        {.address = "127.0.0.1:143", .backlog = 511, .is_v6_only = true, .so_rcvbuf = 4096},
        {.address = "unix:/run/with space/c.sock", .mode = 0660, .owner = "mail", .group = "adm"},
        {.address = "unix:/run/c.sock.old", .is_multipath = true, .so_sndbuf = 1, .group = "adm"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct listen_spec *a = &cases[i];
        char text[WIRE_TEXT_MAX];
        struct listen_spec b;
        assert_int_equal(wire_bind_format(text, a), 0);
        assert_int_equal(wire_bind_parse(text, &b), 0);
        assert_string_equal(b.address, a->address);
        assert_int_equal(b.backlog, a->backlog);
        assert_int_equal(b.is_v6_only, a->is_v6_only);
        assert_int_equal(b.is_multipath, a->is_multipath);
        assert_int_equal(b.so_rcvbuf, a->so_rcvbuf);
        assert_int_equal(b.so_sndbuf, a->so_sndbuf);
        assert_int_equal(b.mode, a->mode);
        assert_true(a->owner ? strcmp(b.owner, a->owner) == 0 : !b.owner);
        assert_true(a->group ? strcmp(b.group, a->group) == 0 : !b.group);
    }
    char bad[WIRE_TEXT_MAX] = "bind 1 0 0 0 0 0 - -";
    struct listen_spec b;
    assert_int_equal(wire_bind_parse(bad, &b), -ERR_SYNTAX);
}

/* Answers one request for a socket; something else is on the wire at that time. */
struct answerer {
    int wire;
    const char *answer;
    bool is_good;
};

static void *answer(void *arg)
{
    const struct answerer *a = arg;
    char text[WIRE_TEXT_MAX];
    AUTO_CLOSE int way = -1;
    if (wire_receive(a->wire, text, &way) == 0 && way >= 0) {
        wire_say(a->wire, "old %d 0 0", 5);
        (void)!wire_send(way, a->answer, a->is_good ? a->wire : -1);
    }
    return NULL;
}

static void ask(const char *words, bool is_good, int *ret_fd, char **ret_error)
{
    const struct listen_spec spec = {.address = "127.0.0.1:143"};
    int wire[2];
    pthread_t thread;
    char text[WIRE_TEXT_MAX];
    int passed;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, wire), 0);
    struct answerer a = {wire[1], words, is_good};
    assert_int_equal(pthread_create(&thread, NULL, answer, &a), 0);
    int err = wire_ask_bind(wire[0], &spec, ret_fd, ret_error);
    pthread_join(thread, NULL);
    assert_int_equal(err == 0, is_good);
    /* the other message is still there */
    assert_int_equal(wire_receive(wire[0], text, &passed), 0);
    assert_string_equal(text, "old 5 0 0");
    close(wire[0]);
    close(wire[1]);
}

static void test_ask(void **state)
{
    (void)state;
    char *error = NULL;
    int fd = -1;
    ask("ok", true, &fd, &error);
    assert_true(fd >= 0);
    assert_null(error);
    close(fd);
    ask("error it is taken", false, &fd, &error);
    assert_string_equal(error, "it is taken");
    free(error);
}

static void test_nobody_reads(void **state)
{
    (void)state;
    int wire[2], err = 0;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, wire), 0);
    for (int i = 0; i < 1000000 && err == 0; i++)
        err = wire_send(wire[0], "sessions 1", -1);
    assert_int_equal(err, -ERR_AGAIN);
    wire_say(-1, "nobody is there");
    close(wire[0]);
    close(wire[1]);
}

static void test_listen_address(void **state)
{
    (void)state;
    char path[64], address[80];
    snprintf(path, sizeof(path), "/tmp/mailproxy-test-%d.sock", (int)getpid());
    snprintf(address, sizeof(address), "unix:%s", path);
    const char *const asked[] = {"127.0.0.1:0", "[::1]:0", address};
    for (size_t i = 0; i < ARRAY_LEN(asked); i++) {
        const struct listen_spec spec = {.address = asked[i], .mode = 0600};
        AUTO_FREE char *error = NULL;
        AUTO_CLOSE int fd = -1;
        if (listen_open(&spec, &fd, &error) < 0 && i == 1)
            continue; /* no IPv6 here */
        AUTO_FREE char *said = listen_address(fd);
        assert_non_null(said);
        assert_true(listen_is_at(fd, said));
    }
    listen_unlink(address);
    assert_null(listen_address(-1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_bind_both_ways),
        cmocka_unit_test(test_ask),
        cmocka_unit_test(test_nobody_reads),
        cmocka_unit_test(test_listen_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
