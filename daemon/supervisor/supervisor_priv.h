/* SPDX-License-Identifier: ISC */
/* Inside of the supervisor: what its files share. */
#pragma once

#include "supervisor/content.h"
#include "supervisor/loading.h"
#include "supervisor/outbox.h"
#include "supervisor/process.h"
#include "supervisor/socket_store.h"
#include "supervisor/store_lock.h"
#include "supervisor/watch.h"

/* An upgrade that is under way. */
struct upgrade {
    pid_t check;                  /* that tries the new program; 0 = none */
    bool is_checked;              /* it is good, the engine knows and may have it started */
    struct content_memory memory; /* that the check writes */
    int output;                   /* of the check; -1 = none */
    struct buf text;            /* what the check said, or what is the matter with the new engine */
    struct content *content;    /* that the new program has read; NULL = not yet */
    struct engine_process next; /* new engine that is not ready yet */
    uint64_t late_ms;           /* when to lose patience; monotonic */
    bool is_reloaded;           /* the configuration, while the new engine started */
};

static inline bool upgrade_is_running(const struct upgrade *u)
{
    return u->check > 0 || u->is_checked || u->next.pid > 0;
}

/* A child process that reads the file. */
struct reading {
    pid_t pid;                    /* 0 = none */
    struct content_memory memory; /* that it writes */
    bool is_for_start, is_reload;
    bool is_refresh; /* only the certificates are read again */
    uint64_t ask;    /* of the engine that wants it */
    unsigned n_asks; /* since it began */
    uint64_t late_ms;
};

struct supervisor {
    const char *config_path;
    char *program;
    struct socket_store sockets;
    struct store_locks stores;
    int signal_fd;
    struct engine_process now;               /* the engine that serves */
    struct old_engine olds[OLD_ENGINES_MAX]; /* that upgrades replaced, the oldest first */
    size_t n_olds;
    struct upgrade upgrade;
    struct reading reading;
    struct file_watch watch;   /* of certificates */
    struct loading loading;    /* of those of a directory */
    bool are_files_refused;    /* some that changed cannot be used: the next engine shall know */
    uint64_t rebind_at_ms;     /* when to look after UNIX sockets; monotonic */
    uint64_t last_number;      /* of contents */
    struct content *running;   /* that the engine works with, or starts with */
    struct content *pending;   /* that it was given and has neither accepted nor refused */
    struct content *kept;      /* the last one that was confirmed; NULL = none yet */
    struct content *for_start; /* read from the file, for the next engine; NULL = none */
    bool is_file_wanted;       /* an engine did not get ready with what was kept */
    unsigned starts, failures; /* engines; those of them that died */
    uint64_t restart_at_ms, backoff_ms, kill_at_ms, turn_ms;
    size_t next_engine; /* that is looked at first */
    bool was_ready, is_quitting, is_stopping, is_exec_due;
    int status;
};

/* How to start the next engine. */
static inline struct process_spec supervisor_spec(const struct supervisor *s)
{
    return (struct process_spec){.config_path = s->config_path,
                                 .starts = s->starts,
                                 .restarts = s->failures,
                                 .is_successor = s->n_olds > 0};
}

#define SUPERVISOR_ENGINES_MAX (OLD_ENGINES_MAX + 2)
/* All engines, also those that are not there; how many. */
static inline size_t supervisor_engines(struct supervisor *s,
                                        struct engine_process *ret[SUPERVISOR_ENGINES_MAX])
{
    size_t n = 0;
    ret[n++] = &s->now;
    for (size_t i = 0; i < s->n_olds; i++)
        ret[n++] = &s->olds[i].process;
    ret[n++] = &s->upgrade.next;
    return n;
}

/* NULL when it is none of those that finish. */
static inline struct old_engine *supervisor_old(struct supervisor *s,
                                                const struct engine_process *p)
{
    for (size_t i = 0; i < s->n_olds; i++)
        if (&s->olds[i].process == p)
            return &s->olds[i];
    return NULL;
}

/* ---- engines.c: the life of engines ---- */

/* Starts an engine with a content, which is the running one from then on (one reference is taken).
 * -ERR_x with a sentence (owned, may be NULL): nothing was started. */
int engines_start(struct supervisor *s, struct content *c, char **ret_error) NODISCARD;
/* The engine that serves is ready. */
void engines_ready(struct supervisor *s);
/* A child has ended: which one it was is found out. */
void engines_reap(struct supervisor *s);
/* Ends everything in good order; supervisor_stop also the engine that serves. */
void supervisor_stop_all(struct supervisor *s);
void supervisor_stop(struct supervisor *s);
/* Ends it when the last session has ended; nobody is accepted any more. */
void supervisor_quit(struct supervisor *s);
/* Restarts, silence and patience. */
void engines_tick(struct supervisor *s, uint64_t now_ms);

