/* SPDX-License-Identifier: ISC */
/* What a process in the sandbox can still do, and what not: each attempt in a child of its own. */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <pthread.h>
#include <pwd.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sandbox/sandbox.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED true
#else
#define IS_SANITIZED false
#endif

static char folder[64], writable[80], readable[80], secret[80], inside[96];

static void write_file(const char *path)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("content", f);
    fclose(f);
    assert_int_equal(chmod(path, 0644), 0);
}

static int setup_all(void **state)
{
    snprintf(folder, sizeof(folder), "/tmp/mailproxy-sandbox-XXXXXX");
    if (!mkdtemp(folder) || chmod(folder, 0755) < 0)
        return -1;
    snprintf(writable, sizeof(writable), "%s/store", folder);
    snprintf(readable, sizeof(readable), "%s/ca.pem", folder);
    snprintf(secret, sizeof(secret), "%s/key.pem", folder);
    snprintf(inside, sizeof(inside), "%s/x", writable);
    if (mkdir(writable, 0777) < 0 || chmod(writable, 0777) < 0)
        return -1;
    write_file(readable);
    write_file(secret);
    return 0;
}

static int teardown_all(void **state)
{
    (void)unlink(inside);
    (void)unlink(readable);
    (void)unlink(secret);
    return rmdir(writable) < 0 || rmdir(folder) < 0;
}

/* ---- attempts: 0 or errno ---- */

static int result(long rc)
{
    return rc < 0 ? errno : 0;
}

static int open_and_close(const char *path, int flags)
{
    AUTO_CLOSE int fd = open(path, flags | O_CLOEXEC, 0600);
    return result(fd);
}

static int read_shadow(void)
{
    return open_and_close("/etc/shadow", O_RDONLY);
}

static int read_secret(void)
{
    return open_and_close(secret, O_RDONLY);
}

static int read_config_folder(void)
{
    return open_and_close(folder, O_RDONLY | O_DIRECTORY);
}

static int read_readable(void)
{
    return open_and_close(readable, O_RDONLY);
}

static int write_readable(void)
{
    return open_and_close(readable, O_WRONLY);
}

static int read_hosts(void)
{
    return open_and_close("/etc/hosts", O_RDONLY);
}

static int read_init(void)
{
    return open_and_close("/proc/1/status", O_RDONLY);
}

static int write_inside(void)
{
    int err = open_and_close(inside, O_WRONLY | O_CREAT | O_TRUNC);
    return err ? err : result(unlink(inside));
}

static int write_outside(void)
{
    return open_and_close("/tmp/mailproxy-sandbox-outside", O_WRONLY | O_CREAT);
}

static int unlink_secret(void)
{
    return result(unlink(secret));
}

static int rename_secret_in(void)
{
    return result(rename(secret, inside));
}

static int change_mode(void)
{
    return result(chmod(secret, 0666));
}

static int link_secret_in(void)
{
    return result(symlink(secret, inside));
}

static int run_program(void)
{
    return result(execl("/bin/true", "true", (char *)NULL));
}

static int become_two(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return result(pid);
}

static int trace_parent(void)
{
    return result(ptrace(PTRACE_ATTACH, getppid(), NULL, NULL));
}

static int signal_parent(void)
{
    return result(kill(getppid(), 0));
}

static int signal_thread_of_parent(void)
{
    return result(syscall(SYS_tgkill, getppid(), getppid(), 0));
}

static int become_root(void)
{
    return result(setuid(0));
}

static int new_namespace(void)
{
    return result(syscall(SYS_unshare, 0x10000000)); /* CLONE_NEWUSER */
}

static int open_socket(int family, int type)
{
    AUTO_CLOSE int fd = socket(family, type | SOCK_CLOEXEC, 0);
    return result(fd);
}

static int inet_socket(void)
{
    return open_socket(AF_INET6, SOCK_STREAM);
}

static int netlink_socket(void)
{
    return open_socket(AF_NETLINK, SOCK_RAW);
}

static int packet_socket(void)
{
    return open_socket(AF_PACKET, SOCK_RAW);
}

static int bind_port(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    AUTO_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return result(bind(fd, (struct sockaddr *)&any, sizeof(any)));
}

static int executable_memory(void)
{
    void *p =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? errno : 0;
}

static int memory_made_executable(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? 1 : result(mprotect(p, 4096, PROT_READ | PROT_EXEC));
}

