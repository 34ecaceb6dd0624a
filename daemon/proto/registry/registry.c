/* SPDX-License-Identifier: ISC */
/* The registry of protocols. */
#include "proto/registry/registry.h"

/* One row a protocol, by its number. */
static const struct proto *const protos[PROTO_COUNT] = {
#define P(id, name, separator) [PROTO_##id] = &proto_##name,
    PROTOS(P)
#undef P
};

const struct proto *proto_get(enum proto_id id)
{
    return (unsigned)id < PROTO_COUNT ? protos[id] : NULL;
}

const struct proto *proto_find(struct str name)
{
    for (size_t i = 0; i < PROTO_COUNT; i++)
        if (str_ieq(name, str_of(protos[i]->name)))
            return protos[i];
    return NULL;
}
