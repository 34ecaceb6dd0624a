/* SPDX-License-Identifier: ISC */
/* Capabilities that listeners announce before login: those that are learned from mail servers split
 * once, all written out once, shared by sessions. */
#pragma once

#include "session/snapshot.h"

struct capabilities;

/* Reference-counted; v is NULL-terminated, NULL: nothing is learned, so the listener's own list or
 * the protocol's holds. Thread: the worker's. */
struct capabilities_list {
    unsigned refs;
    char *text;
    const char **v;
    struct front_memo memos[FRONT_MEMOS];
};

/* What a listener announces: its own, or learned from a usable backend of its pool. A reference, or
 * NULL without memory. *cache is made when needed; what is learned is looked at again after a
 * second. */
struct capabilities_list *capabilities_get(struct capabilities **cache,
                                           const struct snapshot *snapshot, unsigned listener,
                                           uint64_t now_ms);
void capabilities_unref(struct capabilities_list *l); /* NULL is fine */
void capabilities_free(struct capabilities *c);
