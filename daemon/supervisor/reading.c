/* SPDX-License-Identifier: ISC */
/* Reading the file in a child process, and giving an engine what came of it. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log/log.h"
#include "base/os/folder.h"
#include "supervisor/log_files.h"
#include "supervisor/notify.h"
#include "supervisor/supervisor_priv.h"

#define READING_ASKS_MAX 8
#define READING_MS 30000 /* half of the time that an engine waits for it */

/* ---- what a content needs ---- */

/* One that is there is left alone. */
static int folder_make(const struct plan_folder *f)
{
    AUTO_CLOSE int parent = -1;
    AUTO_CLOSE int fd = -1;
    const char *name;
    if (access(f->path, F_OK) == 0)
        return 0;
    int err = folder_open(f->path, &parent, &name, NULL);
    if (err == 0 && mkdirat(parent, name, 0755) < 0)
        err = errno == EEXIST ? 0 : err_from_errno(errno);
    if (err < 0 || geteuid() != 0 || !f->owner)
        return err;
    const struct passwd *pw = getpwnam(f->owner);
    const struct group *gr = f->group ? getgrnam(f->group) : NULL;
    if (!pw || (f->group && !gr))
        return -ERR_NOT_FOUND;
    gid_t gid = gr ? gr->gr_gid : pw->pw_gid;
    fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 || fchown(fd, pw->pw_uid, gid) < 0 ? err_from_errno(errno) : 0;
}

int reading_make_folders(const struct content *c, char **ret_error)
{
    for (size_t i = 0; i < c->plan.n_folders; i++) {
        int err = folder_make(&c->plan.folders[i]);
        if (err < 0) {
            *ret_error = str_printf("%s: %s", c->plan.folders[i].path, err_text(err));
            return err;
        }
    }
    return 0;
}

/* Where a store's file system has no locks mail goes on all the same: that is said, once a start.
 */
static int reading_lock_store(struct supervisor *s, const char *store, char **ret_error)
{
    int err = store ? store_locks_take(&s->stores, store, ret_error) : 0;
    if (err == 0 || err == -ERR_BUSY)
        return err;
    LOG_EVENT(LOG_LEVEL_WARN, "store-not-locked", KV_STR("store", store), KV_ERR("error", err),
              KV_STR("detail", "another mailproxyd with the same store would not be noticed"));
    return 0;
}

void reading_release_stores(struct supervisor *s)
{
    const struct content *contents[OLD_ENGINES_MAX + 5] = {s->running, s->pending, s->kept,
                                                           s->for_start, s->upgrade.content};
    const char *stores[ARRAY_LEN(contents)];
    size_t n = 0;
    for (size_t i = 0; i < s->n_olds; i++)
        contents[i + 5] = s->olds[i].content;
    for (size_t i = 0; i < ARRAY_LEN(contents); i++)
        if (contents[i] && contents[i]->plan.store)
            stores[n++] = contents[i]->plan.store;
    store_locks_keep(&s->stores, stores, n);
}

int reading_prepare(struct supervisor *s, const struct content *c, unsigned uses, char **ret_error)
{
    int err = reading_make_folders(c, ret_error);
    if (err == 0 && uses == SOCKET_STORE_ALL) /* another store is that of the next start */
        err = reading_lock_store(s, c->plan.store, ret_error);
    if (err < 0)
        return err;
    err = c->keys ? key_process_start(c->keys, c->plan.keys.user, c->plan.keys.group,
                                      c->plan.keys.n_loaded)
                  : 0;
    if (err < 0) {
        *ret_error = str_printf("the key process was not started: %s", err_text(err));
        return err;
    }
    return socket_store_prepare(&s->sockets, &c->plan, uses, c->number, ret_error);
}

/* ---- giving it to an engine ---- */

/* err: why there is no content, with a sentence that may be NULL. */
static void deliver_failure(struct engine_process *to, uint64_t ask, int err, const char *text)
{
    struct wire_packet packet;
    const struct wire_content head = {.ask = WIRE_ASK_COUNT(ask), .err = err};
    wire_packet_init(&packet, WIRE_CONTENT, &head, sizeof(head));
    wire_packet_add(&packet, text ? text : "", text ? strlen(text) : 0);
    if (outbox_send(to, &packet, NULL, 0) < 0)
        engine_kill(to, "it does not read");
}

