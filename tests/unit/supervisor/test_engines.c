/* SPDX-License-Identifier: ISC */
/* The life of engines: back-off, what the next one gets, silence. This program itself is started as
 * the engine, and waits until it is ended. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "supervisor/supervisor_priv.h"
#include "supervisor_case.h"

static char folder[] = "/tmp/mailproxy-engines-XXXXXX"; /* of this run: its store is locked */
static char text[160];
static struct supervisor s;

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(text, sizeof(text),
             "state_dir = \"%s\";\nrun_dir = \"%s\";\nshutdown_timeout = \"2s\";\n", folder,
             folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    AUTO_FREE char *lock = str_printf("%s/mailproxy.db" STORE_LOCK_SUFFIX, folder);
    return lock && unlink(lock) == 0 && rmdir(folder) == 0 ? 0 : -1;
}

static int setup(void **state)
{
    s = (struct supervisor){.config_path = "/nonexistent",
                            .signal_fd = -1,
                            .now = {.wire = -1},
                            .reading = {.memory = {-1, -1}},
                            .upgrade = {.output = -1, .memory = {-1, -1}, .next = {.wire = -1}}};
    return 0;
}

/* Until the kernel has ended a child; it is not reaped. */
static void await_end(pid_t pid)
{
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
}

static void end_child(pid_t pid)
{
    if (pid > 0 && kill(pid, SIGKILL) == 0)
        (void)waitpid(pid, NULL, 0);
}

static int teardown(void **state)
{
    end_child(s.now.pid);
    end_child(s.reading.pid);
    reading_stop(&s);
    socket_store_fini(&s.sockets);
    process_forget(&s.now);
    content_unref(s.running);
    content_unref(s.kept);
    content_unref(s.pending);
    content_unref(s.for_start);
    return 0;
}

static void start(struct content *c)
{
    AUTO_FREE char *error = NULL;
    s.last_number = c->number > s.last_number ? c->number : s.last_number;
    assert_int_equal(engines_start(&s, c, &error), 0);
    content_unref(c);
    assert_true(s.now.pid > 0 && s.running == c && s.now.number == c->number);
}

static void serve(void)
{
    s.now.is_ready = true;
    engines_ready(&s);
}

/* It dies by a signal after having lived so long. */
static void die(uint64_t lived_ms)
{
    pid_t pid = s.now.pid;
    s.now.started_ms = clock_ms() - lived_ms;
    kill(pid, SIGKILL);
    await_end(pid);
    engines_reap(&s);
    assert_int_not_equal(s.now.pid, pid);
}

/* At once after a long life, then ever later, up to 5 s. */
static void test_back_off(void **state)
{
    static const uint64_t pauses[] = {100, 200, 400, 800, 1600, 3200, 5000, 5000};
    start(case_content(text, 1));
    for (size_t i = 0; i < ARRAY_LEN(pauses); i++) {
        serve();
        uint64_t before = clock_ms();
        die(9000);
        assert_int_equal(s.backoff_ms, pauses[i]);
        assert_int_equal(s.failures, i + 1);
        assert_int_equal(s.now.pid, 0);
        assert_in_range(s.restart_at_ms, before + pauses[i], clock_ms() + pauses[i]);
        engines_tick(&s, s.restart_at_ms - 1);
        assert_int_equal(s.now.pid, 0);
        engines_tick(&s, s.restart_at_ms);
        assert_true(s.now.pid > 0);
        assert_false(s.is_stopping);
    }
    serve();
    die(10001);
    assert_int_equal(s.backoff_ms, 0);
    assert_true(s.now.pid > 0);
    serve();
    die(0); /* and from the beginning */
    assert_int_equal(s.backoff_ms, 100);
}

/* The first engine of all that does not get ready will not do better. */
static void test_never_ready(void **state)
{
    start(case_content(text, 1));
    die(0);
    assert_true(s.is_stopping && s.now.pid == 0);
}

/* One that ends well was told to. */
static void test_clean_end(void **state)
{
    start(case_content(text, 1));
    serve();
    kill(s.now.pid, SIGQUIT); /* see main */
    await_end(s.now.pid);
    engines_reap(&s);
    assert_true(s.is_stopping && s.status == 0 && s.failures == 0);
}

/* What was confirmed last is what the next one gets, not what was in force when it died. */
static void test_roll_back(void **state)
{
    struct content *good = case_content(text, 1), *bad = case_content(text, 2);
    start(good);
    serve();
    assert_false(reading_confirmed(&s, 2));
    assert_true(reading_confirmed(&s, 1));
    assert_true(s.kept == good);
    s.last_number = 2;
    s.pending = bad;
    assert_false(reading_accepted(&s, 1)); /* not the one that was proposed */
    assert_true(reading_accepted(&s, 2));
    assert_true(s.running == bad && s.kept == good && !s.pending);
    die(20000);
    assert_true(s.now.pid > 0 && s.running == good && s.now.number == 1);
    assert_false(s.is_file_wanted);
}

/* An engine that does not start with what was kept wants the file: somebody may have mended it. */
static void test_file_is_wanted(void **state)
{
    start(case_content(text, 1));
    serve();
    assert_true(reading_confirmed(&s, 1));
    die(20000);
    die(0); /* the next one did not get ready */
    assert_true(s.is_file_wanted && s.now.pid == 0);
    engines_tick(&s, s.restart_at_ms);
    assert_true(s.reading.pid > 0 && s.reading.is_for_start && s.now.pid == 0);
    await_end(s.reading.pid); /* there is no such file */
    engines_reap(&s);
    assert_true(s.reading.pid == 0 && !s.for_start);
    engines_tick(&s, clock_ms()); /* then what was kept has to do */
    assert_true(s.now.pid > 0 && s.running == s.kept);
}

