/* SPDX-License-Identifier: ISC */
/* What a file's keys must have in common: references between parts, duplicates, files. */
#include "config/config_key.h"

void config_check(const struct config *c, const struct config_places *places,
                  struct config_problems *problems)
{
    (void)c;
    (void)places;
    (void)problems;
}
