/* SPDX-License-Identifier: ISC */
/* Inside of the commands of a fleet: what is said to other nodes (fleet_send.c), what was asked
 * here (fleet_run.c, fleet_gather.c), what waits for the store (fleet_queue.c), what runs here for
 * others (fleet_execute.c), and how far the commands were taken (fleet_position.c). */
#pragma once

#include "base/clock.h"
#include "fleet/commands/fleet_order.h"
#include "fleet/commands/fleet_run.h"
#include "fleet/fleet.h"
#include "fleet/fleet_message.h"
#include "rpc/rpc.h"

#define RUN_ID_MAX 64
#define RUN_POSITION_MAX 48

struct fleet_runs {
    struct control *control;
    struct fleet *fleet;
    struct fleet_watch watch;
    struct loop *loop;
    char *node; /* this one's name */
    struct fleet_stream *stream;
    uint8_t secret[FLEET_SECRET_BYTES];
    char *commands, *inbox; /* keys of the streams */
    struct list runs;       /* struct fleet_run */
    struct list executions; /* struct execution */
    struct list gathers;    /* struct gather */
    struct loop_timer tick, save, execute_tick;
    uint64_t number;         /* of the last message sent */
    struct list queue;       /* struct queued: commands that not all nodes have taken */
    struct loop_timer retry; /* of those that the store refused */
    struct loop_timer look;  /* for those that it lost */
    uint64_t heard_ms;       /* when a node last took one; monotonic */
    uint64_t again_ms;       /* so long after it they are sent again */
    size_t n_queue, queued_bytes;
    struct fleet_order order;
    uint64_t sent, taken, refused;

    /* How far the commands were taken; written to this node's store now and then. */
    char position[RUN_POSITION_MAX];
    json_t *seen; /* see fleet_message_take: of messages for that moment */
    json_t *kept; /* the same of those that nodes take later, too */
    bool is_saving, is_dirty;
    bool is_retired; /* the engine that serves takes the commands, and knows how far */
};

/* A number for a message that is greater than all before. */
static inline uint64_t fleet_number(struct fleet_runs *f)
{
    f->number = fleet_message_number(f->number, clock_wall_ms());
    return f->number;
}

/* ---- fleet_send.c ---- */

/* The i-th of the other nodes, each once: its name, and whether it is there. False behind the last.
 */
bool fleet_run_other(const struct fleet_runs *f, size_t i, const char **ret_name,
                     bool *ret_is_alive);
/* Is that node there? */
bool fleet_run_is_alive(const struct fleet_runs *f, const char *node);
/* Is that engine of a node there, which may finish its sessions? */
bool fleet_run_has_engine(const struct fleet_runs *f, const char *holder);
/* The message of a command. id: whose answers are waited for, "" = nobody's. params: a reference is
 * taken. NULL without memory. */
json_t *fleet_command_message(struct fleet_runs *f, const char *id, const struct peer *peer,
                              const char *method, json_t *params, bool is_later);
/* Sends it (borrowed; NULL is -ERR_NOMEM), behind what waits; one that nodes may take later is kept
 * until they have. cb as in redis_call; where fleet_queue_keeps its error it is kept all the same.
 * -ERR_x. */
int fleet_send_command(struct fleet_runs *f, json_t *m, bool is_later, redis_fn *cb,
                       void *arg) NODISCARD;
/* A message for all others, which are there or not. m: borrowed; what every message says is added.
 */
void fleet_run_send_all(struct fleet_runs *f, json_t *m);
/* A command for all others, whose answers nobody waits for. params: borrowed. */
void fleet_run_tell(struct fleet_runs *f, const struct peer *peer, const char *method,
                    json_t *params);
/* JSON text {"result": ...} or {"error": ...} of an outcome; owned, NULL without memory. One that
 * is too long for a message becomes an error. */
char *fleet_answer_text(const struct request_outcome *o);
/* The same of an error. */
char *fleet_answer_error(int err, const char *text);

/* ---- fleet_queue.c ---- */

