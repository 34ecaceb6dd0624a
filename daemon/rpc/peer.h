/* SPDX-License-Identifier: ISC */
/* Who is at the other end of a control connection, and what that one may do. */
#pragma once

#include "config/config.h"
#include "rpc/request.h"

/* Credentials of the kernel. -ERR_x. Thread: any. */
int peer_credentials(int fd, struct peer *ret, uint32_t *ret_gid) NODISCARD;
/* Fills in name and role by the lists of a control socket: uid numbers, user names, "@group", "*".
 * Root and the daemon's own user are admins; section NULL (the socket is no longer configured):
 * nobody else gets in. Blocking (user database). Thread: any. */
void peer_identify(struct peer *p, uint32_t gid, const struct config_control *section);
