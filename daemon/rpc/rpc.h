/* SPDX-License-Identifier: ISC */
/* What the control-socket server needs of the program around it. It knows no command's function
 * and no part of the daemon but the configuration of its sockets. Thread of everything: the loop's.
 */
#pragma once

#include "config/config.h"
#include "io/jobs.h"
#include "io/loop.h"
#include "rpc/command.h"

/* Embed it in what the functions of the commands work on. Borrowed but for the lists. */
struct rpc {
    struct loop *loop;
    struct jobs *jobs;           /* threads for work that blocks */
    const command_fn *functions; /* of the commands, in the order of the table */
    /* The present configuration; borrowed until the loop's next turn. */
    struct config *(*config)(const struct rpc *rpc);
    /* Another program serves: what this one would change, that one would not see. */
    bool (*is_retired)(const struct rpc *rpc);
    /* A command that changes something was answered: "ok" or the error's name. */
    void (*on_change_answered)(struct rpc *rpc, const struct request *r, const char *result);
    /* What other engines have to do with commands; NULL = there is only this one. A command is
     * about to run: true when it has to wait, and request_run follows. */
    bool (*hold_back)(struct rpc *rpc, struct request *r);
    /* A change was done: true when others have to take it in before it is answered, and
     * request_release follows. */
    bool (*spread)(struct rpc *rpc, struct request *r);
    /* Those that had no part in it, as an array for the answer; NULL = all had. */
    json_t *(*unreached)(struct rpc *rpc, const struct request *r);
    struct list works;    /* all that is under way, for the end */
    uint64_t last_number; /* of streams, queries, kills */
};

static inline uint64_t rpc_next_number(struct rpc *rpc)
{
    return ++rpc->last_number;
}
