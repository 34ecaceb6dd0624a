/* SPDX-License-Identifier: ISC */
/* Replacing the running program by the installed one: it is checked, its engine is started beside
 * the old one, and only when that is ready the supervisor becomes the new program, too. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log/log.h"
#include "runtime/engine_api.h"
#include "supervisor/notify.h"
#include "supervisor/supervisor_priv.h"

#define UPGRADE_CHECK_MS 20000 /* less than mailproxyctl waits for an answer */
#define UPGRADE_START_MS 60000
#define UPGRADE_TEXT_MAX 2000 /* bytes of the check's output that are told */

static void upgrade_clear(struct upgrade *u)
{
    if (u->output >= 0)
        close(u->output);
    content_memory_close(&u->memory);
    buf_fini(&u->text);
    content_unref(u->content);
    *u = (struct upgrade){.output = -1, .memory = {-1, -1}, .next = {.wire = -1}};
}

/* To the engine that serves, if there is one. */
static void upgrade_order(struct supervisor *s, enum wire_order order, struct str body)
{
    struct wire_packet packet;
    wire_packet_init(&packet, order, body.p, body.n);
    if (s->now.is_ready && outbox_send(&s->now, &packet, NULL, 0) < 0)
        engine_kill(&s->now, "it does not read");
}

/* What comes of it: nothing. The engine that asked tells the operator. */
static void upgrade_fail(struct supervisor *s, const char *why)
{
    AUTO_BUF text = BUF_INIT;
    struct str said = str_trim(buf_str(&s->upgrade.text));
    if (buf_printf(&text, "%s%s%.*s", why, said.n ? ": " : "", STR_ARG(said)) < 0)
        buf_clear(&text);
    if (s->upgrade.content)
        socket_store_roll_back(&s->sockets, s->upgrade.content->number);
    upgrade_clear(&s->upgrade);
    reading_release_stores(s);
    LOG_EVENT(LOG_LEVEL_ERROR, "upgrade-failed", KV_STRN("detail", buf_str(&text)));
    upgrade_order(s, WIRE_FAILED, buf_str(&text));
    if (!s->is_stopping)
        notify("READY=1\nSTATUS=serving; the last upgrade failed");
}

/* ---- the check ---- */

void upgrade_begin(struct supervisor *s)
{
    struct upgrade *u = &s->upgrade;
    if (upgrade_is_running(u) || s->n_olds == OLD_ENGINES_MAX || s->is_stopping || !s->program) {
        upgrade_order(s, WIRE_FAILED,
                      !s->program ? STR("the program's place is not known")
                      : s->n_olds == OLD_ENGINES_MAX
                          ? STR("too many engines finish their sessions still")
                          : STR("an upgrade is under way"));
        return;
    }
    u->is_reloaded = false;
    LOG_EVENT(LOG_LEVEL_NOTICE, "upgrade-begun", KV_STR("program", s->program));
    notify("RELOADING=1\nSTATUS=checking a new program");
    int err = content_memory_make(&u->memory);
    if (err == 0)
        err = process_start_check(s->program, s->config_path, &u->memory, &u->check, &u->output);
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
    AUTO_FREE char *error = NULL;
    u->is_checked = false;
    buf_clear(&u->text);
    u->content->number = ++s->last_number;
    struct process_spec spec = supervisor_spec(s);
    spec.program = s->program;
    spec.is_successor = true;
    int err = reading_prepare(s, u->content, SOCKET_STORE_ALL, &error);
    if (err == 0)
        err = process_start_engine(&spec, &u->next);
    if (err < 0) {
        upgrade_fail(s, error ? error : err_text(err));
        return;
    }
    s->starts++;
    u->next.number = u->content->number;
    u->next.stop_limit_ms = u->content->plan.stop_limit_ms;
    u->late_ms = clock_ms() + UPGRADE_START_MS;
    reading_deliver(s, &u->next, u->content, 0);
}