static int become_dumpable(void)
{
    return result(prctl(PR_SET_DUMPABLE, 1));
}

static void *thread_nothing(void *arg)
{
    return arg;
}

static int start_thread(void)
{
    pthread_t t;
    int err = pthread_create(&t, NULL, thread_nothing, NULL);
    return err ? err : pthread_join(t, NULL);
}

static int know_users(void)
{
    const struct passwd *pw = getpwuid(0);
    return pw && strcmp(pw->pw_name, "root") == 0 ? 0 : 1;
}

static int status_is(const char *wanted)
{
    char text[8192];
    FILE *f = fopen("/proc/self/status", "r");
    if (!f)
        return errno;
    size_t n = fread(text, 1, sizeof(text) - 1, f);
    text[n] = '\0';
    fclose(f);
    return strstr(text, wanted) ? 0 : 1;
}

static int has_no_capability(void)
{
    return status_is("CapEff:\t0000000000000000\n") || status_is("CapPrm:\t0000000000000000\n") ||
           status_is("CapInh:\t0000000000000000\n") || status_is("CapBnd:\t0000000000000000\n");
}

static int has_no_new_privileges(void)
{
    return status_is("NoNewPrivs:\t1\n");
}

static int has_filter(void)
{
    return status_is("Seccomp:\t2\n");
}

static int abort_itself(void)
{
    abort();
}

/* ---- the tables ---- */

enum needs {
    NEEDS_NOTHING = 0,
    NEEDS_ROOT = 1,  /* a test that runs as root */
    NEEDS_CALLS = 2, /* the whole list of system calls: not in a sanitizer's build */
    NEEDS_PORTS = 4, /* Landlock that knows TCP ports */
};

#define DEADLY (1000 + SIGSYS)

static const struct attempt {
    const char *name;
    int (*fn)(void);
    int wanted; /* errno, 1000 + the signal that it dies of */
    unsigned needs;
} attempts[] = {
    {"read shadow", read_shadow, EACCES, 0},
    {"read a key", read_secret, EACCES, 0},
    {"list the folder of the configuration", read_config_folder, EACCES, 0},
    {"read another process", read_init, EACCES, 0},
    {"read what is named", read_readable, 0, 0},
    {"read hosts", read_hosts, 0, 0},
    {"write what is only to be read", write_readable, EACCES, 0},
    {"write in the store's folder", write_inside, 0, 0},
    {"write elsewhere", write_outside, EACCES, 0},
    {"unlink a key", unlink_secret, EACCES, 0},
    {"rename a key into the folder", rename_secret_in, EACCES, 0},
    {"link a key into the folder", link_secret_in, ENOSYS, NEEDS_CALLS},
    {"change a mode", change_mode, ENOSYS, NEEDS_CALLS},
    {"run a program", run_program, DEADLY, NEEDS_CALLS},
    {"fork", become_two, ENOSYS, NEEDS_CALLS},
    {"trace", trace_parent, DEADLY, NEEDS_CALLS},
    {"signal the supervisor", signal_parent, ENOSYS, NEEDS_CALLS},
    {"signal a thread of it", signal_thread_of_parent, ENOSYS, NEEDS_CALLS},
    {"become root", become_root, DEADLY, NEEDS_CALLS},
    {"make a namespace", new_namespace, DEADLY, NEEDS_CALLS},
    {"open a socket", inet_socket, 0, 0},
    {"open a netlink socket", netlink_socket, ENOSYS, NEEDS_CALLS},
    {"open a packet socket", packet_socket, ENOSYS, NEEDS_CALLS},
    {"bind a port", bind_port, EACCES, NEEDS_PORTS},
    {"map executable memory", executable_memory, ENOSYS, NEEDS_CALLS},
    {"make memory executable", memory_made_executable, ENOSYS, NEEDS_CALLS},
    {"become dumpable", become_dumpable, ENOSYS, NEEDS_CALLS},
    {"start a thread", start_thread, 0, 0},
    {"find a user", know_users, 0, 0},
    {"have no capability", has_no_capability, 0, NEEDS_ROOT},
    {"have no new privileges", has_no_new_privileges, 0, 0},
    {"have a filter", has_filter, 0, 0},
    {"abort", abort_itself, 1000 + SIGABRT, NEEDS_CALLS},
};

static unsigned have(void)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return (geteuid() == 0 ? NEEDS_ROOT : 0) | (IS_SANITIZED ? 0 : NEEDS_CALLS) |
           (version >= 4 ? NEEDS_PORTS : 0);
}

