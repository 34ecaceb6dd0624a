/* SPDX-License-Identifier: ISC */
/* fork, a pipe, and nothing of the terminal in the child. */
#include "tui/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_READ_SIZE 16384
/* Read at one go; the rest waits in the pipe. */
#define CHILD_READ_MAX (256 * 1024)
#define CHILD_OUTPUT_FD 3

/* Keys, screen, signal handlers and connections stay with the parent. */
static void child_become(int fd, pid_t parent)
{
    for (int i = 1; i < NSIG; i++)
        (void)signal(i, SIG_DFL);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(1);
    int null = open("/dev/null", O_RDWR);
    for (int i = 0; i <= 2; i++)
        (void)dup2(null, i);
    if (fd != CHILD_OUTPUT_FD)
        (void)dup2(fd, CHILD_OUTPUT_FD);
    (void)close_range(CHILD_OUTPUT_FD + 1, ~0u, 0);
}

int child_start(struct child *c, int (*fn)(void *arg, FILE *out), void *arg)
{
    int fds[2];
    pid_t parent = getpid();
    child_stop(c);
    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_from_errno(errno);
    pid_t pid = fork();
    if (pid == 0) {
        child_become(fds[1], parent);
        FILE *out = fdopen(CHILD_OUTPUT_FD, "w");
        int status = out ? fn(arg, out) : 1;
        if (out)
            (void)fflush(out);
        _exit(status);
    }
    close(fds[1]);
    if (pid < 0) {
        close(fds[0]);
        return err_from_errno(errno);
    }
    (void)fcntl(fds[0], F_SETFL, O_NONBLOCK);
    *c = (struct child){.pid = pid, .fd = fds[0]};
    return 0;
}

bool child_is_running(const struct child *c)
{
    return c->pid > 0;
}

static void child_reap(struct child *c)
{
    int status = 0;
    close(c->fd);
    while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
        ;
    c->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    c->pid = 0;
}

bool child_read(struct child *c)
{
    for (size_t total = 0; child_is_running(c) && total < CHILD_READ_MAX;) {
        ssize_t n = buf_reserve(&c->out, CHILD_READ_SIZE) < 0
                        ? 0
                        : read(c->fd, buf_tail(&c->out), CHILD_READ_SIZE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        if (n == 0) {
            child_reap(c);
            return true;
        }
        buf_commit(&c->out, (size_t)n);
        total += (size_t)n;
    }
    return false;
}

void child_stop(struct child *c)
{
    if (child_is_running(c)) {
        (void)kill(c->pid, SIGKILL);
        child_reap(c);
    }
    buf_fini(&c->out);
    c->out = BUF_INIT;
}
