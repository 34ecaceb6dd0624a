/* SPDX-License-Identifier: ISC */
/* The registry of protocols. */
#include "proto/proto.h"

/* One row a protocol, by its number. */
static const struct proto *const protos[PROTO_COUNT] = {
    [PROTO_IMAP] = &proto_imap,
    [PROTO_POP3] = &proto_pop3,
    [PROTO_SMTP] = &proto_smtp,
    [PROTO_SIEVE] = &proto_sieve,
};

const struct proto *proto_get(enum proto_id id)
{
    return (unsigned)id < PROTO_COUNT ? protos[id] : NULL;
}

const struct proto *proto_find(struct str name)
{
    for (size_t i = 0; i < PROTO_COUNT; i++)
        if (protos[i] && str_ieq(name, str_of(protos[i]->name)))
            return protos[i];
    return NULL;
}
