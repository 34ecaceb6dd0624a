/* SPDX-License-Identifier: ISC */
/* Fork and exec. */
#include "supervisor/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log/log.h"
#include "engine/wire.h"
#include "supervisor/outbox.h"

#define PROCESS_CHILD_FD 3 /* what a child gets besides the three that everybody has */
#define PROCESS_SELF "/proc/self/exe"
#define PROCESS_PATH_MAX 4096

void process_forget(struct engine_process *p)
{
    if (p->wire >= 0)
        close(p->wire);
    outbox_free(p->outbox);
    *p = (struct engine_process){.wire = -1};
}

/* In the child, which would die of a signal that it does not know yet: those named (0 ends them)
 * wait until it is ready for them. */
static void process_unblock_signals(const int *waiting)
{
    sigset_t set;
    sigemptyset(&set);
    for (; *waiting; waiting++)
        sigaddset(&set, *waiting);
    sigprocmask(SIG_SETMASK, &set, NULL);
}

/* ---- an engine ---- */

static void engine_exec(const struct process_spec *spec, int wire)
{
    char starts[24], restarts[24], number[24];
    /* The channel gets its number and stays open; everything else is close-on-exec. */
    if ((wire == PROCESS_CHILD_FD ? fcntl(wire, F_SETFD, 0) : dup2(wire, PROCESS_CHILD_FD)) < 0)
        _exit(EX_OSERR);
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_PID");
    snprintf(number, sizeof(number), "%d", PROCESS_CHILD_FD);
    setenv(WIRE_FD_ENV, number, 1);
    snprintf(starts, sizeof(starts), "%u", spec->starts);
    snprintf(restarts, sizeof(restarts), "%u", spec->restarts);
    execl(spec->program ? spec->program : PROCESS_SELF, "mailproxyd", "--engine", starts,
          "--restarts", restarts, "-c", spec->config_path,
          spec->is_successor ? "--successor" : NULL, (char *)NULL);
    _exit(EX_OSERR);
}

int process_start_engine(const struct process_spec *spec, struct engine_process *ret)
{
    int wire[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, wire) < 0)
        return err_from_errno(errno);
    pid_t pid = fork();
    if (pid == 0) {
        process_unblock_signals((const int[]){SIGHUP, SIGUSR1, SIGUSR2, SIGQUIT, 0});
        engine_exec(spec, wire[1]);
    }
    int failed = errno;
    close(wire[1]);
    if (pid < 0) {
        close(wire[0]);
        return err_from_errno(failed);
    }
    uint64_t now = clock_ms();
    *ret = (struct engine_process){
        .pid = pid, .wire = wire[0], .started_ms = now, .heard_ms = now, .window_ms = now};
    return 0;
}

void engine_lose(struct engine_process *p)
{
    if (p->wire >= 0)
        close(p->wire);
    p->wire = -1;
    p->heard_ms = clock_ms();
}

void engine_kill(struct engine_process *p, const char *why)
{
    if (p->pid <= 0 || p->wire < 0)
        return;
    LOG_EVENT(LOG_LEVEL_ERROR, "engine-killed", KV_I64("pid", p->pid), KV_STR("reason", why));
    engine_lose(p);
    kill(p->pid, SIGKILL);
}

/* ---- reading a configuration ---- */

/* A program, what it is told, and the descriptors (-1 = none) that it inherits. */
struct process_reader {
    const char *program;
    const char *const *args; /* the first is its name; ends with NULL */
    const int *fds;
    size_t n_fds;
};

static void reader_exec(const struct process_reader *r, int output)
{
    if (dup2(output, STDOUT_FILENO) < 0 || dup2(output, STDERR_FILENO) < 0)
        _exit(EX_OSERR);
    for (size_t i = 0; i < r->n_fds; i++)
        if (r->fds[i] >= 0)
            (void)fcntl(r->fds[i], F_SETFD, 0);
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_PID");
    execv(r->program, (char *const *)(uintptr_t)r->args);
    dprintf(STDERR_FILENO, "%s: %s\n", r->program, strerror(errno));
    _exit(EX_UNAVAILABLE);
}

static int reader_start(const struct process_reader *r, pid_t *ret_pid, int *ret_output)
{
    int way[2] = {-1, -1};
    /* Where the child's words go: a pipe, or nowhere. */
    if (ret_output ? pipe2(way, O_CLOEXEC | O_NONBLOCK) < 0
                   : (way[1] = open("/dev/null", O_WRONLY | O_CLOEXEC)) < 0)
        return err_from_errno(errno);
    pid_t pid = fork();
    if (pid == 0) {
        process_unblock_signals((const int[]){0});
        reader_exec(r, way[1]);
    }
    int failed = errno;
    close(way[1]);
    if (pid < 0) {
        if (way[0] >= 0)
            close(way[0]);
        return err_from_errno(failed);
    }
    *ret_pid = pid;
    if (ret_output)
        *ret_output = way[0];
    return 0;
}

/* As an argument. */
struct reader_number {
    char text[24];
};

static struct reader_number reader_number(int number)
{
    struct reader_number n;
    snprintf(n.text, sizeof(n.text), "%d", number);
    return n;
}

int process_start_check(const char *program, const char *config_path,
                        const struct content_memory *memory, pid_t *ret_pid, int *ret_output)
{
    const int fds[] = {memory->bundle, memory->keys};
    const struct reader_number format = reader_number(TAKEOVER_FORMAT),
                               bundle = reader_number(memory->bundle),
                               keys = reader_number(memory->keys);
    if (!program)
        program = PROCESS_SELF;
    const char *const args[] = {program,    "--test",    "--take-over", format.text,
                                "--bundle", bundle.text, "--keys",      keys.text,
                                "-c",       config_path, NULL};
    return reader_start(&(struct process_reader){program, args, fds, ARRAY_LEN(fds)}, ret_pid,
                        ret_output);
}

int process_start_refresh(const struct content *from, const struct content_memory *memory,
                          pid_t *ret_pid)
{
    const int fds[] = {from->fd, from->keys ? from->keys->memory : -1, memory->bundle,
                       memory->keys};
    const struct reader_number old = reader_number(fds[0]), old_keys = reader_number(fds[1]),
                               bundle = reader_number(fds[2]), keys = reader_number(fds[3]);
    const char *const args[] = {"mailproxyd", "--refresh", old.text, "--old-keys", old_keys.text,
                                "--bundle",   bundle.text, "--keys", keys.text,    NULL};
    return reader_start(&(struct process_reader){PROCESS_SELF, args, fds, ARRAY_LEN(fds)}, ret_pid,
                        NULL);
}

/* ---- the program ---- */

/* The name that it was called by is followed where it leads to us: an installation may switch a
 * link. Else what the kernel says. */
char *process_program(const char *arg0)
{
    char text[PROCESS_PATH_MAX];
    AUTO_FREE char *called = NULL;
    if (arg0 && arg0[0] == '/')
        called = str_dup_c(arg0);
    else if (arg0 && strchr(arg0, '/') && getcwd(text, sizeof(text)))
        called = str_printf("%s/%s", text, arg0);
    struct stat it, self;
    if (called && stat(called, &it) == 0 && stat(PROCESS_SELF, &self) == 0 &&
        it.st_dev == self.st_dev && it.st_ino == self.st_ino)
        return STEAL(called);
    ssize_t n = readlink(PROCESS_SELF, text, sizeof(text));
    return n > 0 && (size_t)n < sizeof(text) ? str_dup(str_n(text, (size_t)n)) : NULL;
}
