/* SPDX-License-Identifier: ISC */
/* Hashed timer wheel with lazy moves. */
#include "base/container/wheel.h"

void wheel_init(struct wheel *w, uint64_t now_ms)
{
    for (size_t i = 0; i < WHEEL_SLOTS; i++)
        list_init(&w->slots[i]);
    w->now_tick = now_ms / WHEEL_TICK_MS;
    w->count = 0;
}

void wheel_timer_init(struct wheel_timer *t)
{
    list_init(&t->link);
    t->due_ms = 0;
}

static void wheel_link(struct wheel *w, struct wheel_timer *t)
{
    uint64_t tick = t->due_ms / WHEEL_TICK_MS + (t->due_ms % WHEEL_TICK_MS != 0);
    if (tick <= w->now_tick) /* not one that has been handled already */
        tick = w->now_tick + 1;
    list_del(&t->link);
    list_add_tail(&w->slots[tick % WHEEL_SLOTS], &t->link);
}

void wheel_set(struct wheel *w, struct wheel_timer *t, uint64_t due_ms)
{
    bool was_set = t->due_ms != 0;
    bool is_later = was_set && due_ms >= t->due_ms;
    t->due_ms = due_ms ? due_ms : 1;
    if (!was_set)
        w->count++;
    if (!is_later)
        wheel_link(w, t);
}

void wheel_cancel(struct wheel *w, struct wheel_timer *t)
{
    if (t->due_ms == 0)
        return;
    list_del(&t->link);
    t->due_ms = 0;
    w->count--;
}

static void wheel_sweep(struct wheel *w, struct list *slot, uint64_t now_ms, struct list *expired)
{
    struct list due;
    list_init(&due);
    list_splice_tail(&due, slot);
    LIST_FOREACH_SAFE (it, &due) {
        struct wheel_timer *t = LIST_ITEM(it, struct wheel_timer, link);
        if (t->due_ms > now_ms) {
            wheel_link(w, t);
            continue;
        }
        list_del(it);
        list_add_tail(expired, it);
        t->due_ms = 0;
        w->count--;
    }
}

void wheel_advance(struct wheel *w, uint64_t now_ms, struct list *expired)
{
    uint64_t target = now_ms / WHEEL_TICK_MS;
    /* After a long sleep one turn round the wheel visits every slot: more would find nothing new.
     */
    if (target > w->now_tick + WHEEL_SLOTS)
        w->now_tick = target - WHEEL_SLOTS;
    while (w->now_tick < target) {
        w->now_tick++;
        wheel_sweep(w, &w->slots[w->now_tick % WHEEL_SLOTS], now_ms, expired);
    }
}
