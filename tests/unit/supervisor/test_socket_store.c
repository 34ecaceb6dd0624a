/* SPDX-License-Identifier: ISC */
/* Listening sockets for a content as a whole or not at all: prepared, committed, rolled back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "supervisor/socket_store.h"

static struct socket_store store;
static char folder[64], control[2][128];
static char tcp[2][32];

/* An address that nobody listens on now. */
static void free_address(char dst[32])
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sin);
    AUTO_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sin, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
    snprintf(dst, 32, "127.0.0.1:%u", ntohs(sin.sin_port));
}

static int setup(void **state)
{
    (void)str_copy(folder, sizeof(folder), STR("/tmp/mailproxy-sockets-XXXXXX"));
    if (!mkdtemp(folder))
        return -1;
    for (size_t i = 0; i < 2; i++) {
        snprintf(control[i], sizeof(control[i]), "unix:%s/%zu", folder, i);
        free_address(tcp[i]);
    }
    return 0;
}

static int teardown(void **state)
{
    socket_store_fini(&store);
    for (size_t i = 0; i < 2; i++)
        (void)unlink(control[i] + strlen("unix:"));
    return rmdir(folder);
}

static struct plan_socket want(char *address, enum listen_use use)
{
    return (struct plan_socket){
        .address = address, .spec = {.address = address, .use = use, .backlog = 5, .mode = 0600}};
}

/* Prepares for a content of these sockets. */
static int prepare(struct plan_socket *v, size_t n, unsigned uses, uint64_t number)
{
    const struct plan p = {.sockets = v, .n_sockets = n};
    AUTO_FREE char *error = NULL;
    int err = socket_store_prepare(&store, &p, uses, number, &error);
    assert_int_equal(err < 0, error != NULL);
    return err;
}

static void commit(struct plan_socket *v, size_t n, unsigned uses, uint64_t number)
{
    const struct plan p = {.sockets = v, .n_sockets = n};
    socket_store_commit(&store, &p, uses, number);
}

static bool has_file(size_t i)
{
    return access(control[i] + strlen("unix:"), F_OK) == 0;
}

