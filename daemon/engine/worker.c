/* SPDX-License-Identifier: ISC */
/* Worker threads: one loop each, nothing shared but what struct worker_spec names. */
#include "engine/worker.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/log/log.h"
#include "base/zalloc.h"
#include "engine/admission.h"
#include "engine/retire.h"
#include "sandbox/sandbox.h"
#include "session/admin/query.h"

#define WORKER_NOTES_KEPT 16 /* of some 700 bytes: the control thread reads several at once */

/* ---- notes for the control thread ---- */

/* Puts a string into a note's text, cut to max bytes with its NUL. *at moves behind it. */
static const char *note_text(char **at, size_t max, struct str s)
{
    char *text = *at;
    (void)str_copy(text, max, s);
    *at = text + (s.n < max ? s.n : max - 1) + 1;
    return text;
}

static void on_note(void *arg, enum session_note note, const struct session *s, const char *reason,
                    struct str detail)
{
    struct worker *w = arg;
    if (note == SESSION_NOTE_LOGIN && session_user(s))
        limits_welcome(w->spec.admission->limits, session_peer(s), session_user(s));
    /* Last logins go into the store; failures and ends are kept for those who look later. */
    bool is_counted = note == SESSION_NOTE_END && session_is_client_counted(s);
    bool is_watched = atomic_load_explicit(w->spec.is_watched, memory_order_relaxed);
    if (note != SESSION_NOTE_FAILURE && !session_user(s) && !is_counted && !is_watched)
        return;
    pthread_mutex_lock(&w->notes.lock);
    struct worker_note *n = free_list_take(&w->notes.free);
    pthread_mutex_unlock(&w->notes.lock);
    if (!n)
        return;
    memset(n, 0, offsetof(struct worker_note, text));
    n->kept_by = &w->notes;
    n->mail.fn = w->spec.deliver;
    n->what = note;
    n->worker = w->spec.number;
    n->session = session_id(s);
    n->proto = session_proto(s);
    n->peer = *session_peer(s);
    n->at_ms = loop_wall_ms(w->env.loop);
    n->reason = reason;
    n->judge = session_judge(s);
    n->provider = session_provider(s);
    session_figures(s, &n->in_bytes, &n->out_bytes, &n->age_ms);
    /* The name of a failed login is what the client claimed: nobody proved it. */
    struct str user = session_user(s) || note != SESSION_NOTE_FAILURE ? str_of(session_user(s))
                                                                      : session_claimed_user(s);
    char *at = n->text;
    n->user = note_text(&at, NOTE_USER_MAX, user);
    n->backend = note_text(&at, NOTE_BACKEND_MAX, str_of(session_backend(s)));
    n->listener = note_text(&at, NOTE_LISTENER_MAX, str_of(session_listener(s)));
    n->detail = note_text(&at, NOTE_DETAIL_MAX, detail);
    /* Mostly nobody waits for it: waking the control thread for each would cost more than it. */
    (is_watched ? mailbox_post : mailbox_post_lazily)(w->spec.control, &n->mail);
}

void worker_note_free(struct worker_note *n)
{
    struct worker_notes *notes = n->kept_by;
    pthread_mutex_lock(&notes->lock);
    free_list_give(&notes->free, n);
    pthread_mutex_unlock(&notes->lock);
}

/* ---- limits ---- */

static const struct config_limits *worker_limits(const struct worker *w)
{
    return &w->env.snapshot->config->limits;
}

static void on_admit(void *arg, const struct session *s, struct session_verdict *ret)
{
    const struct worker *w = arg;
    admission_login(w->spec.admission, worker_limits(w), session_peer(s), session_user(s),
                    session_max_sessions(s), loop_now_ms(w->env.loop), ret);
}

static void on_admit_client(void *arg, const struct session *s, struct session_verdict *ret)
{
    const struct worker *w = arg;
    admission_client(w->spec.admission, worker_limits(w), session_peer(s), loop_now_ms(w->env.loop),
                     ret);
}