/* What an engine was given and had not judged is nobody's any more. */
static void test_pending(void **state)
{
    start(case_content(text, 1));
    serve();
    s.pending = case_content(text, 2);
    s.last_number = 2;
    assert_false(reading_refused(&s, 3));
    assert_false(reading_refused(&s, 0));
    assert_true(reading_refused(&s, 1)); /* late, of an earlier question */
    assert_non_null(s.pending);
    die(20000);
    assert_null(s.pending);
    s.pending = case_content(text, 3);
    s.last_number = 3;
    assert_true(reading_refused(&s, 3));
    assert_null(s.pending);
}

/* Is the engine that serves ended when it has been silent for so long? */
static bool is_ended_after(uint64_t silent_ms, uint64_t turn_ago_ms)
{
    pid_t pid = s.now.pid;
    uint64_t now = clock_ms() + 1000000;
    s.now.heard_ms = now - silent_ms;
    s.turn_ms = now - turn_ago_ms;
    engines_tick(&s, now);
    bool is_kept = s.now.heard_ms == now - silent_ms || s.now.wire >= 0;
    if (is_kept) {
        assert_int_equal(kill(pid, 0), 0);
        assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
        return false;
    }
    await_end(pid);
    return true;
}

static void test_silence(void **state)
{
    start(case_content(text, 1));
    assert_false(is_ended_after(299000, 1000)); /* a store may have to be converted */
    serve();
    assert_false(is_ended_after(30000, 1000));
    assert_false(is_ended_after(100000, 5000)); /* we did not run ourselves: nobody is judged */
    assert_true(is_ended_after(30001, 1000));
    assert_int_equal(s.now.wire, -1);
}

/* Without its channel it is about to end: for 5 s. */
static void test_lost_channel(void **state)
{
    start(case_content(text, 1));
    serve();
    engine_lose(&s.now);
    pid_t pid = s.now.pid;
    uint64_t heard = s.now.heard_ms;
    engines_tick(&s, heard + 5000);
    assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
    s.turn_ms = heard + 5000;
    engines_tick(&s, heard + 5001);
    await_end(pid);
}

/* Those that do not stop are ended when their sessions have had their time. */
static void test_patience(void **state)
{
    start(case_content(text, 1));
    serve();
    uint64_t before = clock_ms();
    supervisor_stop_all(&s);
    assert_in_range(s.kill_at_ms, before + 2000 + 30000, clock_ms() + 2000 + 30000);
    pid_t pid = s.now.pid;
    s.turn_ms = s.now.heard_ms = s.kill_at_ms;
    engines_tick(&s, s.kill_at_ms);
    await_end(pid);
    engines_reap(&s);
    assert_int_equal(s.now.pid, 0);
}

/* A content's descriptor as the program before kept it open. */
static int handed(uint64_t number)
{
    struct content *c = case_content(text, number);
    int fd = fcntl(c->fd, F_DUPFD_CLOEXEC, 0);
    assert_true(fd >= 0);
    content_unref(c);
    return fd;
}

/* After an upgrade the old engine may finish with the content that is kept: it has one owner, and
 * its descriptor is closed when nobody needs it any more, once. */
static void test_content_of_several(void **state)
{
    int wire[2], kept = handed(1), running = handed(2);
    AUTO_BUF handed_over = BUF_INIT;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, wire), 0);
    const struct takeover t = {
        .starts = 2,
        .now = {.pid = INT_MAX, .wire = wire[0], .number = 2, .is_ready = true},
        .last_number = 2,
        .running = {running, 2, NULL},
        .kept = {kept, 1, NULL},
        .olds = {{.process = {.pid = INT_MAX - 1, .wire = -1}, .number = 1}},
        .finishing = {{kept, 1, NULL}},
        .n_olds = 1};
    assert_int_equal(takeover_format(&t, &handed_over), 0);
    setenv(TAKEOVER_ENV, buf_cstr(&handed_over), 1);
    assert_int_equal(upgrade_take_over(&s), 0);
    assert_true(s.kept == s.olds[0].content && s.running != s.kept);
    content_unref(STEAL(s.kept));
    assert_true(fcntl(kept, F_GETFD) >= 0);
    content_unref(STEAL(s.olds[0].content));
    assert_int_equal(fcntl(kept, F_GETFD), -1);
    s.n_olds = 0;
    close(wire[1]);
}

#define ENGINES_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        ENGINES_TEST(test_back_off),       ENGINES_TEST(test_never_ready),
        ENGINES_TEST(test_clean_end),      ENGINES_TEST(test_roll_back),
        ENGINES_TEST(test_file_is_wanted), ENGINES_TEST(test_pending),
        ENGINES_TEST(test_silence),        ENGINES_TEST(test_lost_channel),
        ENGINES_TEST(test_patience),       ENGINES_TEST(test_content_of_several),
    };
    if (argc > 1 && strcmp(argv[1], "--test") == 0) /* as the reading of a file */
        return 1;
    sigset_t set;
    int number;
    sigemptyset(&set);
    sigaddset(&set, SIGQUIT);
    sigprocmask(SIG_BLOCK, &set, NULL); /* an engine is born with it: see process_start_engine */
    if (argc > 1 && strcmp(argv[1], "--engine") == 0)
        return sigwait(&set, &number);
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
