/* SPDX-License-Identifier: ISC */
/* One child at a time reads what one engine waits for, some certificates at once. */
#include "supervisor/loading.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log/log.h"
#include "sandbox/sandbox.h"
#include "supervisor/supervisor_priv.h"

#define LOADING_MS 2000 /* a certificate takes a millisecond; clients wait longer */
#define LOADING_CAREFUL 64
enum { LOADING_MEMORY_FD = STDERR_FILENO + 1, LOADING_KEYS_FD }; /* the child's */
#define LOADING_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

/* ---- who wants what ---- */

/* The content that an engine works with; NULL = it has none, or is no engine of ours any more. */
static const struct content *loading_content(const struct supervisor *s, pid_t engine)
{
    if (engine == s->now.pid)
        return s->running;
    for (size_t i = 0; i < s->n_olds; i++)
        if (s->olds[i].process.pid == engine)
            return s->olds[i].content;
    return NULL;
}

/* Takes what the engine at the front of the queue wants. */
static void loading_take(struct loading *l, const struct content *c)
{
    size_t most = l->careful > 0 ? 1 : WIRE_LOADS_MAX, left = 0;
    l->engine = l->queue[0].engine;
    l->what = (struct wire_loaded){.number = c ? c->number : 0};
    for (size_t i = 0; i < l->n_queue; i++)
        if (l->queue[i].engine == l->engine && (!c || l->what.n < most)) {
            if (c)
                l->what.entries[l->what.n++] = l->queue[i].entry;
        } else {
            l->queue[left++] = l->queue[i];
        }
    l->n_queue = left;
}

/* ---- the child ---- */

/* It keeps of root what reading the files of others takes, and of descriptors its memory. */
static _Noreturn void loading_run(const struct loading *l, const struct content *c, pid_t parent)
{
    sigset_t none;
    (void)prctl(PR_SET_NAME, "mp-load");
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(EX_OSERR);
    int keys = c->plan.keys.n_loaded > 0
                   ? fcntl(c->keys->engines[c->keys->n - 1], F_DUPFD, LOADING_KEYS_FD + 1)
                   : -1;
    int memory = fcntl(l->memory, F_DUPFD, LOADING_KEYS_FD + 1);
    if (memory < 0 || dup2(memory, LOADING_MEMORY_FD) < 0 ||
        (keys >= 0 && dup2(keys, LOADING_KEYS_FD) < 0))
        _exit(EX_OSERR);
    (void)close_range(keys >= 0 ? LOADING_KEYS_FD + 1 : LOADING_KEYS_FD, ~0u, 0);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    sandbox_enter_loading();
    int err = loading_write(c, l->what.entries, l->what.n, LOADING_MEMORY_FD,
                            keys >= 0 ? LOADING_KEYS_FD : -1);
    _exit(err < 0 ? EX_IOERR : 0);
}

/* Begins with what is wanted, if nothing is being read. */
static void loading_go_on(struct supervisor *s)
{
    struct loading *l = &s->loading;
    while (l->pid == 0 && l->n_queue > 0) {
        const struct content *c = loading_content(s, l->queue[0].engine);
        loading_take(l, c);
        if (!c || s->is_stopping)
            continue;
        pid_t parent = getpid(), pid = -1;
        int err = content_memory(&l->memory);
        if (err == 0)
            pid = fork();
        if (pid == 0)
            loading_run(l, c, parent);
        if (pid > 0) {
            l->pid = pid;
            l->late_ms = clock_ms() + LOADING_MS;
            return;
        }
        if (err == 0) {
            err = err_from_errno(errno);
            close(l->memory);
        }
        /* The engine asks again, later. */
        LOG_EVENT(LOG_LEVEL_ERROR, "certificates-not-read", KV_ERR("error", err));
    }
}

/* Of a content that it no longer works with nothing is wanted: the word was on its way. */
bool loading_want(struct supervisor *s, const struct engine_process *from, uint64_t number)
{
    struct loading *l = &s->loading;
    const struct content *c = loading_content(s, from->pid);
    size_t n = l->pid > 0 && l->engine == from->pid ? l->what.n : 0;
    if (!c || !c->plan.directory.path || (uint32_t)c->number != WIRE_LOAD_CONTENT(number) ||
        WIRE_LOAD_ENTRY(number) >= c->plan.directory.n)
        return false;
    for (size_t i = 0; i < l->n_queue; i++)
        n += l->queue[i].engine == from->pid;
    if (n >= WIRE_LOADS_MAX || l->n_queue >= LOADING_QUEUE_MAX)
        return false;
    l->queue[l->n_queue++] = (struct load_request){from->pid, WIRE_LOAD_ENTRY(number)};
    loading_go_on(s);
    return true;
}

static void loading_answer(struct supervisor *s)
{
    struct loading *l = &s->loading;
    struct engine_process *engines[SUPERVISOR_ENGINES_MAX], *to = NULL;
    size_t n = supervisor_engines(s, engines);
    struct wire_packet packet;
    for (size_t i = 0; i < n && !to; i++)
        if (engines[i]->pid == l->engine)
            to = engines[i];
    if (to && fcntl(l->memory, F_ADD_SEALS, LOADING_SEALS) == 0) {
        wire_packet_init(&packet, WIRE_LOADED, &l->what, sizeof(l->what));
        if (outbox_send(to, &packet, &l->memory, 1) < 0)
            engine_kill(to, "it does not read");
    }
    close(l->memory);
    l->pid = 0;
}

bool loading_reap(struct supervisor *s, pid_t pid, int status)
{
    struct loading *l = &s->loading;
    if (pid != l->pid || pid == 0)
        return false;
    if (WIFSIGNALED(status)) {
        LOG_EVENT(LOG_LEVEL_ERROR, "certificates-not-read",
                  KV_STR("signal", strsignal(WTERMSIG(status))), KV_U64("number", l->what.n));
        l->careful = LOADING_CAREFUL;
    } else if (l->careful > 0) {
        l->careful--;
    }
    loading_answer(s);
    loading_go_on(s);
    return true;
}

/* One that hangs in a file system that does not answer is not waited for: no signal may reach it.
 */
void loading_tick(struct supervisor *s, uint64_t now_ms)
{
    struct loading *l = &s->loading;
    if (l->pid == 0 || now_ms < l->late_ms)
        return;
    kill(l->pid, SIGKILL);
    LOG_EVENT(LOG_LEVEL_ERROR, "certificates-not-read", KV_STR("reason", "it took too long"),
              KV_U64("number", l->what.n));
    l->careful = LOADING_CAREFUL;
    loading_answer(s);
    loading_go_on(s);
}

void loading_stop(struct supervisor *s)
{
    struct loading *l = &s->loading;
    l->n_queue = 0;
    if (l->pid == 0)
        return;
    kill(l->pid, SIGKILL);
    close(l->memory);
    l->pid = 0;
}