/* The check was passed; what it has read is the new engine's. */
static void upgrade_good(struct supervisor *s)
{
    struct upgrade *u = &s->upgrade;
    struct content_memory m = u->memory;
    u->memory = (struct content_memory){-1, -1};
    int err = content_new(m.bundle, m.keys, &u->content);
    if (err < 0 || !u->content->is_valid) {
        upgrade_fail(s, "the new program does not tell what it needs");
        return;
    }
    u->is_checked = true;
    u->late_ms = clock_ms() + UPGRADE_CHECK_MS;
    upgrade_order(s, WIRE_CHECKED, STR(""));
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
        upgrade_good(s);
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

bool upgrade_reap(struct supervisor *s, pid_t pid, int status)
{
    if (pid == s->upgrade.check) {
        upgrade_checked(s, status);
        return true;
    }
    if (pid != s->upgrade.next.pid)
        return false;
    AUTO_FREE char *why = WIFSIGNALED(status)
                              ? str_printf("the new engine died before it was ready (%s)",
                                           strsignal(WTERMSIG(status)))
                              : str_printf("the new engine ended before it was ready (status %d)",
                                           WEXITSTATUS(status));
    process_forget(&s->upgrade.next);
    upgrade_fail(s, why ? why : "the new engine ended before it was ready");
    return true;
}

/* The log of the new engine has the details. */
void upgrade_not_ready(struct supervisor *s, int err)
{
    buf_clear(&s->upgrade.text);
    (void)!buf_append_c(&s->upgrade.text, err_text(err));
}

static void upgrade_exec(struct supervisor *s);

void upgrade_tick(struct supervisor *s, uint64_t now_ms)
{
    struct upgrade *u = &s->upgrade;
    bool is_read = outbox_is_empty(&s->now); /* what was to be told to the engines */
    for (size_t i = 0; i < s->n_olds; i++)
        is_read = is_read && outbox_is_empty(&s->olds[i].process);
    is_read = is_read && s->loading.pid == 0; /* what it reads is for an engine, too */
    if (s->is_exec_due && is_read && !s->is_stopping)
        upgrade_exec(s);
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

void upgrade_tell_olds(struct supervisor *s)
{
    struct wire_old olds[OLD_ENGINES_MAX];
    for (size_t i = 0; i < s->n_olds; i++) {
        const struct old_engine *o = &s->olds[s->n_olds - 1 - i];
        olds[i] = (struct wire_old){(uint64_t)o->process.pid, o->since_ms, o->sessions, o->number};
    }
    upgrade_order(s, WIRE_OLDS, str_n((const char *)olds, s->n_olds * sizeof(olds[0])));
}

static int upgrade_send_link(struct engine_process *to, const struct engine_process *other,
                             bool is_successor, int fd)
{
    const struct wire_link link = {(uint64_t)other->pid, is_successor};
    const uint32_t place = 0;
    struct wire_packet packet;
    wire_packet_init(&packet, WIRE_LINK, &link, sizeof(link));
    wire_packet_add(&packet, &place, sizeof(place));
    return outbox_send(to, &packet, &fd, 1);
}

/* A connection that only these two have: what they say to each other is no business of the
 * supervisor. */
static void upgrade_link(struct supervisor *s, struct engine_process *old)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0) {
        LOG_EVENT(LOG_LEVEL_ERROR, "engines-not-linked", KV_ERR("error", err_from_errno(errno)));
        return;
    }
    if (upgrade_send_link(old, &s->now, true, ends[0]) < 0)
        engine_kill(old, "it does not read");
    else if (upgrade_send_link(&s->now, old, false, ends[1]) < 0)
        engine_kill(&s->now, "it does not read");
    close(ends[0]);
    close(ends[1]);
}

void upgrade_link_olds(struct supervisor *s)
{
    for (size_t i = 0; i < s->n_olds && s->now.is_ready; i++)
        upgrade_link(s, &s->olds[i].process);
}

/* ---- taking over ---- */

static void fd_hand_over(int fd, bool is_handed)
{
    if (fd >= 0)
        (void)fcntl(fd, F_SETFD, is_handed ? 0 : FD_CLOEXEC);
}

