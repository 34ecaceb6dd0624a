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
#include "engine/wire.h"

#define PROCESS_FIRST_FD 3 /* SD_LISTEN_FDS_START */
#define PROCESS_SELF "/proc/self/exe"
#define PROCESS_PATH_MAX 4096

void process_forget(struct engine_process *p)
{
    if (p->wire >= 0)
        close(p->wire);
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

static void process_set_number(const char *name, int value)
{
    char text[24];
    snprintf(text, sizeof(text), "%d", value);
    setenv(name, text, 1);
}

/* ---- an engine ---- */

/* In the child: descriptors 3.. become the sockets, then the wire, then the configuration if there
 * is one; everything else is close-on-exec. Returns the number of sockets, -1 on failure. */
static int engine_place_fds(const struct keeper *k, int wire, int config)
{
    int n = 0, extra = config >= 0 ? 2 : 1, top = PROCESS_FIRST_FD + (int)k->n + extra;
    AUTO_FREE int *high = calloc(k->n + (size_t)extra, sizeof(*high));
    if (!high)
        return -1;
    for (size_t i = 0; i < k->n; i++)
        if (k->v[i].owner == 0)
            high[n++] = fcntl(k->v[i].fd, F_DUPFD_CLOEXEC, top);
    high[n] = fcntl(wire, F_DUPFD_CLOEXEC, top);
    if (config >= 0)
        high[n + 1] = fcntl(config, F_DUPFD_CLOEXEC, top);
    for (int i = 0; i < n + extra; i++)
        if (high[i] < 0 || dup2(high[i], PROCESS_FIRST_FD + i) < 0)
            return -1;
    return n;
}

static void engine_exec(const struct process_spec *spec, int wire)
{
    char starts[24], restarts[24];
    int n = engine_place_fds(spec->keeper, wire, spec->config);
    if (n < 0)
        _exit(EX_OSERR);
    process_set_number("LISTEN_FDS", n);
    process_set_number("LISTEN_PID", (int)getpid());
    process_set_number(WIRE_FD_ENV, PROCESS_FIRST_FD + n);
    if (spec->config >= 0)
        process_set_number(WIRE_CONFIG_ENV, PROCESS_FIRST_FD + n + 1);
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
    *ret = (struct engine_process){.pid = pid,
                                   .wire = wire[0],
                                   .started_ms = clock_ms(),
                                   .stop_limit_ms = spec->stop_limit_ms};
    return 0;
}

/* ---- the check ---- */

static void check_exec(const char *program, const char *config_path, int output)
{
    char format[24];
    snprintf(format, sizeof(format), "%d", TAKEOVER_FORMAT);
    if (dup2(output, STDOUT_FILENO) < 0 || dup2(output, STDERR_FILENO) < 0)
        _exit(EX_OSERR);
    execl(program, program, "--test", "--take-over", format, "-c", config_path, (char *)NULL);
    dprintf(STDERR_FILENO, "%s: %s\n", program, strerror(errno));
    _exit(EX_UNAVAILABLE);
}

int process_start_check(const char *program, const char *config_path, pid_t *ret_pid,
                        int *ret_output)
{
    int way[2];
    if (pipe2(way, O_CLOEXEC | O_NONBLOCK) < 0)
        return err_from_errno(errno);
    pid_t pid = fork();
    if (pid == 0) {
        process_unblock_signals((const int[]){0});
        check_exec(program, config_path, way[1]);
    }
    int failed = errno;
    close(way[1]);
    if (pid < 0) {
        close(way[0]);
        return err_from_errno(failed);
    }
    *ret_pid = pid;
    *ret_output = way[0];
    return 0;
}

/* ---- the program ---- */

static bool process_is_self(const char *path)
{
    struct stat it, self;
    return stat(path, &it) == 0 && stat(PROCESS_SELF, &self) == 0 && it.st_dev == self.st_dev &&
           it.st_ino == self.st_ino;
}

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
    if (called && process_is_self(called))
        return STEAL(called);
    ssize_t n = readlink(PROCESS_SELF, text, sizeof(text));
    return n > 0 && (size_t)n < sizeof(text) ? str_dup(str_n(text, (size_t)n)) : NULL;
}
