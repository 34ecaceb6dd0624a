/* SPDX-License-Identifier: ISC */
/* The supervisor: binds, forks and execs the engine, restarts it with back-off; speaks no mail
 * protocol. */
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "engine/listen.h"
#include "engine/wire.h"

#define SUPERVISOR_BACKOFF_MIN_MS 100
#define SUPERVISOR_BACKOFF_MAX_MS 5000
#define SUPERVISOR_STABLE_MS 10000 /* an engine that lived this long restarts at once */
#define SUPERVISOR_KILL_AFTER_MS                                                                   \
    30000 /* more than the engine's own limit for its end: see supervisor_stop */
#define SUPERVISOR_FIRST_FD 3 /* SD_LISTEN_FDS_START */

struct kept_socket {
    char *address;
    int fd;
};

struct supervisor {
    const char *config_path;
    struct kept_socket *kept;
    size_t n_kept;
    int signal_fd, wire; /* wire: our end; -1 = no engine */
    pid_t engine;        /* 0 = none */
    unsigned starts;
    uint64_t started_ms, restart_at_ms, backoff_ms, kill_at_ms;
    uint64_t stop_limit_ms;
    bool was_ready, is_stopping;
    int status;
};

/* ---- sd_notify (man 3 sd_notify): a datagram, so no library is needed ---- */

static void notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    if (!path || !str_copy(un.sun_path, sizeof(un.sun_path), str_of(path)))
        return;
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (un.sun_path[0] == '@')
        un.sun_path[0] = '\0';
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        (void)!sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&un, len);
}

/* ---- sockets ---- */

/* Takes over fd. */
static int supervisor_keep(struct supervisor *s, const char *address, int fd)
{
    struct kept_socket *kept = realloc(s->kept, (s->n_kept + 1) * sizeof(*kept));
    char *copy = str_dup_c(address);
    if (kept)
        s->kept = kept;
    if (!kept || !copy) {
        free(copy);
        close(fd);
        return -ERR_NOMEM;
    }
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    s->kept[s->n_kept++] = (struct kept_socket){copy, fd};
    return 0;
}

static void supervisor_forget(struct supervisor *s, const char *address)
{
    for (size_t i = 0; i < s->n_kept; i++) {
        if (strcmp(s->kept[i].address, address) != 0)
            continue;
        close(s->kept[i].fd);
        listen_unlink(address);
        free(s->kept[i].address);
        s->kept[i] = s->kept[--s->n_kept];
        return;
    }
}

/* Sockets that systemd bound for us (LISTEN_FDS, man 3 sd_listen_fds). */
static int supervisor_inherited(const char *address)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    uint64_t p, n;
    if (!pid || !count || str_to_u64(str_of(pid), INT32_MAX, &p) < 0 || (pid_t)p != getpid() ||
        str_to_u64(str_of(count), 4096, &n) < 0)
        return -1;
    for (int fd = SUPERVISOR_FIRST_FD; fd < SUPERVISOR_FIRST_FD + (int)n; fd++)
        if (listen_is_at(fd, address))
            return fd;
    return -1;
}

static int supervisor_bind_all(struct supervisor *s, const struct config *c)
{
    struct listen_list want = {0};
    int err = listen_list_make(c, &want);
    for (size_t i = 0; err == 0 && i < want.n; i++) {
        AUTO_FREE char *error = NULL;
        int fd = supervisor_inherited(want.v[i].address);
        if (fd < 0)
            err = listen_open(&want.v[i], &fd, &error);
        if (err == 0)
            err = supervisor_keep(s, want.v[i].address, fd);
        if (err < 0)
            fprintf(stderr, "mailproxyd: %s\n", error ? error : err_text(err));
    }
    listen_list_fini(&want);
    return err;
}

/* ---- the engine process ---- */

/* In the child: descriptors 3.. are the sockets, then the wire; everything else is close-on-exec.
 */
static void engine_exec(const struct supervisor *s, int wire)
{
    char n_fds[24], pid[24], wire_text[24], restarts[24];
    int top = SUPERVISOR_FIRST_FD + (int)s->n_kept + 1;
    AUTO_FREE int *high = calloc(s->n_kept + 1, sizeof(*high));
    if (!high)
        _exit(EX_OSERR);
    for (size_t i = 0; i <= s->n_kept; i++) {
        int from = i < s->n_kept ? s->kept[i].fd : wire;
        high[i] = fcntl(from, F_DUPFD_CLOEXEC, top);
    }
    for (size_t i = 0; i <= s->n_kept; i++)
        if (high[i] < 0 || dup2(high[i], SUPERVISOR_FIRST_FD + (int)i) < 0)
            _exit(EX_OSERR);
    snprintf(n_fds, sizeof(n_fds), "%zu", s->n_kept);
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    snprintf(wire_text, sizeof(wire_text), "%d", SUPERVISOR_FIRST_FD + (int)s->n_kept);
    snprintf(restarts, sizeof(restarts), "%u", s->starts);
    setenv("LISTEN_FDS", n_fds, 1);
    setenv("LISTEN_PID", pid, 1);
    setenv(WIRE_FD_ENV, wire_text, 1);
    execl("/proc/self/exe", "mailproxyd", "--engine", restarts, "-c", s->config_path, (char *)NULL);
    _exit(EX_OSERR);
}