/* Nothing waits; before any other of these. */
void fleet_queue_init(struct fleet_runs *f);
/* Those that waited when this node was stopped. Blocking. -ERR_x of the store. */
int fleet_queue_load(struct fleet_runs *f) NODISCARD;
/* What the store of this node does not have yet is written, at the end. Blocking. */
void fleet_queue_fini(struct fleet_runs *f);
/* A command is kept, and sent when it can be; m: a reference is taken, and "for" of it has the
 * nodes that are to take it. cb: as of fleet_send_command, later; may be NULL. -ERR_TOO_MANY,
 * -ERR_TOO_LONG, -ERR_NOMEM: it is not. */
int fleet_queue_add(struct fleet_runs *f, json_t *m, redis_fn *cb, void *arg) NODISCARD;
/* A command that the store did not take for this reason is kept, and sent again. */
bool fleet_queue_keeps(int err);
/* What waits goes out in its order. */
void fleet_runs_flush(struct fleet_runs *f);
/* All that nodes may lack is sent again: the store's data is another. */
void fleet_queue_again(struct fleet_runs *f);
/* Nodes have come or gone, or take what they have missed: who lacks one has time to take it. */
void fleet_queue_patience(struct fleet_runs *f);
/* A node has taken the command of this number. */
void fleet_queue_taken(struct fleet_runs *f, const char *node, uint64_t number);
/* How many wait for the store, and how many it has that not all nodes have taken. */
void fleet_queue_look(const struct fleet_runs *f, size_t *ret_waiting, size_t *ret_kept);
/* A command of this id has been run here. */
void fleet_queue_ran(struct fleet_runs *f, const char *id);
/* A message of this node has come back from the store, where it has this position. True: it has
 * been run here before, and holds as it was. */
bool fleet_queue_came(struct fleet_runs *f, uint64_t number, const char *position);
/* A command of another node is run here: those of this node that are about the same come after it
 * for all nodes, so that they are run again. */
void fleet_queue_other_came(struct fleet_runs *f, const json_t *m);

/* ---- fleet_run.c ---- */

/* Before any other of these; f is zeros. */
void fleet_run_init(struct fleet_runs *f);
/* The end: requests that wait are abandoned. */
void fleet_run_fini(struct fleet_runs *f);
/* Nodes may have gone: who waits for one of them need not. */
void fleet_run_check(struct fleet_runs *f);
/* A command of this node has come back from the store: its own part may run. False: nobody waits
 * for it any more. */
bool fleet_run_own_came(struct fleet_runs *f, const char *id);
/* A node's answer, or its word that it has begun, or runs it still. */
void fleet_run_answered(struct fleet_runs *f, const json_t *m);

/* ---- fleet_gather.c ---- */

/* A node says that it is ready; or, to the others, what was decided. */
void fleet_gather_heard(struct fleet_runs *f, const json_t *m);
void fleet_gather_decided(struct fleet_runs *f, const json_t *m);
/* A node does not take part in a move that was asked of this one. */
void fleet_gather_refused(struct fleet_runs *f, const char *with, const char *node,
                          const char *why);
/* Nodes may have gone. */
void fleet_gather_check(struct fleet_runs *f);
/* Every node has answered: without a move here there is nothing to decide. */
void fleet_gather_close(struct fleet_runs *f, const char *with);

/* ---- fleet_execute.c ---- */

/* Nothing runs; before any other of these. */
void fleet_execute_init(struct fleet_runs *f);
/* A command of another node. */
void fleet_execute(struct fleet_runs *f, const char *position, const json_t *m);
/* The end: who asked hears no more of this node. */
void fleet_execute_fini(struct fleet_runs *f);

/* ---- fleet_position.c ---- */

/* Nothing is read or written yet. */
void fleet_position_init(struct fleet_runs *f);
/* Blocking. -ERR_x of the store. */
int fleet_position_load(struct fleet_runs *f) NODISCARD;
/* What is not written yet is, at the end. Blocking. */
void fleet_position_fini(struct fleet_runs *f);
/* It has changed: is written soon. */
void fleet_position_changed(struct fleet_runs *f);