static void test_commit(void **state)
{
    struct plan_socket first[] = {want(tcp[0], LISTEN_MAIL), want(control[0], LISTEN_CONTROL)};
    struct plan_socket second[] = {want(tcp[1], LISTEN_MAIL), want(control[1], LISTEN_CONTROL)};
    assert_int_equal(prepare(first, 2, SOCKET_STORE_ALL, 1), 0);
    int fd = socket_store_find(&store, &first[0], 1);
    assert_true(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
    assert_int_equal(socket_store_find(&store, &first[0], 2), -1); /* not in force for others yet */
    commit(first, 2, SOCKET_STORE_ALL, 1);
    assert_int_equal(socket_store_find(&store, &first[0], 2), fd);
    /* a reload: mail alone follows */
    assert_int_equal(prepare(second, 2, SOCKET_STORE_USE(LISTEN_MAIL), 2), 0);
    assert_int_equal(store.n, 3);
    commit(second, 2, SOCKET_STORE_USE(LISTEN_MAIL), 2);
    assert_int_equal(store.n, 2);
    assert_int_equal(socket_store_find(&store, &first[0], 2), -1);
    assert_true(socket_store_find(&store, &second[0], 2) >= 0);
    assert_true(socket_store_find(&store, &first[1], 2) >= 0 && has_file(0) && !has_file(1));
}

static void test_roll_back(void **state)
{
    struct plan_socket first[] = {want(tcp[0], LISTEN_MAIL), want(control[0], LISTEN_CONTROL)};
    struct plan_socket both[] = {first[0], first[1], want(tcp[1], LISTEN_MAIL),
                                 want(control[1], LISTEN_CONTROL)};
    assert_int_equal(prepare(first, 2, SOCKET_STORE_ALL, 1), 0);
    commit(first, 2, SOCKET_STORE_ALL, 1);
    int fd = socket_store_find(&store, &first[0], 1);
    assert_int_equal(prepare(both, 4, SOCKET_STORE_ALL, 2), 0);
    assert_true(store.n == 4 && has_file(1));
    assert_int_equal(socket_store_find(&store, &both[0], 2), fd); /* kept, not bound again */
    socket_store_roll_back(&store, 2);
    assert_true(store.n == 2 && !has_file(1) && has_file(0));
    assert_int_equal(socket_store_find(&store, &first[0], 1), fd);
    socket_store_roll_back(&store, 0); /* in force: nothing to roll back */
    assert_int_equal(store.n, 2);
}

/* One that cannot be bound: none is. */
static void test_all_or_nothing(void **state)
{
    struct socket_store other = {0};
    struct plan_socket taken[] = {want(tcp[1], LISTEN_MAIL)};
    const struct plan p = {.sockets = taken, .n_sockets = 1};
    AUTO_FREE char *error = NULL;
    assert_int_equal(socket_store_prepare(&other, &p, SOCKET_STORE_ALL, 1, &error), 0);
    struct plan_socket all[] = {want(control[0], LISTEN_CONTROL), want(tcp[0], LISTEN_MAIL),
                                taken[0]};
    assert_true(prepare(all, 3, SOCKET_STORE_ALL, 1) < 0);
    assert_true(store.n == 0 && !has_file(0));
    socket_store_fini(&other);
    assert_int_equal(prepare(all, 3, SOCKET_STORE_ALL, 1), 0);
}

/* Nothing but a socket is replaced by one. */
static void test_foreign_file(void **state)
{
    struct plan_socket v[] = {want(control[0], LISTEN_CONTROL)};
    AUTO_CLOSE int fd = open(control[0] + strlen("unix:"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_true(prepare(v, 1, SOCKET_STORE_ALL, 1) < 0);
    assert_true(has_file(0));
}

/* Somebody removed the file of a socket: it is bound again where it was, and by the next start. */
static void test_lost_file(void **state)
{
    struct plan_socket v[] = {want(control[0], LISTEN_CONTROL), want(tcp[0], LISTEN_MAIL)};
    AUTO_FREE char *error = NULL;
    int fd = -1;
    assert_int_equal(prepare(v, 2, SOCKET_STORE_ALL, 1), 0);
    assert_false(socket_store_is_lost(&store, &v[0])); /* not in force yet */
    commit(v, 2, SOCKET_STORE_ALL, 1);
    assert_false(socket_store_is_lost(&store, &v[0]) || socket_store_is_lost(&store, &v[1]));
    assert_int_equal(unlink(control[0] + strlen("unix:")), 0);
    assert_true(socket_store_is_lost(&store, &v[0]));
    assert_int_equal(socket_store_rebind(&store, &v[0], &fd, &error), 0);
    assert_true(fd >= 0 && fd == socket_store_find(&store, &v[0], 1) && has_file(0));
    assert_true(fcntl(fd, F_GETFD) == FD_CLOEXEC && store.n == 2);
    assert_false(socket_store_is_lost(&store, &v[0]));
    assert_int_equal(unlink(control[0] + strlen("unix:")), 0);
    assert_int_equal(prepare(v, 2, SOCKET_STORE_ALL, 2), 0);
    assert_int_not_equal(socket_store_find(&store, &v[0], 2), fd);
    commit(v, 2, SOCKET_STORE_ALL, 2);
    assert_true(store.n == 2 && has_file(0)); /* the old one's end leaves the new file alone */
}

/* What stands in its place is left alone, and the one that is kept stays. */
static void test_lost_for_good(void **state)
{
    struct plan_socket v[] = {want(control[0], LISTEN_CONTROL)};
    AUTO_FREE char *error = NULL;
    int fd = -1;
    assert_int_equal(prepare(v, 1, SOCKET_STORE_ALL, 1), 0);
    commit(v, 1, SOCKET_STORE_ALL, 1);
    int before = socket_store_find(&store, &v[0], 1);
    assert_int_equal(unlink(control[0] + strlen("unix:")), 0);
    AUTO_CLOSE int file = open(control[0] + strlen("unix:"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(file >= 0 && socket_store_is_lost(&store, &v[0]));
    assert_true(socket_store_rebind(&store, &v[0], &fd, &error) < 0 && error);
    assert_int_equal(socket_store_find(&store, &v[0], 1), before);
    socket_store_fini(&store);
    assert_true(has_file(0));
}

/* Sockets of one engine are nobody else's and end with it. */
static void test_owner(void **state)
{
    struct plan_socket v[] = {want(control[0], LISTEN_CONTROL)};
    AUTO_FREE char *error = NULL;
    int fd = -1;
    assert_int_equal(socket_store_bind_for(&store, &v[0].spec, 77, &fd, &error), 0);
    assert_true(fd >= 0 && has_file(0));
    assert_int_equal(socket_store_find(&store, &v[0], 1), -1);
    socket_store_roll_back(&store, 1);
    socket_store_forget_owner(&store, 78);
    assert_int_equal(store.n, 1);
    socket_store_forget_owner(&store, 77);
    assert_true(store.n == 0 && !has_file(0));
}

static void test_forget_network(void **state)
{
    struct plan_socket v[] = {want(tcp[0], LISTEN_MAIL), want(control[0], LISTEN_CONTROL)};
    assert_int_equal(prepare(v, 2, SOCKET_STORE_ALL, 1), 0);
    commit(v, 2, SOCKET_STORE_ALL, 1);
    socket_store_forget_network(&store);
    assert_true(store.n == 1 && has_file(0));
    socket_store_hand_over(&store, true);
    assert_int_equal(fcntl(store.v[0].fd, F_GETFD), 0);
    socket_store_hand_over(&store, false);
    assert_int_equal(fcntl(store.v[0].fd, F_GETFD), FD_CLOEXEC);
}

#define STORE_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(test_commit),         STORE_TEST(test_roll_back),
        STORE_TEST(test_all_or_nothing), STORE_TEST(test_foreign_file),
        STORE_TEST(test_lost_file),      STORE_TEST(test_owner),
        STORE_TEST(test_forget_network), STORE_TEST(test_lost_for_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
