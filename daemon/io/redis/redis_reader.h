/* SPDX-License-Identifier: ISC */
/* Replies of a server out of bytes: hiredis' reader within bounds of memory and of work, whatever
 * the server sends. */
#pragma once

#include <hiredis/hiredis.h>

#include "base/str.h"

struct redis_reader {
    redisReader *reader;
    size_t max_bytes; /* memory of one reply, and bytes that are not understood yet */
    size_t bytes;     /* memory of the reply that is being read */
    int err;          /* why the last object was refused; 0 = it was not */
};

/* max_bytes: of one reply in memory, and of bytes that are not understood yet. -ERR_NOMEM. */
int redis_reader_init(struct redis_reader *r, size_t max_bytes) NODISCARD;
/* Harmless when it was not initialised (zeros), or twice. */
void redis_reader_fini(struct redis_reader *r);
/* Takes bytes; then redis_reader_next until -ERR_AGAIN. -ERR_NOMEM, -ERR_TOO_LONG: of no more use.
 */
int redis_reader_feed(struct redis_reader *r, struct str in) NODISCARD;
/* The next whole reply, owned by the caller. -ERR_AGAIN: none yet. -ERR_PROTOCOL, -ERR_TOO_LONG,
 * -ERR_NOMEM: of no more use. */
int redis_reader_next(struct redis_reader *r, struct redisReply **ret) NODISCARD;
/* NULL is fine. */
void redis_reply_free(struct redisReply *reply);