/* ---- reading.c: contents and who gets them ---- */

/* The engine that serves wants the file, or what was confirmed last. False: it has asked too often.
 */
bool reading_wanted(struct supervisor *s, uint64_t ask);
/* The file is wanted for the start of an engine. */
int reading_start(struct supervisor *s) NODISCARD;
/* A child has ended. False: it was not this one. */
bool reading_reap(struct supervisor *s, pid_t pid, int status);
void reading_tick(struct supervisor *s, uint64_t now_ms);
void reading_stop(struct supervisor *s);
/* Makes folders, makes sure that no other daemon has the store (with the uses of a start), and
 * binds what a content names; see socket_store_prepare. */
int reading_prepare(struct supervisor *s, const struct content *c, unsigned uses,
                    char **ret_error) NODISCARD;
/* Gives back the locks of stores that no content needs any more. */
void reading_release_stores(struct supervisor *s);
/* Makes the folders that a content names and that are not there. -ERR_x with a sentence. */
int reading_make_folders(const struct content *c, char **ret_error) NODISCARD;
/* Gives an engine a content with its sockets and log files; ask: that it answers, 0 = none. */
void reading_deliver(struct supervisor *s, struct engine_process *to, const struct content *c,
                     uint64_t ask);
/* Gives an engine its log files, opened again. */
void reading_deliver_logs(struct engine_process *to, const struct content *c);
/* The engine has put the pending content in force, or will not. False: there is no such content. */
bool reading_accepted(struct supervisor *s, uint64_t number);
bool reading_refused(struct supervisor *s, uint64_t number);
bool reading_confirmed(struct supervisor *s, uint64_t number);
/* Nobody will say what became of it. */
void reading_drop_pending(struct supervisor *s);
/* Watches the certificates of what runs. */
void reading_watch(struct supervisor *s);
/* Tells the engine that serves that certificates have changed. */
void reading_tell_files(struct supervisor *s);
/* A child has ended. False: it was not the one that watches. */
bool reading_reap_watch(struct supervisor *s, pid_t pid, int status);

/* A child has ended. False: it was no key process of ours. */
bool reading_reap_keys(struct supervisor *s, pid_t pid, int status);

/* ---- loading.c: certificates of a directory ---- */

/* An engine wants one: the number of a WIRE_LOAD. False: there is no such, or it wants too many. */
bool loading_want(struct supervisor *s, const struct engine_process *from, uint64_t number);
/* A child has ended. False: it was not this one. */
bool loading_reap(struct supervisor *s, pid_t pid, int status);
void loading_tick(struct supervisor *s, uint64_t now_ms);
void loading_stop(struct supervisor *s);

/* ---- rebind.c ---- */

/* Looks, now and then, whether the files of UNIX sockets are still there; those that are not are
 * bound again, and the engine that serves gets them. */
void rebind_tick(struct supervisor *s, uint64_t now_ms);

/* ---- words.c: what engines say ---- */

/* Takes the messages of an engine, a bounded number of them. */
void words_hear(struct supervisor *s, struct engine_process *from);

/* ---- upgrade.c ---- */

/* The engine asks for one. */
void upgrade_begin(struct supervisor *s);
/* It wants the program that was checked. */
void upgrade_start(struct supervisor *s);
/* The check has said something. */
void upgrade_read(struct supervisor *s);
/* The new engine is ready: it serves now, and the new program takes this one's place. */
void upgrade_finish(struct supervisor *s);
/* The new engine says that it will not serve. */
void upgrade_not_ready(struct supervisor *s, int err);
/* A child has ended. False: it had nothing to do with an upgrade. */
bool upgrade_reap(struct supervisor *s, pid_t pid, int status);
/* Loses patience when it is time; runs the new program once all engines have read their orders. */
void upgrade_tick(struct supervisor *s, uint64_t now_ms);
/* Gives it up because the daemon stops. */
void upgrade_stop(struct supervisor *s);

/* Tells the engine that serves about those that were replaced. */
void upgrade_tell_olds(struct supervisor *s);
/* Gives the engine that serves a connection to each of them. */
void upgrade_link_olds(struct supervisor *s);
/* Takes over what the program before handed to this one (TAKEOVER_ENV). */
int upgrade_take_over(struct supervisor *s) NODISCARD;
