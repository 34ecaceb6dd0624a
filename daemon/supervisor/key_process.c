/* SPDX-License-Identifier: ISC */
/* Fork and exec of key processes. */
#include "supervisor/key_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log/log.h"

#define KEY_STABLE_MS 1000 /* one that lived this long is started again at once */
#define KEY_RESTART_MS 1000
#define KEY_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

int key_process_new(int memory, size_t n, struct key_process **ret)
{
    struct key_process *k = calloc(1, sizeof(*k));
    if (!k || n == 0 || n > KEY_CHANNELS_MAX) {
        free(k);
        close(memory);
        return k ? -ERR_INVAL : -ERR_NOMEM;
    }
    k->memory = memory;
    /* sealed already when another program or process had it */
    int err =
        fcntl(memory, F_ADD_SEALS, KEY_SEALS) < 0 && errno != EPERM ? err_from_errno(errno) : 0;
    if (err == 0 && (fcntl(memory, F_GET_SEALS) & KEY_SEALS) != KEY_SEALS)
        err = -ERR_PERM;
    for (; err == 0 && k->n < n; k->n += err == 0) {
        int ends[2];
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
            err = err_from_errno(errno);
            continue;
        }
        k->engines[k->n] = ends[0];
        k->own[k->n] = ends[1];
    }
    if (err < 0)
        key_process_free(k);
    else
        *ret = k;
    return err;
}

int key_process_copy(const struct key_process *k, struct key_process **ret)
{
    int memory = fcntl(k->memory, F_DUPFD_CLOEXEC, 0);
    return memory < 0 ? err_from_errno(errno) : key_process_new(memory, k->n, ret);
}

void key_process_free(struct key_process *k)
{
    if (!k)
        return;
    if (k->pid > 0)
        kill(k->pid, SIGTERM);
    for (size_t i = 0; i < k->n; i++) {
        close(k->engines[i]);
        close(k->own[i]);
    }
    close(k->memory);
    free(k);
}

/* In the child: everything but these descriptors is close-on-exec. */
static void key_process_exec(const struct key_process *k, const char *user, const char *group,
                             size_t n_loaded)
{
    char memory[24], loaded[24];
    AUTO_BUF channels = BUF_INIT;
    sigset_t none;
    int err = 0;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    snprintf(memory, sizeof(memory), "%d", k->memory);
    snprintf(loaded, sizeof(loaded), "%zu", n_loaded);
    (void)fcntl(k->memory, F_SETFD, 0);
    for (size_t i = 0; i < k->n && err == 0; i++) {
        (void)fcntl(k->own[i], F_SETFD, 0);
        err = buf_printf(&channels, "%s%d", i ? "," : "", k->own[i]);
    }
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_PID");
    if (err == 0 && buf_cstr(&channels))
        execl("/proc/self/exe", "mailproxyd", "--key-process", memory, "--channels",
              buf_cstr(&channels), "--user", user ? user : "", "--group", group ? group : "",
              "--loaded", loaded, (char *)NULL);
    _exit(EX_OSERR);
}

int key_process_start(struct key_process *k, const char *user, const char *group, size_t n_loaded)
{
    if (k->pid > 0)
        return 0;
    pid_t pid = fork();
    if (pid == 0)
        key_process_exec(k, user, group, n_loaded);
    if (pid < 0)
        return err_from_errno(errno);
    k->pid = pid;
    k->started_ms = clock_ms();
    k->restart_at_ms = 0;
    return 0;
}

void key_process_died(struct key_process *k, int status)
{
    uint64_t now = clock_ms();
    bool is_signal = WIFSIGNALED(status);
    LOG_EVENT(LOG_LEVEL_ERROR, "key-process-died", KV_I64("pid", k->pid),
              KV_STR("signal", is_signal ? strsignal(WTERMSIG(status)) : NULL),
              KV_I64("status", is_signal ? 0 : WEXITSTATUS(status)));
    k->restart_at_ms = now - k->started_ms >= KEY_STABLE_MS ? now : now + KEY_RESTART_MS;
    k->pid = 0;
}

void key_process_hand_over(const struct key_process *k, bool is_handed)
{
    const int flags = is_handed ? 0 : FD_CLOEXEC;
    if (!k)
        return;
    (void)fcntl(k->memory, F_SETFD, flags);
    for (size_t i = 0; i < k->n; i++) {
        (void)fcntl(k->engines[i], F_SETFD, flags);
        (void)fcntl(k->own[i], F_SETFD, flags);
    }
}
