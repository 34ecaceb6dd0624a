/* SPDX-License-Identifier: ISC */
/* Log files, opened by the one who may. */
#pragma once

#include "supervisor/outbox.h"

/* Opens the log files of a plan into ret, which has room for all of them; its descriptors are
 * owned. What cannot be opened is logged and left out: the first error is returned. */
int log_files_open(const struct plan *p, struct outbox_place *ret, size_t *ret_n) NODISCARD;
void log_files_close(struct outbox_place *v, size_t n);
