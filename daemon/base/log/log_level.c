/* SPDX-License-Identifier: ISC */
/* Names of the levels of the log. */
#include <string.h>

#include "base/log/log.h"

static const char *const log_level_names[LOG_LEVEL_COUNT] = {"error", "warn", "notice", "info",
                                                             "debug"};

const char *log_level_name(enum log_level level)
{
    return (unsigned)level < LOG_LEVEL_COUNT ? log_level_names[level] : "?";
}

int log_level_parse(const char *name, enum log_level *ret)
{
    for (int i = 0; i < LOG_LEVEL_COUNT; i++) {
        if (strcmp(name, log_level_names[i]) == 0) {
            *ret = (enum log_level)i;
            return 0;
        }
    }
    return -ERR_INVAL;
}
