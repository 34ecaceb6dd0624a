/* SPDX-License-Identifier: ISC */
/* What the control plane sees of the engine around it: threads, the published snapshot, and the few
 * things that only the engine can do. */
#pragma once

#include "backend/pool.h"
#include "fleet/pins/pins.h"
#include "io/jobs.h"
#include "io/loop.h"
#include "io/resolver.h"
#include "session/counters.h"
#include "session/snapshot.h"
#include "store/store.h"

struct checks;

struct control_worker {
    struct mailbox *mailbox;
    const struct counters *counters;
};

/* What a configuration is read for. */
enum control_read {
    CONTROL_READ_CHECK,  /* only to be looked at */
    CONTROL_READ_RELOAD, /* to be put in force */
    CONTROL_READ_BACK,   /* not the file: what was confirmed last is to be put in force again */
    CONTROL_READ_FILES /* not the file: the certificates that the one in force names have changed */
};

/* The control socket of an engine that finishes is beside the one that it had: with .old behind its
 * name, of further ones .old2, .old3. Owned; NULL without memory. */
static inline char *control_old_path(const char *path, unsigned number)
{
    return number > 1 ? str_printf("%s.old%u", path, number) : str_printf("%s.old", path);
}

#define PEER_ENGINES_MAX 8 /* engines that finish their sessions beside the one that serves */

/* An engine that an upgrade replaced and that finishes its sessions. */
struct control_old {
    uint32_t pid;
    uint32_t number;   /* of its control sockets: see control_old_path */
    uint64_t since_ms; /* wall clock */
    uint64_t sessions; /* as it told last */
};

/* Everything here is used on the control thread. Borrowed for the life of the control plane. */
struct engine_api {
    struct loop *loop;
    struct jobs *jobs;
    struct store *store;      /* never NULL */
    const char *history_path; /* file for the samples of stats history; NULL = none */
    struct resolver *resolver;
    struct backend_registry *registry;
    struct checks *checks;
    struct tls_certs *certs;     /* of tls.directory */
    struct pins_shared *pins;    /* of the users here; NULL = there is no fleet */
    struct tls_tickets *tickets; /* of the servers of TLS; NULL likewise */
    struct log_quota *log_quota; /* of lines about clients without a login; NULL = none */
    const struct control_worker *workers;
    size_t n_workers;
    const struct counters *counters; /* of accept, on the control thread */
    struct counters *others;         /* of other engines, written by the control plane */
    uint64_t started_ms;             /* monotonic */
    unsigned start;                  /* engines started before this one: it is in session ids */
    unsigned restarts;               /* of the engine, after failures */
    bool is_successor;               /* at its start another engine used the same store */
    void *arg;                       /* handed to the functions */

    /* The published snapshot; borrowed until the control thread's next turn. */
    struct snapshot *(*snapshot)(void *arg);
    /* Publishes new pools (a runtime edit) with the present config; takes over the reference. */
    int (*publish_pools)(void *arg, struct pools *pools);
    /* Publishes a new snapshot after a reload; takes over the reference. An English sentence in
     * *ret_error (owned). */
    int (*publish_config)(void *arg, struct snapshot *snapshot, char **ret_error);
    /* Reads the file, or what was confirmed last. A config to be put in force goes to
     * publish_config or to drop_config. -ERR_CONFIG with problems, other -ERR_x perhaps with a
     * sentence (owned). -ERR_EXISTS: of CONTROL_READ_FILES nothing is to be put in force, problems
     * say what cannot be. Thread: a job thread; blocking. */
    int (*read_config)(void *arg, enum control_read how, struct config **ret,
                       struct config_problems *ret_problems, char **ret_error);
    /* What read_config gave is not published. */
    void (*drop_config)(void *arg);
    /* The published config is the one to come back with when the engine dies. */
    void (*keep_last_good_config)(void *arg);
    /* Forgets cached answers of a user (NULL = all) on every worker. */
    void (*forget_user)(void *arg, const char *user);
    /* Stops accepting on a listener of the current snapshot, or goes on. */
    int (*pause_listener)(void *arg, const char *name, bool is_paused);
    bool (*is_listener_paused)(void *arg, const char *name);
    /* Somebody watches events, or nobody does any more: workers tell all or only logins. */
    void (*set_watched)(void *arg, bool is_watched);
    /* Ends the daemon in good order. */
    void (*stop)(void *arg);
    bool (*is_stopping)(void *arg);
    /* Has the installed program checked, so that it may take over; control_upgrade_x tell the
     * outcome. -ERR_x. */
    int (*upgrade)(void *arg);
    /* Then lets it start. */
    int (*upgrade_start)(void *arg);
    /* Another engine serves; this one finishes its sessions. */
    bool (*is_retired)(void *arg);
    /* New clients wait for descriptors. */
    bool (*is_full)(void *arg);
    /* Those that finish, the newest first. Borrowed until the next turn. */
    const struct control_old *(*olds)(void *arg, size_t *ret_n);
};

/* The published snapshot, as engine_api.snapshot says. */
static inline struct snapshot *engine_api_snapshot(const struct engine_api *h)
{
    return h->snapshot(h->arg);
}

/* Sum over all threads, and over the engines that finish beside this one. p PROTO_COUNT = all
 * protocols. */
static inline uint64_t engine_api_counter(const struct engine_api *h, unsigned p,
                                          enum counter which)
{
    uint64_t sum =
        p == PROTO_COUNT ? counter_total(h->counters, which) : counter_get(h->counters, p, which);
    for (size_t i = 0; i < h->n_workers; i++)
        sum += p == PROTO_COUNT ? counter_total(h->workers[i].counters, which)
                                : counter_get(h->workers[i].counters, p, which);
    if (h->others)
        sum +=
            p == PROTO_COUNT ? counter_total(h->others, which) : counter_get(h->others, p, which);
    return sum;
}
