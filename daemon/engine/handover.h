/* SPDX-License-Identifier: ISC */
/* The engine's side of an upgrade: talking with the supervisor, and finishing what is there once
 * another engine serves. All functions: control thread. */
#pragma once

#include "control/control.h"
#include "engine/delivery.h"

/* Borrowed for the life of the handover. */
struct handover_spec {
    struct loop *loop;
    struct control *control;
    int wire; /* to the supervisor; -1 = none */
    void *arg;
    /* Accepts no clients any more. */
    void (*close)(void *arg);
    uint64_t (*sessions)(void *arg);
    struct snapshot *(*snapshot)(void *arg);
    /* Ends all sessions, `rate` a second (0 = as configured), then the loop. */
    void (*stop)(void *arg, const char *why, uint64_t rate);
};

struct handover;

/* The engine serves until it hears otherwise. spec is copied. -ERR_NOMEM. */
int handover_new(const struct handover_spec *spec, struct handover **ret) NODISCARD;
void handover_free(struct handover *h); /* NULL is fine */
/* An order of the supervisor about an upgrade; takes the descriptors over. */
void handover_hear(struct handover *h, const struct wire_packet *p, const int *fds, size_t n);
/* Asks the supervisor to check the installed program; the control plane hears the outcome.
 * -ERR_UNSUPPORTED without a supervisor. */
int handover_ask(struct handover *h) NODISCARD;
/* Then lets it start and take over. */
int handover_start(struct handover *h) NODISCARD;
/* Another engine serves, this one only finishes. */
bool handover_is_retired(const struct handover *h);
/* The engines that serve no more and finish, the newest first. */
const struct control_old *handover_olds(const struct handover *h, size_t *ret_n);