static int supervisor_start(struct supervisor *s)
{
    int wire[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, wire) < 0)
        return err_from_errno(errno);
    pid_t pid = fork();
    if (pid == 0) {
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        engine_exec(s, wire[1]);
    }
    int failed = errno;
    close(wire[1]);
    if (pid < 0) {
        close(wire[0]);
        return err_from_errno(failed);
    }
    s->engine = pid;
    s->wire = wire[0];
    s->starts++;
    s->started_ms = clock_ms();
    s->restart_at_ms = 0;
    return 0;
}

static void supervisor_start_or_wait(struct supervisor *s)
{
    int err = supervisor_start(s);
    if (err == 0)
        return;
    LOG_EVENT(LOG_LEVEL_ERROR, "engine-not-started", KV_ERR("error", err));
    s->restart_at_ms = clock_ms() + SUPERVISOR_BACKOFF_MAX_MS;
}

static void supervisor_log_death(const struct supervisor *s, int status)
{
    bool is_signal = WIFSIGNALED(status);
    LOG_EVENT(LOG_LEVEL_ERROR, "engine-died", KV_I64("pid", s->engine),
              KV_STR("signal", is_signal ? strsignal(WTERMSIG(status)) : NULL),
              KV_I64("status", is_signal ? 0 : WEXITSTATUS(status)),
              KV_MS("lived", clock_ms() - s->started_ms), KV_MS("restart-in", s->backoff_ms));
}

/* The first one after a quiet time restarts at once; then the pause doubles. An engine that never
 * got ready will not do better. */
static void supervisor_engine_died(struct supervisor *s, int status)
{
    bool is_clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (s->wire >= 0)
        close(s->wire);
    s->wire = -1;
    if (s->is_stopping || is_clean || !s->was_ready) {
        s->status = WIFEXITED(status) ? WEXITSTATUS(status) : EX_SOFTWARE;
        s->is_stopping = true;
        s->engine = 0;
        return;
    }
    uint64_t now = clock_ms();
    bool was_stable = now - s->started_ms >= SUPERVISOR_STABLE_MS;
    if (was_stable || s->backoff_ms == 0)
        s->backoff_ms = was_stable ? 0 : SUPERVISOR_BACKOFF_MIN_MS;
    else
        s->backoff_ms = s->backoff_ms * 2 < SUPERVISOR_BACKOFF_MAX_MS ? s->backoff_ms * 2
                                                                      : SUPERVISOR_BACKOFF_MAX_MS;
    supervisor_log_death(s, status);
    s->engine = 0;
    s->restart_at_ms = now + s->backoff_ms;
    if (s->backoff_ms == 0)
        supervisor_start_or_wait(s);
}

static void supervisor_stop(struct supervisor *s)
{
    if (s->is_stopping)
        return;
    s->is_stopping = true;
    s->kill_at_ms = clock_ms() + s->stop_limit_ms + SUPERVISOR_KILL_AFTER_MS;
    notify("STOPPING=1");
    if (s->engine > 0)
        kill(s->engine, SIGTERM);
}

/* ---- events ---- */

static void supervisor_answer_bind(struct supervisor *s, char *text)
{
    struct listen_spec spec;
    AUTO_FREE char *error = NULL;
    char answer[WIRE_TEXT_MAX];
    int fd = -1;
    int err = wire_bind_parse(text, &spec);
    if (err == 0)
        err = listen_open(&spec, &fd, &error);
    if (err == 0)
        err = supervisor_keep(s, spec.address, fd);
    if (err == 0) {
        (void)!wire_send(s->wire, "ok", fd);
        return;
    }
    snprintf(answer, sizeof(answer), "error %.400s", error ? error : err_text(err));
    (void)!wire_send(s->wire, answer, -1);
}

static void supervisor_hear(struct supervisor *s)
{
    char text[WIRE_TEXT_MAX];
    int passed = -1;
    if (wire_receive(s->wire, text, &passed) < 0) {
        close(s->wire); /* its end; SIGCHLD tells the rest */
        s->wire = -1;
        return;
    }
    if (passed >= 0)
        close(passed);
    if (strncmp(text, "bind ", 5) == 0) {
        supervisor_answer_bind(s, text);
    } else if (strncmp(text, "close ", 6) == 0) {
        supervisor_forget(s, text + 6);
    } else if (strcmp(text, "ready") == 0) {
        s->was_ready = true;
        notify("READY=1\nSTATUS=serving");
    } else if (strncmp(text, "reloaded ", 9) == 0) {
        (void)!str_to_u64(str_of(text + 9), UINT64_MAX / 2, &s->stop_limit_ms);
        notify("READY=1");
    } else if (strcmp(text, "stop") == 0) {
        s->is_stopping = true;
        s->kill_at_ms = UINT64_MAX;
        notify("STOPPING=1");
    }
}

