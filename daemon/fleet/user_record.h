/* SPDX-License-Identifier: ISC */
/* A user as the nodes of a fleet have it as one: its text, and what becomes of two that were
 * changed at the same time. Pure. */
#pragma once

#include "store/store_sync.h"

#define USER_RECORD_MAX (64 * 1024) /* bytes of a text */

struct user_record {
    char *name;
    uint64_t revision, at_ms;       /* of the change; wall clock of who made it */
    char writer[STORE_WRITER_SIZE]; /* the node where it was made */
    bool is_removed;                /* the user is nothing, then */
    struct store_user user;
};
void user_record_fini(struct user_record *r); /* wipes secrets */

/* Appends its text. -ERR_NOMEM; -ERR_TOO_LONG: no node would read it. out: wiped by its owner. */
int user_record_text(const struct user_record *r, struct buf *out) NODISCARD;
/* *ret: user_record_fini. -ERR_SYNTAX: it is none that this version knows; -ERR_NOMEM. */
int user_record_read(struct str text, struct user_record *ret) NODISCARD;
/* The user as a file of users in CSV, or STORE_NOBODY: what struct store_sync has as base. Owned,
 * to be wiped; NULL without memory. */
char *user_record_base(const struct user_record *r);

/* Was a changed later than b? Of two of the same moment one is, for every node. */
bool user_record_is_later(const struct user_record *a, const struct user_record *b);
/* Do both say the same of the user? */
bool user_record_is_same(const struct user_record *a, const struct user_record *b);

/* Two changes of what base was (as of user_record_base; NULL = nobody knows): each property is as
 * who changed it wants it; where both did, and where one removed the user, as the later one does.
 * *ret: the user alone, with the name; user_record_fini. out: names of the properties, with commas,
 * of which the earlier change is lost. -ERR_NOMEM, -ERR_SYNTAX (base). */
int user_record_merge(const char *base, const struct user_record *ours,
                      const struct user_record *theirs, struct user_record *ret,
                      struct buf *out) NODISCARD;
