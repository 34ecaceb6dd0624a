/* SPDX-License-Identifier: ISC */
/* The listening sockets that the supervisor keeps, so that none closes when an engine ends. */
#pragma once

#include <stdint.h>

#include "supervisor/plan.h"
#include "supervisor/takeover.h"

/* Zero-initialised is one that keeps nothing. */
struct keeper {
    struct kept_socket *v;
    size_t n;
};

/* Which sockets of a plan are meant: a bit for each use. */
#define KEEPER_USE(use) (1u << (use))
#define KEEPER_ALL                                                                                 \
    (KEEPER_USE(LISTEN_MAIL) | KEEPER_USE(LISTEN_METRICS) | KEEPER_USE(LISTEN_CONTROL))

/* Binds what a plan names and nobody keeps yet, or takes it from systemd (LISTEN_FDS); a UNIX
 * socket whose file is gone counts as not kept, unless it is not among `uses`. The new ones belong
 * to the content `number` until keeper_commit or keeper_roll_back. 0, or -ERR_x with a sentence in
 * *ret_error (owned) and nothing changed. */
int keeper_prepare(struct keeper *k, const struct plan *p, unsigned uses, uint64_t number,
                   char **ret_error) NODISCARD;
/* The content is in force: its sockets stay, and of the given uses all others are closed. */
void keeper_commit(struct keeper *k, const struct plan *p, unsigned uses, uint64_t number);
/* The content is not: its sockets are closed. */
void keeper_roll_back(struct keeper *k, uint64_t number);
/* The socket of a plan for the content `number`; -1 = none. */
int keeper_find(const struct keeper *k, const struct plan_socket *s, uint64_t number);

/* Binds a socket that only one engine has; *ret_fd is borrowed. -ERR_x with a sentence. */
int keeper_bind_for(struct keeper *k, const struct listen_spec *spec, pid_t owner, int *ret_fd,
                    char **ret_error) NODISCARD;
/* Closes what belongs to one engine. */
void keeper_forget_owner(struct keeper *k, pid_t owner);
/* Closes all but UNIX sockets: operators still come by those. */
void keeper_forget_network(struct keeper *k);
/* Whether the descriptors stay open in the program that takes this one's place. */
void keeper_hand_over(const struct keeper *k, bool is_handed);
/* Closes everything. */
void keeper_fini(struct keeper *k);
