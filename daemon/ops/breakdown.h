/* SPDX-License-Identifier: ISC */
/* What sessions that are to be ended are: counted while they are found, for the question and for
 * dry runs. No thread of its own: used by one at a time. */
#pragma once

#include <jansson.h>

#include "session/admin/query.h"

#define BREAKDOWN_GROUPS 8 /* that are named; the others are one */

struct breakdown_groups {
    struct breakdown_group {
        char name[64];
        uint64_t n;
    } v[BREAKDOWN_GROUPS];
    size_t n;
    uint64_t others;
};

struct breakdown {
    uint64_t n;
    struct breakdown_groups protocols, backends; /* of those that have one */
    uint64_t idle, running, login; /* between commands; with a command under way; not in yet */
    uint64_t closing;              /* have been told to leave, and are about to */
};

/* The fields of a row that are looked at. */
#define BREAKDOWN_FIELDS                                                                           \
    (SESSION_FIELD_BIT(SESSION_FIELD_PROTO) | SESSION_FIELD_BIT(SESSION_FIELD_BACKEND) |           \
     SESSION_FIELD_BIT(SESSION_FIELD_STATE) | SESSION_FIELD_BIT(SESSION_FIELD_PHASE))

/* Counts one. */
void breakdown_add(struct breakdown *b, const struct session_row *row);
/* "15 sessions <what>: 12 imap, 3 pop3; 10 on dc1, 5 on dc2; 9 idle, 6 running commands"; owned,
 * NULL without memory. */
char *breakdown_text(const struct breakdown *b, const char *what);
/* {"protocols": {"imap": 12}, "backends": {"dc1": 10}, "idle": 9, "running": 6, "login": 0,
 * "closing": 0}; owned,
 * NULL without memory. The rest of many groups is called "". */
json_t *breakdown_json(const struct breakdown *b);
