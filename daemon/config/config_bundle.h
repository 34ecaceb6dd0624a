/* SPDX-License-Identifier: ISC */
/* A configuration with the contents of all files that it names, as one text that another process
 * can load without opening any file. */
#pragma once

#include "config/config.h"

#define CONFIG_BUNDLE_BYTES_MAX (256 << 20)

/* Kinds of records (base/record.h). A reader passes over kinds that it does not know. */
enum config_bundle_kind {
    BUNDLE_PROBLEM = 1, /* file, line, key, text, is_warning */
    BUNDLE_CONFIG,      /* path of the file, the configuration with its includes in place */
    BUNDLE_FILE,        /* path, content */
    BUNDLE_FIRST_OTHER = 100
};

/* Appends what was found in a file and, unless c is NULL, the configuration. -ERR_NOMEM,
 * -ERR_TOO_LONG. */
int config_bundle_append(const struct config *c, const struct config_problems *problems,
                         struct buf *out) NODISCARD;
/* The configuration of a bundle; one reference in *ret. *ret_problems is added to. -ERR_CONFIG when
 * there is none: the problems tell; -ERR_SYNTAX for what is no bundle. Touches no file. */
int config_bundle_load(struct str bundle, struct config **ret,
                       struct config_problems *ret_problems) NODISCARD;