static void upgrade_hand_over(const struct supervisor *s, bool is_handed)
{
    const struct content *const contents[] = {s->running, s->kept};
    socket_store_hand_over(&s->sockets, is_handed);
    store_locks_hand_over(&s->stores, is_handed);
    fd_hand_over(s->now.wire, is_handed);
    for (size_t i = 0; i < s->n_olds; i++) {
        const struct content *c = s->olds[i].content;
        fd_hand_over(s->olds[i].process.wire, is_handed);
        fd_hand_over(c ? c->fd : -1, is_handed);
        key_process_hand_over(c ? c->keys : NULL, is_handed);
    }
    for (size_t i = 0; i < ARRAY_LEN(contents); i++) {
        fd_hand_over(contents[i] ? contents[i]->fd : -1, is_handed);
        key_process_hand_over(contents[i] ? contents[i]->keys : NULL, is_handed);
    }
}

static struct takeover_content takeover_of(const struct content *c)
{
    return c ? (struct takeover_content){c->fd, c->number, c->keys}
             : (struct takeover_content){.fd = -1};
}

/* The same process goes on with the new program: whoever started it sees no difference. What
 * arrives meanwhile waits in the sockets. When it fails the program that runs goes on with the new
 * engine. */
static void upgrade_exec(struct supervisor *s)
{
    char format[24];
    AUTO_BUF text = BUF_INIT;
    struct takeover t = {.starts = s->starts,
                         .failures = s->failures,
                         .now = s->now,
                         .last_number = s->last_number,
                         .running = takeover_of(s->running),
                         .kept = takeover_of(s->kept),
                         .kept_sockets = s->sockets.v,
                         .n_kept = s->sockets.n};
    s->is_exec_due = false;
    for (; t.n_olds < s->n_olds; t.n_olds++) {
        t.olds[t.n_olds] = s->olds[t.n_olds];
        t.finishing[t.n_olds] = takeover_of(s->olds[t.n_olds].content);
    }
    int err = takeover_format(&t, &text);
    if (err == 0 && (!buf_cstr(&text) || setenv(TAKEOVER_ENV, buf_cstr(&text), 1) < 0))
        err = -ERR_NOMEM;
    snprintf(format, sizeof(format), "%d", TAKEOVER_FORMAT);
    watch_stop(&s->watch);
    if (err == 0) {
        upgrade_hand_over(s, true);
        execl(s->program, s->program, "--take-over", format, "-c", s->config_path, (char *)NULL);
        err = err_from_errno(errno);
        upgrade_hand_over(s, false);
        unsetenv(TAKEOVER_ENV);
    }
    LOG_EVENT(LOG_LEVEL_ERROR, "supervisor-not-replaced", KV_STR("program", s->program),
              KV_ERR("error", err));
    reading_watch(s);
}

/* Operators reach the old engine by a socket beside each of those that its file named. */
static void upgrade_retire(struct supervisor *s, struct old_engine *old)
{
    struct wire_packet packet;
    uint32_t places[WIRE_FDS_MAX];
    int fds[WIRE_FDS_MAX];
    size_t n = 0;
    const struct plan *plan = &old->content->plan;
    const uint64_t pid = (uint64_t)s->now.pid;
    for (size_t i = 0; i < plan->n_sockets && n < WIRE_FDS_MAX; i++) {
        struct listen_spec spec = plan->sockets[i].spec;
        AUTO_FREE char *address = control_old_path(spec.address, old->number);
        AUTO_FREE char *error = NULL;
        if (spec.use != LISTEN_CONTROL || !address)
            continue;
        spec.address = address;
        places[n] = (uint32_t)spec.index;
        int err = socket_store_bind_for(&s->sockets, &spec, old->process.pid, &fds[n], &error);
        if (err == 0)
            n++;
        else
            LOG_EVENT(LOG_LEVEL_ERROR, "control-not-opened", KV_STR("address", address),
                      KV_ERR("error", err), KV_STR("detail", error));
    }
    wire_packet_init(&packet, WIRE_RETIRE, &pid, sizeof(pid));
    wire_packet_add(&packet, places, n * sizeof(places[0]));
    if (outbox_send(&old->process, &packet, fds, n) < 0)
        engine_kill(&old->process, "it does not read");
}

/* The engine that served is one of those that finish; NULL: it is gone already. */
static struct old_engine *upgrade_make_old(struct supervisor *s)
{
    struct content *content = STEAL(s->running);
    if (s->now.pid <= 0) {
        content_unref(content);
        return NULL;
    }
    /* The lowest that no other has. */
    unsigned number = 1;
    for (size_t i = 0; i < s->n_olds; i++)
        if (s->olds[i].number == number) {
            number++;
            i = (size_t)-1;
        }
    struct old_engine *old = &s->olds[s->n_olds++];
    *old = (struct old_engine){
        .process = s->now, .since_ms = clock_wall_ms(), .number = number, .content = content};
    return old;
}