static bool has_landlock(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) >= 1;
}

static void enter(void)
{
    struct sandbox_spec spec = {.user = geteuid() == 0 ? "nobody" : NULL};
    sandbox_add(&spec.readable, readable);
    sandbox_add(&spec.writable, writable);
    if (sandbox_enter(&spec) < 0)
        _exit(255);
}

/* How a child ends: with the number that fn returns, or 1000 + the signal. */
static int in_child(int (*fn)(void), void (*first)(void))
{
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        first();
        _exit(fn());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void test_engine(void **state)
{
    if (!has_landlock())
        skip();
    for (size_t i = 0; i < ARRAY_LEN(attempts); i++) {
        const struct attempt *a = &attempts[i];
        int got = (a->needs & ~have()) ? a->wanted : in_child(a->fn, enter);
        if (got != a->wanted)
            fail_msg("%s: %d (%s) instead of %d", a->name, got,
                     got < 1000 ? strerror(got) : "signal", a->wanted);
    }
}

static void nothing(void)
{
}

/* The same attempts without a sandbox: they fail for no other reason. */
static void test_without(void **state)
{
    int (*const possible[])(void) = {read_secret,  write_readable,    write_outside,
                                     inet_socket,  bind_port,         run_program,
                                     become_two,   executable_memory, signal_parent,
                                     start_thread, read_init,         memory_made_executable};
    for (size_t i = 0; i < ARRAY_LEN(possible); i++)
        assert_int_equal(in_child(possible[i], nothing), 0);
    (void)unlink("/tmp/mailproxy-sandbox-outside");
}

/* ---- threads ---- */

static int (*thread_fn)(void);
static void (*thread_enter)(void);

static void *thread_main(void *arg)
{
    thread_enter();
    *(int *)arg = thread_fn();
    return NULL;
}

static int as_thread(void)
{
    pthread_t t;
    int got = 0;
    if (pthread_create(&t, NULL, thread_main, &got) != 0 || pthread_join(t, NULL) != 0)
        return 254;
    return got;
}

static int listen_somewhere(void)
{
    AUTO_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return result(fd < 0 ? fd : listen(fd, 1));
}

static int unix_socket(void)
{
    return open_socket(AF_UNIX, SOCK_DGRAM);
}

static int take_memory(void)
{
    char *p = malloc(1 << 20);
    memset(p, 1, 1 << 20);
    free(p);
    return 0;
}

static const struct thread_attempt {
    const char *name;
    void (*enter)(void);
    int (*fn)(void);
    int wanted;
    unsigned needs;
} thread_attempts[] = {
    {"worker: read hosts", sandbox_enter_worker, read_hosts, 0, 0},
    {"worker: open a socket", sandbox_enter_worker, inet_socket, 0, 0},
    {"worker: write in the store's folder", sandbox_enter_worker, write_inside, ENOSYS,
     NEEDS_CALLS},
    {"worker: listen", sandbox_enter_worker, listen_somewhere, ENOSYS, NEEDS_CALLS},
    {"worker: start a thread", sandbox_enter_worker, start_thread, EAGAIN, NEEDS_CALLS},
    {"worker: run a program", sandbox_enter_worker, run_program, DEADLY, NEEDS_CALLS},
    {"auth: write in the store's folder", sandbox_enter_auth_thread, write_inside, 0, 0},
    {"auth: take memory", sandbox_enter_auth_thread, take_memory, 0, 0},
    {"auth: open a socket", sandbox_enter_auth_thread, inet_socket, ENOSYS, NEEDS_CALLS},
    {"auth: open a UNIX socket", sandbox_enter_auth_thread, unix_socket, ENOSYS, NEEDS_CALLS},
    {"auth: start a thread", sandbox_enter_auth_thread, start_thread, EAGAIN, NEEDS_CALLS},
    {"auth: map executable memory", sandbox_enter_auth_thread, executable_memory, ENOSYS,
     NEEDS_CALLS},
    {"auth: run a program", sandbox_enter_auth_thread, run_program, DEADLY, NEEDS_CALLS},
    {"log: open a UNIX socket", sandbox_enter_log_thread, unix_socket, 0, 0},
    {"log: take memory", sandbox_enter_log_thread, take_memory, 0, 0},
    {"log: open a socket", sandbox_enter_log_thread, inet_socket, ENOSYS, NEEDS_CALLS},
    {"log: read hosts", sandbox_enter_log_thread, read_hosts, ENOSYS, NEEDS_CALLS},
    {"log: start a thread", sandbox_enter_log_thread, start_thread, EAGAIN, NEEDS_CALLS},
    {"watchdog: open a UNIX socket", sandbox_enter_watchdog, unix_socket, ENOSYS, NEEDS_CALLS},
    {"watchdog: read hosts", sandbox_enter_watchdog, read_hosts, ENOSYS, NEEDS_CALLS},
    {"watchdog: abort", sandbox_enter_watchdog, abort_itself, 1000 + SIGABRT, NEEDS_CALLS},
};

static void test_threads(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(thread_attempts); i++) {
        const struct thread_attempt *a = &thread_attempts[i];
        thread_fn = a->fn;
        thread_enter = a->enter;
        int got = (a->needs & ~have()) ? a->wanted : in_child(as_thread, enter);
        if (got != a->wanted && !(a->wanted == EAGAIN && got == ENOSYS))
            fail_msg("%s: %d instead of %d", a->name, got, a->wanted);
    }
}