static void on_fail(void *arg, const struct session *s, uint32_t credentials, uint64_t delay_ms,
                    struct session_verdict *ret)
{
    const struct worker *w = arg;
    admission_failure(w->spec.admission, worker_limits(w), session_peer(s), session_claimed_user(s),
                      credentials, delay_ms, loop_now_ms(w->env.loop), ret);
}

static void on_release_client(void *arg, const struct session *s)
{
    const struct worker *w = arg;
    admission_release_client(w->spec.admission, worker_limits(w), session_peer(s),
                             loop_now_ms(w->env.loop));
}

static void on_release_user(void *arg, const struct session *s)
{
    const struct worker *w = arg;
    limits_logout(w->spec.admission->limits, session_user(s));
}

static unsigned on_max_user_sessions(void *arg, const struct session *s)
{
    const struct worker *w = arg;
    uint64_t max = limits_max_user_sessions(w->spec.admission->limits, worker_limits(w),
                                            session_user(s), session_max_sessions(s));
    return max < UINT_MAX ? (unsigned)max : UINT_MAX;
}

/* ---- mail from the control thread ---- */

struct accept_mail {
    struct mail mail;
    struct snapshot *snapshot;
    unsigned listener;
    int fd;
    struct addr peer;
    bool is_counted;
};

static void accept_drop(struct mail *m)
{
    struct accept_mail *a = CONTAINER_OF(m, struct accept_mail, mail);
    close(a->fd);
    snapshot_unref(a->snapshot);
    free(a);
}

static void on_worker_accept(struct mail *m, void *owner)
{
    struct accept_mail *a = CONTAINER_OF(m, struct accept_mail, mail);
    struct worker *w = CONTAINER_OF((struct session_env *)owner, struct worker, env);
    int err = session_start(owner, a->snapshot, a->listener, a->fd, &a->peer, a->is_counted);
    if (err < 0) {
        const struct config_limits *c = &a->snapshot->config->limits;
        const struct log_quota_max max = {c->log_lines_per_minute, c->log_total_per_minute};
        if (log_quota_take(w->env.log_quota, &a->peer, false, &max, loop_now_ms(w->env.loop)))
            LOG_EVENT(LOG_LEVEL_ERROR, "session-not-started", KV_ERR("error", err));
        if (a->is_counted)
            admission_release_client(w->spec.admission, c, &a->peer, loop_now_ms(w->env.loop));
    }
    snapshot_unref(a->snapshot);
    free(a);
}

int worker_accept(struct worker *w, struct snapshot *snapshot, unsigned listener, int fd,
                  const struct addr *peer, bool is_counted)
{
    struct accept_mail *a = zalloc(sizeof(*a));
    if (!a)
        return -ERR_NOMEM;
    *a = (struct accept_mail){.mail = {.fn = on_worker_accept, .drop = accept_drop},
                              .snapshot = snapshot_ref(snapshot),
                              .listener = listener,
                              .fd = fd,
                              .peer = *peer,
                              .is_counted = is_counted};
    w->handed++;
    mailbox_post(worker_mailbox(w), &a->mail);
    return 0;
}

uint64_t worker_load(const struct worker *w)
{
    uint64_t started = counter_total(&w->counters, COUNTER_ACCEPTED);
    return w->handed - started + counter_total(&w->counters, COUNTER_SESSIONS);
}

struct publish_mail {
    struct mail mail;
    struct snapshot *snapshot;
};

static void publish_drop(struct mail *m)
{
    struct publish_mail *p = CONTAINER_OF(m, struct publish_mail, mail);
    snapshot_unref(p->snapshot);
    free(p);
}

/* The names of servers as the top level says, those of clients as each listener says. */
static int worker_configure_resolvers(struct session_env *env, const struct config *c)
{
    AUTO_FREE struct resolver_spec *specs = calloc(c->n_listeners + 1, sizeof(*specs));
    if (!specs)
        return -ERR_NOMEM;
    specs[0] = config_resolver_spec(&c->resolver);
    for (size_t i = 0; i < c->n_listeners; i++)
        specs[i + 1] = config_resolver_spec(&c->listeners[i].resolver);
    return resolver_set_configure(env->resolvers, specs, c->n_listeners + 1);
}

