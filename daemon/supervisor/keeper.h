/* SPDX-License-Identifier: ISC */
/* The listening sockets that the supervisor keeps, so that none closes when an engine ends. */
#pragma once

#include "engine/listen.h"
#include "supervisor/takeover.h"

/* Zero-initialised is one that keeps nothing. */
struct keeper {
    struct kept_socket *v;
    size_t n;
};

/* Takes over fd, also when it fails. */
int keeper_add(struct keeper *k, const char *address, int fd, pid_t owner) NODISCARD;
/* The socket of an address that belongs to whoever serves; -1 = none. */
int keeper_find(const struct keeper *k, const char *address);
/* Closes the socket of an address, written as it was bound or as the kernel says it. */
void keeper_forget(struct keeper *k, const char *address);
/* Closes what belongs to one engine. */
void keeper_forget_owner(struct keeper *k, pid_t owner);
/* Closes all but UNIX sockets: operators still come by those. */
void keeper_forget_network(struct keeper *k);
/* What belongs to one engine belongs to whoever serves. */
void keeper_adopt(struct keeper *k, pid_t owner);
/* Binds all addresses of a config, or takes them from systemd (LISTEN_FDS). Says on stderr what
 * does not work. */
int keeper_bind_all(struct keeper *k, const struct config *c) NODISCARD;
/* Whether the descriptors stay open in the program that takes this one's place. */
void keeper_hand_over(const struct keeper *k, bool is_handed);
/* Closes everything. */
void keeper_fini(struct keeper *k);
