/* SPDX-License-Identifier: ISC */
/* What only the started daemon would find: what its user may not use. */
#pragma once

#include "config/config.h"

/* Folders, files and sockets that who starts the daemon, and the user that it becomes then, may not
 * use. 0, or -ERR_CONFIG with problems; there may be warnings in both cases. Blocking, forks: for
 * the check of a file, not for a process with threads. */
int check_access(const struct config *c, struct config_problems *problems) NODISCARD;
