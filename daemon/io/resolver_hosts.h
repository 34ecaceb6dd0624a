/* SPDX-License-Identifier: ISC */
/* The hosts file, read again when it changes. */
#pragma once

#include <stdint.h>

#include "base/buf.h"

struct resolver_hosts;

/* A missing file is an empty one. 0 or -ERR_NOMEM. path is copied. */
int resolver_hosts_new(const char *path, struct resolver_hosts **ret) NODISCARD;
void resolver_hosts_free(struct resolver_hosts *h);
/* Appends the struct addr (port 0) of a name to v4 and v6, either of which may be NULL. -ERR_NOMEM.
 */
int resolver_hosts_find(struct resolver_hosts *h, uint64_t now_ms, struct str name, struct buf *v4,
                        struct buf *v6) NODISCARD;
