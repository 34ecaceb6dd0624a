/* SPDX-License-Identifier: ISC */
/* The listening sockets that the supervisor keeps, so that none closes when an engine ends. */
#pragma once

#include <stdint.h>

#include "supervisor/plan.h"
#include "supervisor/takeover.h"

/* Zero-initialised is one that keeps nothing. */
struct socket_store {
    struct kept_socket *v;
    size_t n;
};

/* Which sockets of a plan are meant: a bit for each use. */
#define SOCKET_STORE_USE(use) (1u << (use))
#define SOCKET_STORE_ALL                                                                           \
    (SOCKET_STORE_USE(LISTEN_MAIL) | SOCKET_STORE_USE(LISTEN_METRICS) |                            \
     SOCKET_STORE_USE(LISTEN_CONTROL))

/* Of the given uses binds what a plan names and nobody keeps yet, or takes it from systemd
 * (LISTEN_FDS); a UNIX socket whose file is gone counts as not kept. The new ones belong
 * to the content `number` until socket_store_commit or socket_store_roll_back. 0, or -ERR_x with a
 * sentence in *ret_error (owned) and nothing changed. */
int socket_store_prepare(struct socket_store *k, const struct plan *p, unsigned uses,
                         uint64_t number, char **ret_error) NODISCARD;
/* The content is in force: its sockets stay, and of the given uses all others are closed. */
void socket_store_commit(struct socket_store *k, const struct plan *p, unsigned uses,
                         uint64_t number);
/* The content is not: its sockets are closed. */
void socket_store_roll_back(struct socket_store *k, uint64_t number);
/* The socket of a plan for the content `number`; -1 = none. */
int socket_store_find(const struct socket_store *k, const struct plan_socket *s, uint64_t number);

/* The one that is kept and in force for it; NULL = none. */
struct kept_socket *socket_store_in_force(const struct socket_store *k,
                                          const struct plan_socket *s);
/* Is it kept and in force, but not at its place any more? */
bool socket_store_is_lost(const struct socket_store *k, const struct plan_socket *s);
/* Binds such a socket again, in the place of the one that is kept; *ret_fd is borrowed. -ERR_x with
 * a sentence: that one stays. */
int socket_store_rebind(struct socket_store *k, const struct plan_socket *s, int *ret_fd,
                        char **ret_error) NODISCARD;
/* Binds a socket that only one engine has; *ret_fd is borrowed. -ERR_x with a sentence. */
int socket_store_bind_for(struct socket_store *k, const struct listen_spec *spec, pid_t owner,
                          int *ret_fd, char **ret_error) NODISCARD;
/* Closes what belongs to one engine. */
void socket_store_forget_owner(struct socket_store *k, pid_t owner);
/* Closes all but UNIX sockets: operators still come by those. */
void socket_store_forget_network(struct socket_store *k);
/* Whether the descriptors stay open in the program that takes this one's place. */
void socket_store_hand_over(const struct socket_store *k, bool is_handed);
/* Closes everything. */
void socket_store_fini(struct socket_store *k);
