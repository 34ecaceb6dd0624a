/* SPDX-License-Identifier: ISC */
/* Log files, opened by the one who may. */
#pragma once

#include "supervisor/outbox.h"

/* Opens the log files of a plan and gives them to an engine, or the reasons why not: the engine
 * says those. Errors as of outbox_send. */
int log_files_send(const struct plan *p, struct engine_process *to) NODISCARD;
/* How many a plan has that can be given. */
size_t log_files_count(const struct plan *p);
