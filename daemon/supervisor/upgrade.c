/* SPDX-License-Identifier: ISC */
/* Replacing the running program by the installed one: it is checked, its engine is started beside
 * the old one, and only when that is ready the supervisor becomes the new program, too. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "engine/wire.h"
#include "supervisor/notify.h"
#include "supervisor/supervisor_priv.h"

#define UPGRADE_CHECK_MS 20000 /* less than mailproxyctl waits for an answer */
#define UPGRADE_START_MS 60000
#define UPGRADE_TEXT_MAX 2000 /* bytes of the check's output that are told */

static bool upgrade_is_running(const struct upgrade *u)
{
    return u->check > 0 || u->is_checked || u->next.pid > 0;
}

static void upgrade_clear(struct upgrade *u)
{
    if (u->output >= 0)
        close(u->output);
    buf_fini(&u->text);
    *u = (struct upgrade){.output = -1, .next = {.wire = -1}};
}

/* What comes of it: nothing. The engine that asked tells the operator. */
static void upgrade_fail(struct supervisor *s, const char *why)
{
    AUTO_BUF text = BUF_INIT;
    struct str said = str_trim(buf_str(&s->upgrade.text));
    if (buf_printf(&text, "%s%s%.*s", why, said.n ? ": " : "", STR_ARG(said)) < 0)
        buf_clear(&text);
    upgrade_clear(&s->upgrade);
    LOG_EVENT(LOG_LEVEL_ERROR, "upgrade-failed", KV_STRN("detail", buf_str(&text)));
    wire_say(s->now.wire, "failed %.*s", STR_ARG(buf_str(&text)));
    if (!s->is_stopping)
        notify("READY=1\nSTATUS=serving; the last upgrade failed");
}

/* ---- the check ---- */

void upgrade_begin(struct supervisor *s)
{
    struct upgrade *u = &s->upgrade;
    if (upgrade_is_running(u) || s->old.pid > 0 || s->is_stopping || !s->program) {
        wire_say(s->now.wire, "failed %s",
                 s->program ? "an upgrade is under way" : "the program's place is not known");
        return;
    }
    u->is_reloaded = false;
    LOG_EVENT(LOG_LEVEL_NOTICE, "upgrade-begun", KV_STR("program", s->program));
    notify("RELOADING=1\nSTATUS=checking a new program");
    int err = process_start_check(s->program, s->config_path, &u->check, &u->output);
    if (err < 0)
        upgrade_fail(s, err_text(err));
    else
        u->late_ms = clock_ms() + UPGRADE_CHECK_MS;
}

void upgrade_read(struct supervisor *s)
{
    struct upgrade *u = &s->upgrade;
    char text[1024];
    ssize_t n = read(u->output, text, sizeof(text));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        close(u->output);
        u->output = -1;
        return;
    }
    size_t room = UPGRADE_TEXT_MAX - u->text.len;
    (void)!buf_append(&u->text, text, (size_t)n < room ? (size_t)n : room);
}

void upgrade_start(struct supervisor *s)
{
    struct upgrade *u = &s->upgrade;
    if (!u->is_checked || s->is_stopping)
        return;
    u->is_checked = false;
    struct process_spec spec = supervisor_spec(s);
    spec.program = s->program;
    spec.is_successor = true;
    buf_clear(&u->text);
    int err = process_start_engine(&spec, &u->next);
    if (err < 0) {
        upgrade_fail(s, err_text(err));
        return;
    }
    s->starts++;
    u->late_ms = clock_ms() + UPGRADE_START_MS;
}

/* All that it said is in the pipe by now. */
static void upgrade_checked(struct supervisor *s, int status)
{
    s->upgrade.check = 0;
    while (s->upgrade.output >= 0 && s->upgrade.text.len < UPGRADE_TEXT_MAX) {
        size_t before = s->upgrade.text.len;
        upgrade_read(s);
        if (s->upgrade.text.len == before)
            break;
    }
    if (s->upgrade.output >= 0)
        close(s->upgrade.output);
    s->upgrade.output = -1;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        s->upgrade.is_checked = true;
        s->upgrade.late_ms = clock_ms() + UPGRADE_CHECK_MS;
        wire_say(s->now.wire, "checked");
        return;
    }
    AUTO_FREE char *why = WIFSIGNALED(status)
                              ? str_printf("the new program died when it was checked (%s)",
                                           strsignal(WTERMSIG(status)))
                              : str_printf("the new program does not pass its check (status %d)",
                                           WEXITSTATUS(status));
    upgrade_fail(s, why ? why : "the new program does not pass its check");
}

/* ---- the new engine ---- */

static void upgrade_died(struct supervisor *s, int status)
{
    AUTO_FREE char *why = WIFSIGNALED(status)
                              ? str_printf("the new engine died before it was ready (%s)",
                                           strsignal(WTERMSIG(status)))
                              : str_printf("the new engine ended before it was ready (status %d)",
                                           WEXITSTATUS(status));
    keeper_forget_owner(&s->keeper, s->upgrade.next.pid);
    process_forget(&s->upgrade.next);
    upgrade_fail(s, why ? why : "the new engine ended before it was ready");
}

