/* SPDX-License-Identifier: ISC */
/* Texts that must not stay in memory that was freed. */
#pragma once

#include <stdlib.h>
#include <string.h>

/* Wipes the text of an owned secret and frees it; NULL is fine. */
static inline void secret_free(char *s)
{
    if (s)
        explicit_bzero(s, strlen(s));
    free(s);
}
