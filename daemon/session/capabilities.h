/* SPDX-License-Identifier: ISC */
/* Capabilities that listeners announce before login when they are learned from mail servers: split
 * once, shared by sessions. */
#pragma once

#include "session/setup.h"

struct capabilities;

/* Reference-counted; v is NULL-terminated. Thread: the worker's. */
struct capabilities_list {
    unsigned refs;
    char *text;
    const char **v;
};

/* What a listener announces: learned from a usable backend of its pool. A reference, or NULL:
 * nothing is learned (yet) or there is no memory. *cache is made when needed; looked at again after
 * a second. */
struct capabilities_list *capabilities_get(struct capabilities **cache, const struct setup *setup,
                                           unsigned listener, uint64_t now_ms);
void capabilities_unref(struct capabilities_list *l); /* NULL is fine */
void capabilities_free(struct capabilities *c);
