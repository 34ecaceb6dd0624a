/* SPDX-License-Identifier: ISC */
/* Inside of the supervisor: what its files share. */
#pragma once

#include "supervisor/process.h"

/* An upgrade that is under way. */
struct upgrade {
    pid_t check;                /* that tries the new program; 0 = none */
    bool is_checked;            /* it is good, the engine knows and may have it started */
    int output;                 /* of the check; -1 = none */
    struct buf text;            /* what the check said, or the new engine of its trouble */
    struct engine_process next; /* new engine that is not ready yet */
    uint64_t late_ms;           /* when to lose patience; monotonic */
    bool is_reloaded;           /* the configuration, while the new engine started */
};

struct supervisor {
    const char *config_path;
    char *program;
    struct keeper keeper;
    int signal_fd;
    struct engine_process now; /* the engine that serves */
    struct engine_process old; /* that an upgrade replaced */
    uint64_t old_since_ms, old_sessions;
    struct upgrade upgrade;
    int config;          /* the confirmed configuration of the engine that serves; -1 = none */
    bool is_config_used; /* the engine that starts has it and is not ready yet */
    unsigned starts, failures; /* engines; those of them that died */
    uint64_t restart_at_ms, backoff_ms, kill_at_ms;
    bool was_ready, is_quitting, is_stopping;
    int status;
};

/* How to start the next engine. */
struct process_spec supervisor_spec(const struct supervisor *s);

/* ---- upgrade.c ---- */

/* The engine asks for one. */
void upgrade_begin(struct supervisor *s);
/* It wants the program that was checked. */
void upgrade_start(struct supervisor *s);
/* The check has said something. */
void upgrade_read(struct supervisor *s);
/* The new engine is ready: it serves now, and the new program takes this one's place. */
void upgrade_finish(struct supervisor *s);
/* A child has ended. False: it had nothing to do with an upgrade. */
bool upgrade_reap(struct supervisor *s, pid_t pid, int status);
/* Loses patience when it is time. */
void upgrade_look(struct supervisor *s, uint64_t now_ms);
/* Gives it up because the daemon stops. */
void upgrade_stop(struct supervisor *s);
/* Tells the engine that serves about the one that was replaced. */
void upgrade_tell_old(const struct supervisor *s);
/* Takes over what the program before handed to this one (TAKEOVER_ENV). */
int upgrade_take_over(struct supervisor *s) NODISCARD;
