/* SPDX-License-Identifier: ISC */
/* Certificates, keys, authorities and the like: which files of a config they are, and reading them
 * again while the rest of the config stays as it is. */
#pragma once

#include "config/config.h"

/* Calls fn with each path, some more than once; until fn returns other than 0, which is returned.
 */
int config_each_tls_file(const struct config *c, int (*fn)(void *arg, const char *path), void *arg);

/* Reads all those files again, into `disk` (open and empty), and gives c the contents that changed:
 * files that belong together (certificate, key and OCSP response; certificate authorities and
 * revocations) all or none, and only what can be used. What cannot be used stays as it was, and a
 * warning says why. ret_changed: how many files have another content; 0 = c is as before. Nobody
 * else may use c. Blocking: reads files. -ERR_NOMEM. */
int config_refresh(struct config *c, struct files *disk, size_t *ret_changed,
                   struct config_problems *problems) NODISCARD;