bool upgrade_reap(struct supervisor *s, pid_t pid, int status)
{
    if (pid == s->upgrade.check)
        upgrade_checked(s, status);
    else if (pid == s->upgrade.next.pid)
        upgrade_died(s, status);
    else
        return false;
    return true;
}

void upgrade_look(struct supervisor *s, uint64_t now_ms)
{
    struct upgrade *u = &s->upgrade;
    if (!upgrade_is_running(u) || now_ms < u->late_ms)
        return;
    if (u->is_checked) {
        buf_clear(&u->text);
        upgrade_fail(s, "the engine that serves did not want it any more");
        return;
    }
    LOG_EVENT(LOG_LEVEL_ERROR, "upgrade-late",
              KV_I64("pid", u->check > 0 ? u->check : u->next.pid));
    kill(u->check > 0 ? u->check : u->next.pid, SIGKILL);
    buf_clear(&u->text);
    (void)!buf_append_c(&u->text, "it took too long");
    u->late_ms = UINT64_MAX;
}

void upgrade_stop(struct supervisor *s)
{
    if (s->upgrade.check > 0)
        kill(s->upgrade.check, SIGKILL);
    if (s->upgrade.next.pid > 0)
        kill(s->upgrade.next.pid, SIGTERM);
    s->upgrade.late_ms = UINT64_MAX;
}

void upgrade_tell_old(const struct supervisor *s)
{
    wire_say(s->now.wire, "old %d %llu %llu", (int)s->old.pid, (unsigned long long)s->old_since_ms,
             (unsigned long long)s->old_sessions);
}

/* ---- taking over ---- */

static void wire_hand_over(int wire, bool is_handed)
{
    if (wire >= 0)
        (void)fcntl(wire, F_SETFD, is_handed ? 0 : FD_CLOEXEC);
}

static void upgrade_hand_over(const struct supervisor *s, bool is_handed)
{
    keeper_hand_over(&s->keeper, is_handed);
    wire_hand_over(s->now.wire, is_handed);
    wire_hand_over(s->old.wire, is_handed);
}

/* The same process goes on with the new program: whoever started it sees no difference. What
 * arrives meanwhile waits in the sockets. When it fails the program that runs goes on with the new
 * engine. */
static void upgrade_exec(const struct supervisor *s)
{
    char format[24];
    AUTO_BUF text = BUF_INIT;
    const struct takeover t = {.starts = s->starts,
                               .failures = s->failures,
                               .now = s->now,
                               .old = s->old,
                               .old_since_ms = s->old_since_ms,
                               .old_sessions = s->old_sessions,
                               .kept = s->keeper.v,
                               .n_kept = s->keeper.n};
    int err = takeover_format(&t, &text);
    if (err == 0 && (!buf_cstr(&text) || setenv(TAKEOVER_ENV, buf_cstr(&text), 1) < 0))
        err = -ERR_NOMEM;
    snprintf(format, sizeof(format), "%d", TAKEOVER_FORMAT);
    if (err == 0) {
        upgrade_hand_over(s, true);
        execl(s->program, s->program, "--take-over", format, "-c", s->config_path, (char *)NULL);
        err = err_from_errno(errno);
        upgrade_hand_over(s, false);
        unsetenv(TAKEOVER_ENV);
    }
    LOG_EVENT(LOG_LEVEL_ERROR, "supervisor-not-replaced", KV_STR("program", s->program),
              KV_ERR("error", err));
}

void upgrade_finish(struct supervisor *s)
{
    bool is_reloaded = s->upgrade.is_reloaded;
    s->old = s->now;
    s->now = s->upgrade.next;
    s->upgrade.next = (struct engine_process){.wire = -1};
    upgrade_clear(&s->upgrade);
    s->old_since_ms = clock_wall_ms();
    s->old_sessions = 0;
    s->restart_at_ms = 0;
    s->backoff_ms = 0;
    keeper_adopt(&s->keeper, s->now.pid);
    LOG_EVENT(LOG_LEVEL_NOTICE, "upgraded", KV_I64("pid", s->now.pid), KV_I64("old", s->old.pid));
    upgrade_tell_old(s);
    wire_say(s->old.wire, "retire %d", (int)s->now.pid);
    if (is_reloaded)
        kill(s->now.pid, SIGHUP);
    notify("READY=1\nSTATUS=serving");
    upgrade_exec(s);
}

int upgrade_take_over(struct supervisor *s)
{
    struct takeover t;
    const char *text = getenv(TAKEOVER_ENV);
    int err = text ? takeover_parse(str_of(text), &t) : -ERR_SYNTAX;
    if (err < 0)
        return err;
    unsetenv(TAKEOVER_ENV);
    s->starts = t.starts;
    s->failures = t.failures;
    s->now = t.now;
    s->old = t.old;
    s->old_since_ms = t.old_since_ms;
    s->old_sessions = t.old_sessions;
    s->keeper.v = t.kept; /* the sockets and their names are ours now */
    s->keeper.n = t.n_kept;
    s->was_ready = true;
    upgrade_hand_over(s, false);
    return 0;
}
