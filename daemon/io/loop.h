/* SPDX-License-Identifier: ISC */
/* One thread's event loop: libevent, coarse timers, work deferred to the end of the turn, and the thread's mailbox. */
#pragma once

#include <stdint.h>

#include "base/list.h"
#include "base/wheel.h"
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
/* Monotonic ms, read once per turn (cheap). */
uint64_t loop_now_ms(const struct loop *l);
/* Count of turns and the monotonic ms of the last one: read by the watchdog from another thread (relaxed atomics). */
uint64_t loop_heartbeat_ms(const struct loop *l);
struct event_base *loop_base(struct loop *l);
struct mailbox *loop_mailbox(struct loop *l);
/* Per-thread scratch of LOOP_SCRATCH_BYTES for reads; content is lost when the callback returns. */
char *loop_scratch(struct loop *l);
#define LOOP_SCRATCH_BYTES (256 * 1024)

/* Coarse timer (250 ms wheel): embed, loop_timer_init once, then set, move, cancel at will. Setting it later again costs a store. */
struct loop_timer {
    struct wheel_timer wheel;
    void (*fn)(struct loop_timer *t);
};
void loop_timer_init(struct loop_timer *t, void (*fn)(struct loop_timer *t));
void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t delay_ms);
void loop_timer_cancel(struct loop *l, struct loop_timer *t);

/* Something to do once at the end of this turn, after all callbacks: objects die here. Embed, list_init(&d.link) once. */
struct loop_deferred {
    struct list link;
    void (*fn)(struct loop_deferred *d);
};
void loop_defer(struct loop *l, struct loop_deferred *d);