/* The store of the fleet as the configuration says now. A connection that would be the same stays.
 */
static int worker_configure_pins(struct session_env *env, const struct snapshot *old,
                                 const struct snapshot *now)
{
    const struct config_fleet *c = &now->config->fleet;
    struct redis_client *redis;
    if (!env->pins)
        return 0;
    pins_set_retention(env->pins, c->retention_ms);
    if (old && config_fleet_is_alike(old->config, now->config))
        return 0;
    struct redis_spec spec = config_fleet_spec(c, now->fleet_tls);
    spec.resolver = env->resolver;
    int err = redis_client_new(env->loop, &spec, &redis);
    if (err == 0)
        pins_set_redis(env->pins, redis);
    return err;
}

static void on_publish(struct mail *m, void *owner)
{
    struct publish_mail *p = CONTAINER_OF(m, struct publish_mail, mail);
    struct session_env *env = owner;
    struct snapshot *old = env->snapshot;
    if (!old || old->config != p->snapshot->config) {
        struct worker *w = CONTAINER_OF(env, struct worker, env);
        int err = auth_configure(env->auth, p->snapshot->config, p->snapshot->auth_tls);
        if (err == 0 && p->snapshot->config->reload_session_timeout_ms > 0)
            err = retire_start(env, &w->retirements, p->snapshot, w->spec.n_workers);
        if (err == 0)
            err = worker_configure_resolvers(env, p->snapshot->config);
        if (err == 0)
            err = worker_configure_pins(env, old, p->snapshot);
        if (err < 0)
            LOG_EVENT(LOG_LEVEL_ERROR, "worker-config", KV_ERR("error", err));
    }
    env->snapshot = p->snapshot;
    warm_configure(env->warm, env->snapshot->pools);
    snapshot_unref(old);
    free(p);
    session_wake_held(env, NULL);
}

int worker_publish(struct worker *w, struct snapshot *snapshot)
{
    struct publish_mail *p = calloc(1, sizeof(*p));
    if (!p)
        return -ERR_NOMEM;
    *p = (struct publish_mail){.mail = {.fn = on_publish, .drop = publish_drop},
                               .snapshot = snapshot_ref(snapshot)};
    mailbox_post(worker_mailbox(w), &p->mail);
    return 0;
}

struct forget_mail {
    struct mail mail;
    char user[256];
};

static void on_forget(struct mail *m, void *owner)
{
    struct forget_mail *f = CONTAINER_OF(m, struct forget_mail, mail);
    struct session_env *env = owner;
    auth_forget(env->auth, f->user[0] ? f->user : NULL);
    if (f->user[0])
        session_judge_anew(env, f->user);
    free(f);
}

int worker_forget(struct worker *w, const char *user)
{
    struct forget_mail *f = calloc(1, sizeof(*f));
    if (!f)
        return -ERR_NOMEM;
    f->mail.fn = on_forget;
    (void)str_copy(f->user, sizeof(f->user), str_of(user));
    mailbox_post(worker_mailbox(w), &f->mail);
    return 0;
}

static void on_worker_stop(struct mail *m, void *owner)
{
    struct session_env *env = owner;
    LIST_FOREACH_SAFE (it, &env->sessions)
        session_cut(session_of_link(it));
    warm_free(STEAL(env->warm));
    loop_stop(env->loop);
    free(m);
}

/* ---- life ---- */

struct mailbox *worker_mailbox(const struct worker *w)
{
    return loop_mailbox(w->env.loop);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    char name[16];
    snprintf(name, sizeof(name), "worker %u", w->spec.number);
    pthread_setname_np(pthread_self(), name);
    sandbox_enter_worker();
    int err = loop_run(w->env.loop);
    if (err < 0)
        LOG_EVENT(LOG_LEVEL_ERROR, "worker-failed", KV_ERR("error", err));
    return NULL;
}

