/* SPDX-License-Identifier: ISC */
/* Specifications of resolvers: compared and copied with their name servers. */
#include "io/resolver_spec.h"

#include <stdlib.h>
#include <string.h>

static void names_free(char **names)
{
    for (size_t i = 0; names && names[i]; i++)
        free(names[i]);
    free(names);
}

/* *ret is NULL for no names at all. */
static int names_copy(const char *const *names, char ***ret)
{
    size_t n = 0;
    *ret = NULL;
    if (!names)
        return 0;
    while (names[n])
        n++;
    char **copy = calloc(n + 1, sizeof(*copy));
    for (size_t i = 0; copy && i < n; i++) {
        if (!(copy[i] = str_dup_c(names[i]))) {
            names_free(copy);
            return -ERR_NOMEM;
        }
    }
    *ret = copy;
    return copy ? 0 : -ERR_NOMEM;
}

bool resolver_spec_eq(const struct resolver_spec *a, const struct resolver_spec *b)
{
    if (a->timeout_ms != b->timeout_ms || a->valid_ms != b->valid_ms ||
        a->is_ipv4_off != b->is_ipv4_off || a->is_ipv6_off != b->is_ipv6_off ||
        a->is_case_kept != b->is_case_kept || !a->name_servers != !b->name_servers)
        return false;
    for (size_t i = 0; a->name_servers; i++) {
        const char *x = a->name_servers[i], *y = b->name_servers[i];
        if (!x || !y || strcmp(x, y) != 0)
            return !x && !y;
    }
    return true;
}

int resolver_spec_copy(const struct resolver_spec *spec, struct resolver_spec *ret)
{
    char **names;
    int err = names_copy(spec->name_servers, &names);
    if (err < 0)
        return err;
    *ret = *spec;
    ret->name_servers = (const char *const *)names;
    return 0;
}

void resolver_spec_fini(struct resolver_spec *spec)
{
    names_free((char **)spec->name_servers);
    spec->name_servers = NULL;
}
