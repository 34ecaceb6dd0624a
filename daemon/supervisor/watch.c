/* SPDX-License-Identifier: ISC */
/* Looks at stamps some times a second: unlike notices of the kernel they also tell of links that
 * lead elsewhere, of folders that were replaced and of file systems on other machines. */
#include "supervisor/watch.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log/log.h"
#include "io/tls/tls_directory.h"
#include "sandbox/sandbox.h"

#define WATCH_LOOK_MS 250
#define WATCH_FILE_US 500 /* more for each file, of which one takes a microsecond */
#define WATCH_SETTLED 2   /* looks that find the same: whoever renews writes several files */
#define WATCH_RESTLESS 20 /* looks since a change: one that never rests holds up no others */
#define WATCH_AGAIN_MS 5000

enum { WATCH_CHANGED = 3 }; /* status */

/* ---- the process ---- */

/* What was there at the last look. */
struct look {
    struct file_stamp *stamps; /* of the files */
    uint64_t *versions;        /* of the directory's certificates */
};

/* Of those that are listed; a new one changes the folder, which is one of the files. */
static bool directory_rests(uint64_t *last, const struct plan_directory *d, bool *ret_changed)
{
    struct str rest = str_n(d->listing, d->n_bytes);
    struct tls_directory_entry e;
    bool is_same = true;
    for (size_t i = 0; d->is_watched && tls_directory_next(&rest, &e); i++) {
        uint64_t now = tls_directory_version(d->path, &e);
        is_same = is_same && now == last[i];
        *ret_changed = *ret_changed || now != e.version;
        last[i] = now;
    }
    return is_same;
}

/* True: all files are as they were at the look before. */
static bool files_rest(const struct look *look, const struct plan *p, bool *ret_changed)
{
    struct file_stamp *last = look->stamps;
    bool is_same = true;
    *ret_changed = false;
    for (size_t i = 0; i < p->n_files; i++) {
        struct file_stamp now;
        file_stamp_of(p->files[i].path, &now);
        is_same = is_same && file_stamp_eq(&now, &last[i]);
        *ret_changed = *ret_changed || !file_stamp_eq(&now, &p->files[i].stamp);
        last[i] = now;
    }
    return directory_rests(look->versions, &p->directory, ret_changed) && is_same;
}

/* Nothing of the supervisor's stays with it: neither its sockets nor its rights, but for the one to
 * look into folders of others. */
static void watch_enter(pid_t parent)
{
    static const int ignored[] = {SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGQUIT}; /* of a terminal */
    sigset_t none;
    (void)prctl(PR_SET_NAME, "mp-watch");
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(EX_OSERR);
    (void)close_range(STDERR_FILENO + 1, ~0u, 0);
    for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
        signal(ignored[i], SIG_IGN);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    sandbox_enter_watch();
}

static _Noreturn void watch_process_run(const struct plan *p, pid_t parent)
{
    const uint64_t n_files = p->n_files + 2 * (p->directory.is_watched ? p->directory.n : 0);
    const uint64_t us = WATCH_LOOK_MS * 1000 + n_files * WATCH_FILE_US;
    const struct timespec pause = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000};
    const struct look look = {calloc(p->n_files + 1, sizeof(*look.stamps)),
                              calloc(p->directory.n + 1, sizeof(*look.versions))};
    unsigned n_same = 0, n_changed = 0; /* looks one after another */
    bool is_changed;
    if (!look.stamps || !look.versions)
        _exit(EX_OSERR);
    watch_enter(parent);
    while (n_changed == 0 || (n_same < WATCH_SETTLED && n_changed < WATCH_RESTLESS)) {
        clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
        n_same = files_rest(&look, p, &is_changed) ? n_same + 1 : 0;
        n_changed = is_changed ? n_changed + 1 : 0;
    }
    _exit(WATCH_CHANGED);
}

/* ---- its life ---- */

void watch_stop(struct file_watch *w)
{
    if (w->pid > 0)
        kill(w->pid, SIGKILL);
    *w = (struct file_watch){0};
}

void watch_start(struct file_watch *w, const struct plan *p, uint64_t number)
{
    watch_stop(w);
    w->number = number;
    if (p->n_files == 0)
        return;
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        watch_process_run(p, parent);
    if (pid > 0) {
        w->pid = pid;
        return;
    }
    LOG_EVENT(LOG_LEVEL_ERROR, "certificates-unwatched", KV_STR("reason", strerror(errno)));
    w->due_ms = clock_ms() + WATCH_AGAIN_MS;
}

bool watch_reap(struct file_watch *w, pid_t pid, int status, bool *ret_changed)
{
    if (pid != w->pid || pid == 0)
        return false;
    w->pid = 0;
    w->due_ms = clock_ms() + WATCH_AGAIN_MS;
    *ret_changed = WIFEXITED(status) && WEXITSTATUS(status) == WATCH_CHANGED;
    return true;
}
