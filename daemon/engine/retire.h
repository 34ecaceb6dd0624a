/* SPDX-License-Identifier: ISC */
/* Sessions that began under an old configuration end some time after the reload, where the operator
 * wants it (reload_session_timeout). All functions: thread of the worker. */
#pragma once

#include "session/session.h"

/* After the reload_session_timeout of a snapshot, which has one, the sessions of snapshots before
 * it are told to go, with the worker's part of the shutdown_rate. Entered into `pending`. */
int retire_start(struct session_env *env, struct list *pending, const struct snapshot *snapshot,
                 size_t n_workers) NODISCARD;
/* Forgets all that is pending. */
void retire_cancel(struct list *pending);