static int worker_make(struct worker *w)
{
    struct session_env *env = &w->env;
    session_env_init(env);
    env->worker = w->spec.number;
    env->start = w->spec.start;
    env->counters = &w->counters;
    env->registry = w->spec.registry;
    env->snapshot = snapshot_ref(w->spec.snapshot);
    memcpy(env->guess_key, w->spec.guess_key, sizeof(env->guess_key));
    env->log_quota = w->spec.admission->log_quota;
    env->hooks = (struct session_hooks){.note = on_note,
                                        .admit = on_admit,
                                        .admit_client = on_admit_client,
                                        .fail = on_fail,
                                        .release_client = on_release_client,
                                        .release_user = on_release_user,
                                        .max_user_sessions = on_max_user_sessions,
                                        .arg = w};
    int err = loop_new(env, &env->loop);
    if (err == 0) {
        const struct resolver_spec spec = config_resolver_spec(&env->snapshot->config->resolver);
        err = resolver_set_new(env->loop, &spec, &env->resolvers);
        if (err == 0)
            env->resolver = resolver_set_first(env->resolvers);
    }
    if (err == 0)
        err = auth_new(env->loop, w->spec.jobs, w->spec.store, env->resolver, &env->auth);
    if (err == 0)
        err = auth_configure(env->auth, env->snapshot->config, env->snapshot->auth_tls);
    if (err == 0 && w->spec.pins)
        err = pins_new(env->loop, w->spec.pins, &env->pins);
    if (err == 0)
        err = worker_configure_pins(env, NULL, env->snapshot);
    if (err == 0)
        err = warm_new(env->loop, env->resolver, &env->warm);
    if (err == 0)
        warm_configure(env->warm, env->snapshot->pools);
    return err;
}

int worker_new(const struct worker_spec *spec, struct worker **ret)
{
    struct worker *w = calloc(1, sizeof(*w));
    if (!w)
        return -ERR_NOMEM;
    w->spec = *spec;
    list_init(&w->retirements);
    pthread_mutex_init(&w->notes.lock, NULL);
    free_list_init(&w->notes.free, sizeof(struct worker_note), WORKER_NOTES_KEPT);
    int err = worker_make(w);
    if (err == 0) {
        /* Signals are the control thread's. */
        sigset_t all, old;
        sigfillset(&all);
        sigdelset(&all, SIGSYS); /* a refused system call, see sandbox/sandbox_calls.c */
        pthread_sigmask(SIG_SETMASK, &all, &old);
        int failed = pthread_create(&w->thread, NULL, worker_main, w);
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        w->is_started = failed == 0;
        err = failed ? err_from_errno(failed) : 0;
    }
    if (err < 0) {
        worker_free(w);
        return err;
    }
    *ret = w;
    return 0;
}

bool worker_stop(struct worker *w)
{
    if (!w || !w->is_started)
        return true;
    struct mail *stop = calloc(1, sizeof(*stop));
    if (!stop)
        return false;
    stop->fn = on_worker_stop;
    mailbox_post(worker_mailbox(w), stop);
    pthread_join(w->thread, NULL);
    w->is_started = false;
    return true;
}

void worker_end(struct worker *w)
{
    retire_cancel(&w->retirements);
    warm_free(w->env.warm);
    auth_free(w->env.auth);
    pins_free(STEAL(w->env.pins));
    resolver_set_free(w->env.resolvers);
    session_queries_end(&w->env);
    session_kills_end(&w->env);
    session_env_fini(&w->env);
    w->has_ended = true;
}

void worker_free(struct worker *w)
{
    if (!w || !worker_stop(w))
        return; /* the process ends anyway */
    if (!w->has_ended)
        worker_end(w);
    loop_free(w->env.loop);
    free_list_fini(&w->notes.free);
    pthread_mutex_destroy(&w->notes.lock);
    free(w);
}
