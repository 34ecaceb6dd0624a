/* SPDX-License-Identifier: ISC */
/* Giving up what a process does not need: root, capabilities, files, system calls. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define SANDBOX_PATHS_MAX 64

/* Folders with what is below them, or single files. Borrowed. */
struct sandbox_paths {
    const char *v[SANDBOX_PATHS_MAX];
    size_t n;
};

/* Borrowed for the call. */
struct sandbox_spec {
    const char *user, *group;      /* NULL = not changed */
    struct sandbox_paths readable; /* beside what libraries read */
    struct sandbox_paths writable; /* and readable */
};

/* Adds a path, a copy of which is not made; NULL and what has no room are left out. */
void sandbox_add(struct sandbox_paths *p, const char *path);

/* The engine's, called once everything that needs root is open. What cannot be put in force on this
 * system is logged; only a user or group that cannot be changed to is an error: -ERR_PERM or
 * -ERR_NOT_FOUND. Thread: the only one so far. */
int sandbox_enter(const struct sandbox_spec *spec) NODISCARD;
/* Of the engine's other threads, each by itself: it keeps fewer system calls than the engine.
 * Workers serve sessions; auth threads hash, read the store and free, and open no socket; the log
 * thread writes; the watchdog does nothing but wait and abort. */
void sandbox_enter_worker(void);
void sandbox_enter_auth_thread(void);
void sandbox_enter_log_thread(void);
void sandbox_enter_watchdog(void);
/* A key process's, once it has its keys: its user changes, nobody looks into it, and it ends with
 * its parent. The same errors as sandbox_enter's. Thread: the only one so far. */
int sandbox_enter_keys(const char *user, const char *group) NODISCARD;
/* Of each of its threads: nothing but reading, writing, memory and its end is left. */
void sandbox_enter_key_thread(void);
/* The supervisor's, before it reads anything: of root it keeps what starting engines takes, also
 * for the programs that it starts. What cannot be put in force is logged. Thread: the only one. */
void sandbox_enter_supervisor(void);
/* Of a process that reads files and writes what it has read into a memory: of root it keeps what
 * reading those of others takes. Thread: the only one. */
void sandbox_enter_loading(void);
/* Of a process that looks at files and does nothing else: of root it keeps what looking into any
 * folder takes. Thread: the only one. */
void sandbox_enter_watch(void);
