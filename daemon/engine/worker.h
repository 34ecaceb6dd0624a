/* SPDX-License-Identifier: ISC */
/* A worker thread: its loop, and the sessions that live there. */
#pragma once

#include <pthread.h>

#include "io/jobs.h"
#include "session/session.h"

struct admission;

struct worker_spec {
    unsigned number;           /* 0.. */
    unsigned n_workers;        /* in all */
    unsigned start;            /* engines before this one: keeps session ids apart */
    struct snapshot *snapshot; /* the worker takes a reference */
    struct jobs *jobs;
    struct store *store;
    struct backend_registry *registry;
    struct mailbox *control; /* where notes go */
    /* gets a struct worker_note; owns it (worker_note_free) */
    void (*deliver)(struct mail *note, void *owner);
    const atomic_bool *is_watched;     /* somebody wants every note */
    uint8_t guess_key[16];             /* the same for all workers */
    const struct admission *admission; /* the same for all workers */
    struct pins_shared *pins;          /* likewise; NULL = there is no fleet */
};

/* Memory of notes: the worker takes it, the control thread gives it back. */
struct worker_notes {
    pthread_mutex_t lock;
    struct free_list free; /* under the lock */
};

#define NOTE_LISTENER_MAX 32
#define NOTE_DETAIL_MAX 256
#define NOTE_USER_MAX 256
#define NOTE_BACKEND_MAX 64

/* Something that happened to a session, told to the control thread. Its strings stand in text, one
 * right behind the other: what two CPUs have to move between them is as little as it can be. */
struct worker_note {
    struct mail mail;
    struct worker_notes *kept_by; /* of its worker */
    enum session_note what;
    unsigned worker;
    uint64_t session;
    enum proto_id proto;
    struct addr peer;
    uint64_t at_ms;                       /* wall clock */
    uint64_t in_bytes, out_bytes, age_ms; /* at an end */
    const char *reason;                   /* static */
    const char *judge;                    /* who judged the login; static, NULL */
    unsigned provider;                    /* the last that was asked */
    const char *listener, *user;
    const char *detail;  /* more of a failure, for operators; "" = none */
    const char *backend; /* "" = none */
    char text[NOTE_LISTENER_MAX + NOTE_DETAIL_MAX + NOTE_USER_MAX + NOTE_BACKEND_MAX];
};

struct worker {
    struct session_env env; /* first: the loop's owner is seen as this by mail from lower floors */
    struct worker_spec spec;
    struct counters counters;
    struct worker_notes notes;
    struct list retirements; /* see retire.h */
    pthread_t thread;
    bool is_started, has_ended;
    uint64_t handed; /* sessions given to it by accept; control thread only */
};

/* Thread: any; the worker has not been freed. */
void worker_note_free(struct worker_note *n);

/* Makes and starts a worker. Thread of the functions here: control. */
int worker_new(const struct worker_spec *spec, struct worker **ret) NODISCARD;
/* Hands over an accepted socket. is_counted: limits count its address. On an error both stay the
 * caller's. */
int worker_accept(struct worker *w, struct snapshot *snapshot, unsigned listener, int fd,
                  const struct addr *peer, bool is_counted) NODISCARD;
/* Sessions it has or will have in a moment. */
uint64_t worker_load(const struct worker *w);
/* New sessions follow this snapshot from now on. */
int worker_publish(struct worker *w, struct snapshot *snapshot) NODISCARD;
/* Forgets cached answers of a user (NULL = all). */
int worker_forget(struct worker *w, const char *user) NODISCARD;
struct mailbox *worker_mailbox(const struct worker *w);
/* Ends its sessions and its thread. False without memory: it goes on. NULL is fine. */
bool worker_stop(struct worker *w) NODISCARD;
/* After worker_stop: frees all but what others still have of it, its mailbox and counters. No job
 * may still be going to answer its loop. */
void worker_end(struct worker *w);
/* Frees it, ended or not, when nobody writes to it or counts any more. NULL is fine. */
void worker_free(struct worker *w);
