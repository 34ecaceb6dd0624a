/* SPDX-License-Identifier: ISC */
/* Error codes: functions return 0 or a negated code of err.def. */
#pragma once

#include <stdbool.h>

enum err {
    ERR_OK = 0,
#define E(name, text) ERR_##name,
#include "base/err.def"
#undef E
    ERR_COUNT
};

#define NODISCARD __attribute__((warn_unused_result))

/* Stable name ("E_NOT_FOUND") of an error, given as ERR_x or -ERR_x; "E_INTERNAL" for an unknown
 * number. Static storage. */
const char *err_name(int err);

/* English sentence fragment for an error, given as ERR_x or -ERR_x. Static storage. */
const char *err_text(int err);

/* Finds the code of a stable name. Returns ERR_x (positive), or ERR_OK when the name is unknown. */
int err_from_name(const char *name);

/* Is it a lack of this process or machine (memory, descriptors, ports, buffers), for which no peer
 * is to blame? Given as ERR_x or -ERR_x. */
bool err_is_shortage(int err);

/* Maps an errno value to -ERR_x (ECONNREFUSED -> -ERR_REFUSED, ENOSPC -> -ERR_STORE_FULL, ... else
 * -ERR_IO). */
int err_from_errno(int errnum);
