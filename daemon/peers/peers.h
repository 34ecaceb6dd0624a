/* SPDX-License-Identifier: ISC */
/* The engines of this machine as one: after an upgrade those that finish their sessions are asked,
 * told and counted by the one that serves. An engine that serves no more answers that one, and asks
 * nobody. All functions: control thread. */
#pragma once

#include "rpc/request.h"

struct control;
struct peers;
struct session_trace_event;
struct event_view;
struct rule;

/* What floors above have to say or to hear. */
struct peers_hooks {
    /* An event of a trace that another engine's worker told; takes it over. */
    void (*on_traced)(struct control *c, struct session_trace_event *e);
    /* How the operations of an engine that finishes are: rows of op list. */
    void (*on_ops)(struct control *c, uint32_t pid, const json_t *rows);
    /* An engine that finished is gone. */
    void (*on_gone)(struct control *c, uint32_t pid);
    /* One that was silent answers again: what it missed of users is to be made up for. */
    void (*on_answers)(struct control *c, uint32_t pid);
    /* The own operations for the engine that serves; owned, NULL = nothing is new. is_anew: it has
     * heard of none yet. */
    json_t *(*ops)(struct control *c, bool is_anew);
    /* The engine that serves was told to cancel one; id as operators write it. */
    void (*cancel)(struct control *c, const char *id);
};
/* hooks: static. -ERR_NOMEM. */
int peers_new(struct control *c, const struct peers_hooks *hooks, struct peers **ret) NODISCARD;
/* Requests that wait are abandoned. NULL is fine. */
void peers_free(struct peers *p);

/* A connection to another engine came from the supervisor; owns fd. is_successor: it replaced this
 * one. */
void peers_link(struct control *c, int fd, uint32_t pid, bool is_successor);
/* The supervisor has said which engines finish their sessions: see control_host.old. */
void peers_listed(struct control *c);
/* This engine serves no more: others are none of its business. */
void peers_retire(struct control *c);

/* Does anybody finish sessions beside this engine? */
bool peers_is_any(const struct control *c);
/* The names of engines that do not answer, "1234, 1235", owned; NULL = all answer. */
char *peers_silent(const struct control *c);

/* For struct rpc. A command about all engines is asked for: true when it has to wait, since one has
 * just been replaced and has not greeted yet; it is run later. */
bool peers_hold_back(struct rpc *rpc, struct request *r);
/* A change is about to be answered: true when others have to take it in before, and the answer goes
 * on later (request_release). */
bool peers_spread(struct rpc *rpc, struct request *r);
/* See struct rpc. */
json_t *peers_unreached(struct rpc *rpc, const struct request *r);

/* The first snapshot of this engine is there: until the engines before it have told how many places
 * their sessions have on backends with a limit, these count as full. */
void peers_claim_places(struct control *c);
/* An event of this engine, for the one that serves. */
void peers_tell_event(struct control *c, const struct event_view *v);
/* Somebody watches here, or nobody does: engines that finish tell more, or less. */
void peers_tell_watched(struct control *c, bool is_watched);
/* A ban that failures led to here. */
void peers_tell_ban(struct control *c, const struct rule *ban);
/* Cached answers about a user (NULL = all) are forgotten everywhere else, too. */
void peers_forget_user(struct control *c, const char *user);
