/* SPDX-License-Identifier: ISC */
/* The engine that an upgrade replaced: when it stops accepting, what it tells, when it ends; and
 * what it makes of packets that are no orders. The control plane is a stand-in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "engine/handover.h"
#include "engine/wire.h"

#define WAIT_MS 20000

static struct handover *handover;
static struct loop *loop;
static struct loop_timer poll_timer;
static struct snapshot current;
static struct config config;
static bool (*is_enough)(void);
static uint64_t until_ms, sessions, limit_ms;
static bool has_no_clients;
static int wires[2];
/* What was called. */
static size_t n_retired, n_closed, n_stopped, n_olds_changed;
static uint64_t successor, stopped_rate;
static char stopped_why[32], failed_why[32];
static size_t listened[4], n_listened;
static uint32_t linked_pid;
static bool is_linked_successor;

/* ---- the control plane ---- */

uint64_t control_retire(struct control *c, uint64_t pid, uint64_t *ret_rate)
{
    (void)c;
    n_retired++;
    successor = pid;
    *ret_rate = 7;
    return limit_ms;
}

bool control_has_no_clients(const struct control *c)
{
    (void)c;
    return has_no_clients;
}

int control_listen(struct control *c, int fd, size_t i)
{
    (void)c;
    assert_int_equal(n_closed, 1); /* the old sockets are gone before the new ones come */
    listened[n_listened++] = i;
    close(fd);
    return 0;
}

void control_upgrade_checked(struct control *c)
{
    (void)c;
}

void control_upgrade_failed(struct control *c, struct str why)
{
    (void)c;
    (void)str_copy(failed_why, sizeof(failed_why), why);
}

void control_olds_changed(struct control *c)
{
    (void)c;
    n_olds_changed++;
}

void control_link(struct control *c, int fd, uint32_t pid, bool is_successor)
{
    (void)c;
    linked_pid = pid;
    is_linked_successor = is_successor;
    close(fd);
}

/* ---- the engine ---- */

static void on_close(void *arg)
{
    (void)arg;
    n_closed++;
}

static uint64_t count_sessions(void *arg)
{
    (void)arg;
    return sessions;
}

static struct snapshot *get_snapshot(void *arg)
{
    (void)arg;
    return &current;
}

static void on_stop(void *arg, const char *why, uint64_t rate)
{
    (void)arg;
    n_stopped++;
    stopped_rate = rate;
    (void)str_copy(stopped_why, sizeof(stopped_why), str_of(why));
}

static int setup(void **state)
{
    assert_int_equal(loop_new(NULL, &loop), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, wires),
                     0);
    config = (struct config){0};
    current = (struct snapshot){.config = &config};
    sessions = limit_ms = 0;
    has_no_clients = true;
    n_retired = n_closed = n_stopped = n_listened = n_olds_changed = 0;
    stopped_why[0] = failed_why[0] = '\0';
    linked_pid = 0;
    const struct handover_spec spec = {.loop = loop,
                                       .wire = wires[0],
                                       .close = on_close,
                                       .sessions = count_sessions,
                                       .snapshot = get_snapshot,
                                       .stop = on_stop};
    return handover_new(&spec, &handover);
}

static int teardown(void **state)
{
    handover_free(handover);
    loop_free(loop);
    close(wires[0]);
    close(wires[1]);
    return 0;
}

static void on_poll(struct loop_timer *t)
{
    if (is_enough() || clock_ms() > until_ms)
        loop_stop(loop);
    else
        loop_timer_set(loop, t, 1);
}

static void run(bool (*enough)(void))
{
    is_enough = enough;
    until_ms = clock_ms() + WAIT_MS;
    loop_timer_init(&poll_timer, on_poll);
    loop_timer_set(loop, &poll_timer, 1);
    assert_int_equal(loop_run(loop), 0);
    assert_true(enough());
}

static void hear(enum wire_order order, const void *body, size_t n, const int *fds, size_t n_fds)
{
    struct wire_packet p;
    wire_packet_init(&p, order, body, n);
    handover_hear(handover, &p, fds, n_fds);
}

static void retire(void)
{
    const uint64_t pid = 4711;
    hear(WIRE_RETIRE, &pid, sizeof(pid), NULL, 0);
}

static bool is_stopped(void)
{
    return n_stopped > 0;
}