/* ---- the process that looks at files ---- */

static int look_at_secret(void)
{
    struct stat st;
    return result(stat(secret, &st));
}

static void enter_watch(void)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        _exit(255);
    sandbox_enter_watch();
}

static const struct attempt watch_attempts[] = {
    {"look at a key", look_at_secret, 0, 0},
    {"read a key", read_secret, ENOSYS, NEEDS_CALLS},
    {"list a folder", read_config_folder, ENOSYS, NEEDS_CALLS},
    {"write", write_inside, ENOSYS, NEEDS_CALLS},
    {"open a socket", inet_socket, ENOSYS, NEEDS_CALLS},
    {"signal the supervisor", signal_parent, ENOSYS, NEEDS_CALLS},
    {"fork", become_two, ENOSYS, NEEDS_CALLS},
    {"run a program", run_program, DEADLY, NEEDS_CALLS},
};

static void test_watch(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(watch_attempts); i++) {
        const struct attempt *a = &watch_attempts[i];
        int got = (a->needs & ~have()) ? a->wanted : in_child(a->fn, enter_watch);
        if (got != a->wanted)
            fail_msg("%s: %d instead of %d", a->name, got, a->wanted);
    }
}

/* ---- the supervisor ---- */

static int runs_program(void)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        (void)execl("/bin/true", "true", (char *)NULL);
        _exit(1);
    }
    return waitpid(pid, &status, 0) == pid ? status : 1;
}

/* Low ports, other users' files and users; nothing else of root. */
static int has_few_capabilities(void)
{
    static const char few[] = "\t00000000000005ef\n";
    char line[64];
    for (const char *const *set = (const char *const[]){"CapBnd:", "CapPrm:", "CapEff:", NULL};
         *set; set++) {
        snprintf(line, sizeof(line), "%s%s", *set, few);
        if (status_is(line))
            return 1;
    }
    return 0;
}

static int mount_something(void)
{
    return result(syscall(SYS_mount, "none", folder, "tmpfs", 0L, NULL));
}

static const struct attempt supervisor_attempts[] = {
    {"run a program", runs_program, 0, 0},
    {"have few capabilities", has_few_capabilities, 0, NEEDS_ROOT},
    {"have no new privileges", has_no_new_privileges, 0, 0},
    {"have a filter", has_filter, 0, 0},
    {"become a user", become_root, 0, NEEDS_ROOT},
    {"make a namespace", new_namespace, EPERM, 0},
    {"trace", trace_parent, EPERM, NEEDS_CALLS},
    {"mount", mount_something, EPERM, 0},
};

static void test_supervisor(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(supervisor_attempts); i++) {
        const struct attempt *a = &supervisor_attempts[i];
        int got = (a->needs & ~have()) ? a->wanted : in_child(a->fn, sandbox_enter_supervisor);
        if (got != a->wanted)
            fail_msg("%s: %d instead of %d", a->name, got, a->wanted);
    }
}

/* A user that does not exist ends the start. */
static void test_unknown_user(void **state)
{
    const struct sandbox_spec spec = {.user = "no such user"};
    assert_int_equal(sandbox_enter(&spec), -ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_engine),     cmocka_unit_test(test_without),
        cmocka_unit_test(test_threads),    cmocka_unit_test(test_watch),
        cmocka_unit_test(test_supervisor), cmocka_unit_test(test_unknown_user),
    };
    return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
