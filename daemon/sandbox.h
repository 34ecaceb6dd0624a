/* SPDX-License-Identifier: ISC */
/* Giving up what the engine does not need: root, capabilities, system calls, writing outside its
 * folders. */
#pragma once

#include "config/config.h"

/* Called once everything that needs root is open. What cannot be put in force on this system is
 * logged; only a user or group that cannot be changed to is an error: -ERR_PERM or -ERR_NOT_FOUND.
 * Thread: the only one so far. */
int sandbox_enter(const struct config *c) NODISCARD;
