/* SPDX-License-Identifier: ISC */
/* Where the keys of a file stand: what was read notes them, checks and completion look them up. */
#pragma once

#include "base/container/map.h"
#include "config/config_key.h"

struct config_places {
    const char *file; /* for what stands nowhere; borrowed */
    struct map by_key;
};

/* file is borrowed. -ERR_NOMEM. */
int config_places_add(struct config_places *p, const char *key, const char *file,
                      unsigned line) NODISCARD;
void config_places_fini(struct config_places *p);
/* Is the key ("listeners[0].tls") in the file? NULL places: no. */
bool config_place_has(const struct config_places *p, const char *key);
/* Line (0 = unknown) and file of a key; of the nearest part around it when it is not in the file.
 */
unsigned config_place_line(const struct config_places *p, const char *key, const char **ret_file);