static int open_descriptor(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

/* ---- retiring ---- */

static void without_sessions_it_ends_at_once(void **state)
{
    retire();
    assert_true(handover_is_retired(handover));
    assert_int_equal(successor, 4711);
    assert_int_equal(n_closed, 1);
    assert_int_equal(n_stopped, 1);
    assert_string_equal(stopped_why, "no sessions are left");
}

static bool is_told_of_one(void)
{
    static bool is_told;
    struct wire_message m;
    is_told = is_told || (wire_hear(wires[1], &m) == 0 && m.word == WIRE_SESSIONS && m.number == 1);
    return is_told;
}

static void the_last_session_and_the_last_operator(void **state)
{
    struct wire_message m;
    sessions = 2;
    has_no_clients = false;
    retire();
    assert_int_equal(n_stopped, 0);
    assert_int_equal(wire_hear(wires[1], &m), 0);
    assert_int_equal(m.word, WIRE_SESSIONS);
    assert_int_equal(m.number, 2);
    sessions = 1;
    uint64_t begun = clock_ms();
    run(is_told_of_one);
    assert_true(clock_ms() - begun >= 500); /* not with each tick */
    retire();                               /* told twice: once is enough */
    assert_int_equal(n_retired, 1);
    assert_int_equal(n_closed, 1);
    sessions = 0;
    assert_int_equal(n_stopped, 0); /* an operator still waits for an answer */
    has_no_clients = true;
    run(is_stopped);
    assert_string_equal(stopped_why, "no sessions are left");
}

static void the_operators_limit_ends_it(void **state)
{
    sessions = 5;
    limit_ms = 400;
    config.reload_session_timeout_ms = 3600000;
    uint64_t begun = clock_ms();
    retire();
    run(is_stopped);
    assert_true(clock_ms() - begun >= 400);
    assert_string_equal(stopped_why, "upgrade");
    assert_int_equal(stopped_rate, 7);
}

static void the_configured_limit_is_the_second_word(void **state)
{
    sessions = 5;
    config.reload_session_timeout_ms = 300;
    retire();
    run(is_stopped);
    assert_string_equal(stopped_why, "upgrade");
}

static void operators_find_it_beside_the_new_one(void **state)
{
    struct {
        uint64_t pid;
        uint32_t places[2];
    } body = {4711, {3, 1}};
    int fds[2] = {open_descriptor(), open_descriptor()};
    sessions = 1;
    hear(WIRE_RETIRE, &body, sizeof(body), fds, 2);
    assert_int_equal(n_listened, 2);
    assert_int_equal(listened[0], 3);
    assert_int_equal(listened[1], 1);
}

/* ---- packets ---- */

static void engines_that_finish(void **state)
{
    struct wire_old olds[PEER_ENGINES_MAX + 3] = {{.pid = 10, .sessions = 3, .number = 2}};
    size_t n;
    for (size_t i = 2; i < ARRAY_LEN(olds); i++)
        olds[i].pid = 10 + i; /* the second has no pid: it is nobody */
    hear(WIRE_OLDS, olds, sizeof(olds), NULL, 0);
    const struct control_old *list = handover_olds(handover, &n);
    assert_int_equal(n, PEER_ENGINES_MAX);
    assert_int_equal(list[0].pid, 10);
    assert_int_equal(list[0].sessions, 3);
    assert_int_equal(list[1].pid, 12);
    assert_int_equal(n_olds_changed, 1);
    hear(WIRE_OLDS, olds, sizeof(olds[0]) + 5, NULL, 0); /* a piece of one is none */
    (void)handover_olds(handover, &n);
    assert_int_equal(n, 1);
    hear(WIRE_OLDS, NULL, 0, NULL, 0);
    (void)handover_olds(handover, &n);
    assert_int_equal(n, 0);
}

static void a_connection_to_another(void **state)
{
    struct {
        struct wire_link link;
        uint32_t place;
    } body = {{.pid = 12, .is_successor = 1}, 0};
    int fd = open_descriptor();
    hear(WIRE_LINK, &body, sizeof(body.link) + sizeof(body.place), &fd, 1);
    assert_int_equal(linked_pid, 12);
    assert_true(is_linked_successor);
}

static void why_there_is_no_upgrade(void **state)
{
    hear(WIRE_FAILED, "bad file", 8, NULL, 0);
    assert_string_equal(failed_why, "bad file");
}

/* What is too short, or no order of an upgrade, does nothing and keeps no descriptor. */
static void nonsense_costs_nothing(void **state)
{
    const uint64_t pid = 4711;
    int fd = open_descriptor();
    hear(WIRE_RETIRE, &pid, sizeof(pid) - 1, &fd, 1);
    assert_false(handover_is_retired(handover));
    assert_false(is_open(fd));
    fd = open_descriptor();
    hear(WIRE_KEYS, &pid, sizeof(pid), &fd, 1);
    assert_false(is_open(fd));
    fd = open_descriptor();
    hear(WIRE_RETIRE, &pid, sizeof(pid), &fd, 1); /* a descriptor without its place */
    assert_false(is_open(fd));
    assert_false(handover_is_retired(handover));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        T(without_sessions_it_ends_at_once),
        T(the_last_session_and_the_last_operator),
        T(the_operators_limit_ends_it),
        T(the_configured_limit_is_the_second_word),
        T(operators_find_it_beside_the_new_one),
        T(engines_that_finish),
        T(a_connection_to_another),
        T(why_there_is_no_upgrade),
        T(nonsense_costs_nothing),
#undef T
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