static void supervisor_reap(struct supervisor *s)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (pid == s->engine)
            supervisor_engine_died(s, status);
}

static void supervisor_signal(struct supervisor *s)
{
    struct signalfd_siginfo info;
    if (read(s->signal_fd, &info, sizeof(info)) != sizeof(info))
        return;
    switch (info.ssi_signo) {
    case SIGCHLD:
        supervisor_reap(s);
        break;
    case SIGHUP:
        notify("RELOADING=1");
        if (s->engine > 0)
            kill(s->engine, SIGHUP);
        break;
    case SIGUSR1:
        log_reopen();
        if (s->engine > 0)
            kill(s->engine, SIGUSR1);
        break;
    default:
        supervisor_stop(s);
        break;
    }
}

static int supervisor_wait_ms(const struct supervisor *s)
{
    uint64_t due = s->is_stopping ? s->kill_at_ms : s->restart_at_ms, now = clock_ms();
    if (due == 0 || due == UINT64_MAX)
        return -1;
    return due > now ? (int)(due - now) : 0;
}

static void supervisor_turn(struct supervisor *s)
{
    struct pollfd p[2] = {{.fd = s->signal_fd, .events = POLLIN},
                          {.fd = s->wire, .events = POLLIN}}; /* -1 is passed over */
    int n = poll(p, 2, supervisor_wait_ms(s));
    if (n > 0 && p[1].revents)
        supervisor_hear(s);
    if (n > 0 && p[0].revents)
        supervisor_signal(s);
    uint64_t now = clock_ms();
    if (s->is_stopping && s->engine > 0 && s->kill_at_ms && now >= s->kill_at_ms) {
        LOG_EVENT(LOG_LEVEL_ERROR, "engine-killed", KV_STR("reason", "it did not stop"));
        kill(s->engine, SIGKILL);
        s->kill_at_ms = UINT64_MAX;
    }
    if (!s->is_stopping && s->engine == 0 && s->restart_at_ms && now >= s->restart_at_ms)
        supervisor_start_or_wait(s);
}

/* ---- life ---- */

/* A folder for the daemon's own files, owned by the user that it will be. An existing one is left
 * alone. */
static int supervisor_make_folder(const char *path, const struct config *c)
{
    if (mkdir(path, 0755) < 0) {
        if (errno == EEXIST)
            return 0;
        fprintf(stderr, "mailproxyd: %s: %s\n", path, strerror(errno));
        return err_from_errno(errno);
    }
    const struct passwd *pw = c->user && geteuid() == 0 ? getpwnam(c->user) : NULL;
    if (pw && chown(path, pw->pw_uid, pw->pw_gid) < 0)
        return err_from_errno(errno);
    return 0;
}

static int supervisor_make_folders(const struct config *c)
{
    int err = supervisor_make_folder(c->state_dir, c);
    return err < 0 ? err : supervisor_make_folder(c->run_dir, c);
}

static int supervisor_signals(struct supervisor *s)
{
    static const int numbers[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGUSR1};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        sigaddset(&set, numbers[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return s->signal_fd < 0 ? err_from_errno(errno) : 0;
}

static void supervisor_fini(struct supervisor *s)
{
    while (s->n_kept > 0)
        supervisor_forget(s, s->kept[0].address);
    free(s->kept);
    if (s->wire >= 0)
        close(s->wire);
    if (s->signal_fd >= 0)
        close(s->signal_fd);
}

static int supervisor_load(const char *path, struct config **ret)
{
    struct config_problems problems = {0};
    AUTO_BUF text = BUF_INIT;
    int err = config_load(path, ret, &problems);
    if (err < 0 && config_problems_format(&problems, &text) == 0)
        (void)!write(STDERR_FILENO, text.data + text.start, text.len);
    config_problems_fini(&problems);
    return err;
}

int supervisor_run(const char *config_path)
{
    struct supervisor s = {.config_path = config_path, .signal_fd = -1, .wire = -1};
    struct config *c = NULL;
    if (supervisor_load(config_path, &c) < 0)
        return EX_CONFIG;
    s.stop_limit_ms = c->shutdown_timeout_ms;
    int err = supervisor_make_folders(c);
    if (err == 0)
        err = supervisor_bind_all(&s, c);
    config_unref(c);
    if (err == 0)
        err = supervisor_signals(&s);
    if (err == 0)
        err = supervisor_start(&s);
    if (err < 0) {
        fprintf(stderr, "mailproxyd: not started: %s\n", err_text(err));
        s.status = EX_OSERR;
        s.is_stopping = true;
    }
    while (!s.is_stopping || s.engine > 0)
        supervisor_turn(&s);
    supervisor_fini(&s);
    return s.status;
}