static int deliver_all(struct supervisor *s, struct engine_process *to, const struct content *c,
                       uint64_t ask, struct outbox_place *sockets)
{
    struct wire_packet packet;
    size_t n = 0; /* of its sockets those that are there */
    for (size_t i = 0; i < c->plan.n_sockets && c->number; i++) {
        int fd = socket_store_find(&s->sockets, &c->plan.sockets[i], c->number);
        if (fd >= 0)
            sockets[n++] = (struct outbox_place){fd, (uint32_t)i};
    }
    size_t n_logs = c->number ? log_files_count(&c->plan) : 0;
    const struct wire_content head = {.number = c->number,
                                      .ask = WIRE_ASK_COUNT(ask),
                                      .is_kept = ask == 0 && c == s->kept,
                                      .n_sockets = (uint32_t)n,
                                      .n_logs = (uint32_t)n_logs,
                                      .n_keys = (uint32_t)(c->number ? content_channels(c) : 0)};
    wire_packet_init(&packet, WIRE_CONTENT, &head, sizeof(head));
    int err = outbox_send(to, &packet, &c->fd, 1);
    if (err == 0 && head.n_keys > 0) {
        wire_packet_init(&packet, WIRE_KEYS, &c->plan.keys.service, sizeof(c->plan.keys.service));
        err = outbox_send(to, &packet, c->keys->engines, head.n_keys);
    }
    if (err == 0)
        err = outbox_send_places(to, WIRE_SOCKETS, sockets, n);
    return err == 0 && n_logs > 0 ? log_files_send(&c->plan, to) : err;
}

void reading_deliver(struct supervisor *s, struct engine_process *to, const struct content *c,
                     uint64_t ask)
{
    AUTO_FREE struct outbox_place *sockets = calloc(c->plan.n_sockets + 1, sizeof(*sockets));
    int err = sockets ? deliver_all(s, to, c, ask, sockets) : -ERR_NOMEM;
    if (err < 0)
        engine_kill(to, "it cannot be told what it needs");
}

void reading_deliver_logs(struct engine_process *to, const struct content *c)
{
    if (c && log_files_send(&c->plan, to) < 0)
        engine_kill(to, "it does not read");
}

/* ---- key processes ---- */

/* Each content has its own; some may be the same one. */
#define READING_CONTENTS (OLD_ENGINES_MAX + 5)
static void reading_contents(const struct supervisor *s, struct content *v[READING_CONTENTS])
{
    struct content *const all[] = {s->running, s->pending, s->kept, s->upgrade.content,
                                   s->for_start};
    for (size_t i = 0; i < READING_CONTENTS; i++)
        v[i] = i < ARRAY_LEN(all)               ? all[i]
               : i < ARRAY_LEN(all) + s->n_olds ? s->olds[i - ARRAY_LEN(all)].content
                                                : NULL;
}

bool reading_reap_keys(struct supervisor *s, pid_t pid, int status)
{
    struct content *all[READING_CONTENTS];
    reading_contents(s, all);
    for (size_t i = 0; i < READING_CONTENTS; i++)
        if (all[i] && all[i]->keys && all[i]->keys->pid == pid) {
            key_process_died(all[i]->keys, status);
            return true;
        }
    return false;
}

static void reading_restart_keys(struct supervisor *s, uint64_t now)
{
    struct content *all[READING_CONTENTS];
    reading_contents(s, all);
    for (size_t i = 0; i < READING_CONTENTS; i++) {
        struct key_process *k = all[i] ? all[i]->keys : NULL;
        if (!k || k->pid > 0 || k->restart_at_ms == 0 || now < k->restart_at_ms)
            continue;
        const struct plan_keys *p = &all[i]->plan.keys;
        int err = key_process_start(k, p->user, p->group, p->n_loaded);
        if (err < 0) {
            k->restart_at_ms = now + 1000;
            LOG_EVENT(LOG_LEVEL_ERROR, "key-process-not-started", KV_ERR("error", err));
        }
    }
}

/* ---- a content that is to be put in force ---- */

void reading_drop_pending(struct supervisor *s)
{
    if (!s->pending)
        return;
    socket_store_roll_back(&s->sockets, s->pending->number);
    content_unref(STEAL(s->pending));
}

/* Takes c over. Only listeners of mail follow a reload; the metrics page and control sockets stay
 * as they are until a restart. */
