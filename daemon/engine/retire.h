/* SPDX-License-Identifier: ISC */
/* Sessions that began under an old configuration end some time after the reload, where the operator
 * wants it (reload_session_timeout). All functions: thread of the worker. */
#pragma once

#include "session/session.h"

/* After delay_ms the sessions of setups before `generation` are told to go. Entered into `pending`.
 */
int retire_start(struct session_env *env, struct list *pending, uint64_t generation,
                 uint64_t delay_ms) NODISCARD;
/* Forgets all that is pending. */
void retire_cancel(struct list *pending);
