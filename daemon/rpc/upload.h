/* SPDX-License-Identifier: ISC */
/* Files that are longer than a request: they come in parts, and are put together for the last. All
 * functions: control thread. */
#pragma once

#include "rpc/request.h"

/* What a client has sent of one so far; zero-initialised. */
struct upload {
    const struct command *command; /* that they are for */
    struct buf text;
    uint64_t n;
};

/* Forgets everything, and wipes it. */
void upload_clear(struct upload *p);
/* Adds the text of the parameter `name` (parameters part and more say where it belongs). True: it
 * was the last part, and *ret (empty before) holds the whole; the caller wipes it. False: the
 * request is answered. */
bool upload_take(struct request *r, const char *name, struct buf *ret) NODISCARD;