static void reading_propose(struct supervisor *s, struct content *c, uint64_t ask)
{
    AUTO_FREE char *error = NULL;
    reading_drop_pending(s);
    c->number = ++s->last_number;
    int err = reading_prepare(s, c, SOCKET_STORE_USE(LISTEN_MAIL), &error);
    if (err < 0) {
        deliver_failure(&s->now, ask, err, error);
        content_unref(c);
        return;
    }
    s->pending = c;
    reading_deliver(s, &s->now, c, ask);
}

bool reading_accepted(struct supervisor *s, uint64_t number)
{
    if (!s->pending || s->pending->number != number)
        return false;
    content_unref(s->running);
    s->running = STEAL(s->pending);
    s->now.number = number;
    s->now.stop_limit_ms = s->running->plan.stop_limit_ms;
    socket_store_commit(&s->sockets, &s->running->plan, SOCKET_STORE_USE(LISTEN_MAIL), number);
    s->upgrade.is_reloaded = true;
    if (s->watch.number != number) {
        s->are_files_refused = false;
        reading_watch(s);
    }
    notify("READY=1");
    return true;
}

/* One of an earlier question may be refused late. */
bool reading_refused(struct supervisor *s, uint64_t number)
{
    if (number == 0 || number > s->last_number)
        return false;
    if (s->pending && s->pending->number == number)
        reading_drop_pending(s);
    notify("READY=1");
    return true;
}

bool reading_confirmed(struct supervisor *s, uint64_t number)
{
    if (!s->running || s->running->number != number)
        return false;
    if (s->kept != s->running) {
        content_unref(s->kept);
        s->kept = content_ref(s->running);
    }
    return true;
}

/* ---- the child ---- */

static void reading_clear(struct reading *r)
{
    content_memory_close(&r->memory);
    *r = (struct reading){.memory = {-1, -1}};
}

/* from: whose certificates are read again; NULL = the file is read. */
static int reading_begin(struct supervisor *s, const struct content *from)
{
    struct reading *r = &s->reading;
    int err = content_memory_make(&r->memory);
    if (err == 0 && from)
        err = process_start_refresh(from, &r->memory, &r->pid);
    else if (err == 0)
        err = process_start_check(NULL, s->config_path, &r->memory, &r->pid, NULL);
    if (err < 0)
        reading_clear(r);
    else
        r->late_ms = clock_ms() + READING_MS;
    return err;
}

static void reading_go_back(struct supervisor *s, uint64_t ask)
{
    struct content *c = NULL;
    int fd = s->kept ? fcntl(s->kept->fd, F_DUPFD_CLOEXEC, 0) : -1;
    struct key_process *keys = NULL;
    int err = !s->kept ? -ERR_NOT_FOUND : fd < 0 ? err_from_errno(errno) : 0;
    if (err == 0 && s->kept->keys && (err = key_process_copy(s->kept->keys, &keys)) < 0)
        close(fd);
    if (err == 0)
        err = content_adopt(fd, keys, &c);
    if (err < 0)
        deliver_failure(&s->now, ask, err, NULL);
    else
        reading_propose(s, c, ask);
}

/* An engine asks one question at a time, and another one only when it has lost patience: then the
 * last one is answered. */
bool reading_wanted(struct supervisor *s, uint64_t ask)
{
    struct reading *r = &s->reading;
    if (WIRE_ASK_HOW(ask) == WIRE_READ_BACK) {
        reading_go_back(s, ask);
        return true;
    }
    bool is_refresh = WIRE_ASK_HOW(ask) == WIRE_READ_FILES;
    if (r->pid > 0 && r->is_refresh != is_refresh)
        reading_stop(s);
    int err = r->pid > 0 ? 0 : reading_begin(s, is_refresh ? s->running : NULL);
    if (err < 0) {
        deliver_failure(&s->now, ask, err, NULL);
        return true;
    }
    if (++r->n_asks > READING_ASKS_MAX)
        return false;
    r->is_for_start = false;
    r->is_refresh = is_refresh;
    r->is_reload = WIRE_ASK_HOW(ask) == WIRE_READ_RELOAD;
    r->ask = ask;
    return true;
}

int reading_start(struct supervisor *s)
{
    if (s->reading.pid > 0 && s->reading.is_refresh)
        reading_stop(s);
    int err = s->reading.pid > 0 ? 0 : reading_begin(s, NULL);
    s->reading.is_for_start = true;
    return err;
}

