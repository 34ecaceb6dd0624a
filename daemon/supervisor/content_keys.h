/* SPDX-License-Identifier: ISC */
/* Taking the private keys out of what a configuration names, and putting them back. */
#pragma once

#include "config/config.h"

/* For a configuration with tls.key_process: *ret_files (owned) is what it names, with places
 * instead of keys (io/tls/tls_key_file.h) and without their passwords; the keys, and the files as
 * they were, are appended to *keys as records of io/tls/key_server.h. What cannot be done is added
 * to *problems: -ERR_CONFIG. -ERR_NOMEM. */
int content_keys_take(const struct config *c, uint64_t service, struct buf *keys,
                      struct files **ret_files, struct config_problems *problems) NODISCARD;
/* The other way: *ret (owned, closed) is `files` with those of `records` as they were. -ERR_SYNTAX,
 * -ERR_NOMEM. */
int content_keys_restore(const struct files *files, struct str records,
                         struct files **ret) NODISCARD;
