/* SPDX-License-Identifier: ISC */
/* One thread's event loop: libevent, coarse timers, work deferred to the end of the turn, and the
 * thread's mailbox. */
#pragma once

#include <stdint.h>

#include "base/container/list.h"
#include "base/container/wheel.h"
#include "io/mailbox.h"

struct event_base;
struct evdns_base;
struct loop;

/* Makes a loop. owner is handed to every mail that runs here (borrowed). 0 or -ERR_x. */
int loop_new(void *owner, struct loop **ret) NODISCARD;
/* Frees it; undelivered mail is dropped by its drop function. NULL is fine. */
void loop_free(struct loop *l);
/* Runs until loop_stop. Thread: the owner of the loop from now on. */
int loop_run(struct loop *l) NODISCARD;
/* Ends loop_run at the end of this turn. Thread: own (others post a mail that calls it). */
void loop_stop(struct loop *l);
/* Monotonic time and Unix time, read once per turn, when they are first asked for: a clock costs
 * what sixty instructions cost. Thread: own. */
uint64_t loop_now_us(const struct loop *l);
uint64_t loop_now_ms(const struct loop *l);
uint64_t loop_wall_ms(const struct loop *l);
/* Monotonic ms of the last finished turn (0 before the first). An idle loop turns at least every
 * LOOP_HEARTBEAT_MS. Thread: any (relaxed atomic). */
uint64_t loop_heartbeat_ms(const struct loop *l);
/* Count of finished turns. Thread: any (relaxed atomic). */
uint64_t loop_turns(const struct loop *l);
#define LOOP_HEARTBEAT_MS 2000
/* Calls fn at the end of each turn, for whoever measures turns; NULL = no more. Thread: own. */
void loop_on_turn(struct loop *l, void (*fn)(void *arg), void *arg);
struct event_base *loop_base(struct loop *l);
struct mailbox *loop_mailbox(struct loop *l);
/* Per-thread scratch of LOOP_SCRATCH_BYTES for reads; content is lost when the callback returns. */
char *loop_scratch(struct loop *l);
#define LOOP_SCRATCH_BYTES (256 * 1024)

/* Coarse timer (250 ms wheel): embed, loop_timer_init once, then set, move, cancel at will. Setting
 * it later again costs a store. */
struct loop_timer {
    struct wheel_timer wheel;
    void (*fn)(struct loop_timer *t);
};
void loop_timer_init(struct loop_timer *t, void (*fn)(struct loop_timer *t));
void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t delay_ms);
/* Harmless when it is not set; the timer does not run even when it is due in this turn. */
void loop_timer_cancel(struct loop *l, struct loop_timer *t);

/* Something to do once at the end of this turn, after all callbacks: objects die here. Embed,
 * list_init(&d.link) once. */
struct loop_deferred {
    struct list link;
    void (*fn)(struct loop_deferred *d);
};
void loop_defer(struct loop *l, struct loop_deferred *d);
/* Work that may be long: it runs after the events of a turn, first come, first served. All of it
 * together gets LOOP_AGAIN_US of a turn; for what is left the next turn does not wait for events.
 * What queues again while it runs goes to the end. */
void loop_again(struct loop *l, struct loop_deferred *d);
#define LOOP_AGAIN_US 1000
/* Takes it back from loop_defer or loop_again; harmless when it is in neither. */
void loop_undefer(struct loop_deferred *d);

/* Long work in pieces. step does one piece, some ten µs, and is called again until loop_unslice;
 * all slices of a loop together get LOOP_SLICES_US of a turn, so that nobody waits long for them.
 * Embed, list_init(&s.link) once. */
struct loop_slice {
    struct list link;
    void (*step)(struct loop_slice *s); /* may free what it is in, after loop_unslice */
};
#define LOOP_SLICES_US 500
/* Begins with the next turn; harmless when it is under way. */
void loop_slice(struct loop *l, struct loop_slice *s);
/* Harmless when it is not under way. */
void loop_unslice(struct loop_slice *s);
/* Mail gets this much of a turn; what is left has the next one. */
#define LOOP_MAIL_US 1000