/* Takes c over. From now on the files are watched from what they were when c was made, whether it
 * can be used or not: what cannot is said once. */
static void reading_answer_refresh(struct supervisor *s, const struct reading *r, struct content *c)
{
    struct content *read = content_ref(c);
    if (c->is_valid && !c->plan.is_same) {
        reading_propose(s, c, r->ask);
    } else {
        reading_deliver(s, &s->now, c, r->ask);
        content_unref(c);
    }
    s->are_files_refused = read->plan.is_refused;
    if (!s->is_stopping)
        watch_start(&s->watch, &read->plan, read->number ? read->number : s->running->number);
    content_unref(read);
}

/* c (taken over) or why there is none. */
static void reading_answer(struct supervisor *s, const struct reading *r, struct content *c,
                           const char *why)
{
    if (r->is_for_start) {
        bool is_usable = c && c->is_valid;
        if (is_usable)
            c->number = ++s->last_number;
        else
            content_unref(c);
        s->for_start = is_usable ? c : NULL;
        s->restart_at_ms = clock_ms();
    } else if (!c) {
        deliver_failure(&s->now, r->ask, -ERR_IO, why);
    } else if (r->is_refresh) {
        reading_answer_refresh(s, r, c);
    } else if (r->is_reload && c->is_valid) {
        reading_propose(s, c, r->ask);
    } else {
        reading_deliver(s, &s->now, c, r->ask);
        content_unref(c);
    }
}

/* Takes the bundle and what is known of the child; *r is cleared before anything else happens. */
static void reading_end(struct supervisor *s, const char *why)
{
    struct reading r = s->reading;
    struct content *c = NULL;
    s->reading = (struct reading){.memory = {-1, -1}};
    if (why)
        content_memory_close(&r.memory);
    else if (content_new(r.memory.bundle, r.memory.keys, &c) < 0)
        why = "the configuration could not be read: out of memory?";
    reading_answer(s, &r, c, why);
}

bool reading_reap(struct supervisor *s, pid_t pid, int status)
{
    if (pid != s->reading.pid || pid == 0)
        return false;
    bool is_told =
        WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == EX_CONFIG);
    AUTO_FREE char *why =
        is_told ? NULL
        : WIFSIGNALED(status)
            ? str_printf("the process that read the configuration died (%s)",
                         strsignal(WTERMSIG(status)))
            : str_printf("the process that read the configuration failed (status %d)",
                         WEXITSTATUS(status));
    reading_end(s, is_told || why ? why : "the configuration could not be read");
    return true;
}

/* ---- certificates that change ---- */

void reading_watch(struct supervisor *s)
{
    if (s->running && !s->is_stopping && !s->is_quitting)
        watch_start(&s->watch, &s->running->plan, s->running->number);
}

/* It asks for them in the turn of its reloads. An upgrade reads them anyway. */
void reading_tell_files(struct supervisor *s)
{
    struct wire_packet packet;
    if (!s->now.is_ready || s->is_stopping || s->is_quitting || upgrade_is_running(&s->upgrade))
        return;
    wire_packet_init(&packet, WIRE_FILES, NULL, 0);
    if (outbox_send(&s->now, &packet, NULL, 0) < 0)
        engine_kill(&s->now, "it does not read");
}

bool reading_reap_watch(struct supervisor *s, pid_t pid, int status)
{
    bool is_changed = false;
    if (!watch_reap(&s->watch, pid, status, &is_changed))
        return false;
    if (is_changed)
        reading_tell_files(s);
    return true;
}

/* It may hang in a file system that does not answer, where no signal reaches it. */
void reading_tick(struct supervisor *s, uint64_t now_ms)
{
    reading_restart_keys(s, now_ms);
    if (s->watch.due_ms && now_ms >= s->watch.due_ms && s->reading.pid == 0)
        reading_watch(s);
    if (s->reading.pid == 0 || now_ms < s->reading.late_ms)
        return;
    kill(s->reading.pid, SIGKILL);
    reading_end(s, "reading the configuration took too long");
}

void reading_stop(struct supervisor *s)
{
    if (s->reading.pid > 0)
        kill(s->reading.pid, SIGKILL);
    reading_clear(&s->reading);
}