void upgrade_finish(struct supervisor *s)
{
    bool is_reloaded = s->upgrade.is_reloaded;
    reading_drop_pending(s);
    reading_stop(s);
    struct old_engine *old = upgrade_make_old(s);
    s->now = s->upgrade.next;
    s->upgrade.next = (struct engine_process){.wire = -1};
    s->running = STEAL(s->upgrade.content);
    upgrade_clear(&s->upgrade);
    s->restart_at_ms = 0;
    s->backoff_ms = 0;
    /* What a reload has bound meanwhile the new engine takes over with its own one, below. */
    socket_store_commit(&s->sockets, &s->running->plan, is_reloaded ? 0 : SOCKET_STORE_ALL,
                        s->running->number);
    LOG_EVENT(LOG_LEVEL_NOTICE, "upgraded", KV_I64("pid", s->now.pid),
              KV_I64("old", old ? old->process.pid : 0));
    upgrade_tell_olds(s);
    if (old)
        upgrade_retire(s, old);
    upgrade_link_olds(s);
    if (is_reloaded)
        kill(s->now.pid, SIGHUP);
    notify("READY=1\nSTATUS=serving");
    s->is_exec_due = true;
}

/* A content that has this descriptor already; NULL = none. */
static struct content *upgrade_adopted(const struct supervisor *s, int fd)
{
    if (s->running && s->running->fd == fd)
        return s->running;
    if (s->kept && s->kept->fd == fd)
        return s->kept;
    for (size_t i = 0; i < s->n_olds; i++)
        if (s->olds[i].content && s->olds[i].content->fd == fd)
            return s->olds[i].content;
    return NULL;
}

/* What the program before kept open for this one. Several may share a content: two owners of one
 * descriptor would close it twice, the second time when its number is another's. */
static int upgrade_adopt(const struct supervisor *s, struct takeover_content *from,
                         struct content **ret)
{
    if (from->fd < 0)
        return 0;
    struct content *known = upgrade_adopted(s, from->fd);
    if (known) {
        free(STEAL(from->keys));
        *ret = content_ref(known);
        return 0;
    }
    int err = content_adopt(from->fd, STEAL(from->keys), ret);
    if (err < 0)
        return err;
    (*ret)->number = from->number;
    if ((*ret)->keys) { /* it may have ended while nobody looked */
        (*ret)->keys->started_ms = clock_ms();
        (*ret)->keys->restart_at_ms = clock_ms();
    }
    return 0;
}

/* The program before may have known no locks. Its engines serve: what cannot be had is only said.
 */
static void upgrade_lock_store(struct supervisor *s)
{
    AUTO_FREE char *error = NULL;
    const char *store = s->running->plan.store;
    int err = store ? store_locks_take(&s->stores, store, &error) : 0;
    if (err < 0)
        LOG_EVENT(LOG_LEVEL_WARN, "store-not-locked", KV_STR("store", store), KV_ERR("error", err),
                  KV_STR("detail", error));
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
    s->now.heard_ms = clock_ms();
    s->n_olds = t.n_olds;
    for (size_t i = 0; i < t.n_olds; i++) {
        s->olds[i] = t.olds[i];
        s->olds[i].process.heard_ms = clock_ms();
    }
    s->last_number = t.last_number;
    s->sockets.v = t.kept_sockets; /* the sockets and their names are ours now */
    s->sockets.n = t.n_kept;
    s->was_ready = true;
    err = upgrade_adopt(s, &t.running, &s->running);
    if (err == 0)
        err = upgrade_adopt(s, &t.kept, &s->kept);
    for (size_t i = 0; i < t.n_olds && err == 0; i++)
        err = upgrade_adopt(s, &t.finishing[i], &s->olds[i].content);
    store_locks_adopt(&s->stores);
    upgrade_hand_over(s, false);
    if (err == 0 && s->running)
        upgrade_lock_store(s);
    return err == 0 && !s->running ? -ERR_SYNTAX : err;
}
