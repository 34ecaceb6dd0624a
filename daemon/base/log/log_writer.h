/* SPDX-License-Identifier: ISC */
/* Writing the queued lines: by a thread of its own, or before it starts by whoever logs. */
#pragma once

#include "base/log/log_set.h"

/* Lines were queued. is_urgent: they should not wait for others. Without the thread they are
 * written here, as far as that goes without waiting. */
void log_writer_wake(bool is_urgent);
/* Starts the thread. 0 or -ERR_x. */
int log_writer_start(void (*begin)(void)) NODISCARD;
/* Waits until nothing is queued, at most limit_ms. False: something is. */
bool log_writer_flush(uint64_t limit_ms);
/* Flushes and ends the thread, both with a limit. False: it hangs in a write, and the sinks must
 * stay. */
bool log_writer_stop(uint64_t limit_ms);
