/* SPDX-License-Identifier: ISC */
/* The control plane: sockets for operators, the commands behind them, events and runtime edits. All
 * functions: control thread. */
#pragma once

#include "runtime/engine_api.h"
#include "runtime/events.h"
#include "runtime/failures.h"
#include "runtime/rules/limit_service.h"

struct control;

/* Loads runtime edits and operations from the store; no snapshot is needed yet: the first pools are
 * built with control_edits. host is borrowed. Blocking. 0 or -ERR_x with a sentence in *ret_error
 * (owned). */
int control_new(const struct engine_api *host, struct control **ret, char **ret_error) NODISCARD;
/* Starts to serve on a listening socket (taken over) as the config's control socket number i. */
int control_listen(struct control *c, int fd, size_t i) NODISCARD;
/* The same in the place of that socket, whose file is gone: its clients stay. -ERR_NOT_FOUND: it
 * does not serve there. */
int control_relisten(struct control *c, int fd, size_t i) NODISCARD;
/* The first snapshot is published and all listeners are there, but nobody was accepted yet.
 * is_kept: its config is that of an engine that died; the file may say something else by now. */
void control_note_start(struct control *c, bool is_kept);
/* The runtime edits in force: for pools_build. Borrowed until the next change. */
const struct pool_edit *control_edits(const struct control *c, size_t *ret_n);
/* Reloads as `config reload` does, for SIGHUP; the outcome is logged. */
void control_reload(struct control *c);
/* The counts and bans that the workers judge by; borrowed. */
struct limits *control_limits(struct control *c);
/* Certificates, keys or authorities have changed on the disk: they are put in force and nothing
 * else, or stay as they are where the new ones cannot be used. */
void control_refresh_certificates(struct control *c);
/* A user logged in: the store learns of it soon, many at once. */
void control_note_login(struct control *c, const char *user, uint64_t at_ms);

/* The upgrade. */

/* Begins one as `system upgrade` does, for SIGUSR2; the outcome is logged. */
void control_upgrade(struct control *c);
/* The new program is good and may be started. */
void control_upgrade_checked(struct control *c);
/* There will be no upgrade; why: a sentence. */
void control_upgrade_failed(struct control *c, struct str why);
/* The engine with the pid `successor` serves from now on: only what is about present sessions is
 * done any more, the sockets of control_listen before this are closed, and their clients leave
 * soon, so that they find the other engine. Returns how long sessions may stay, ms, and in
 * *ret_rate how many are ended a second then; 0 = the operator did not say. */
uint64_t control_retire(struct control *c, uint64_t successor, uint64_t *ret_rate);
/* The supervisor gives a connection to another engine of the machine (fd, taken over): to the one
 * that replaces this one, or to one that finishes beside it. */
void control_link(struct control *c, int fd, uint32_t pid, bool is_successor);
/* engine_api.olds gives others now. */
void control_olds_changed(struct control *c);
/* The workers of this engine forget a user (NULL = all): so do those of the others. */
void control_forget_user(struct control *c, const char *user);
/* No client from before control_retire is left. */
bool control_has_no_clients(const struct control *c);

/* Why a load balancer should send new clients elsewhere: a static text; NULL = it should not. The
 * engine stops or has been replaced, no listener accepts, or new clients wait for descriptors. What
 * other proxies would not do better either is no reason: backends that are down, a store that can
 * only be read. */
const char *control_unready(const struct control *c);
/* Text of the metrics page (Prometheus). */
int control_metrics(struct control *c, struct buf *out) NODISCARD;
/* Ends all clients and frees everything. NULL is fine. */
void control_free(struct control *c);
