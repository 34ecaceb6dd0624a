/* SPDX-License-Identifier: ISC */
/* What engines say. They are not trusted: each word has its sender and its time, and an engine that
 * says another one is ended. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "supervisor/supervisor_priv.h"

#define WORDS_A_TURN 16     /* taken from one engine before others are looked at */
#define WORDS_A_WINDOW 1000 /* an engine says two or three a second */
#define WORDS_WINDOW_MS 1000

/* ---- the words; false: not now ---- */

static bool hear_alive(struct supervisor *s, struct engine_process *from, uint64_t number)
{
    (void)s;
    (void)from;
    return number == 0;
}

static bool hear_ready(struct supervisor *s, struct engine_process *from, uint64_t number)
{
    if (from->is_ready || number != from->number)
        return false;
    from->is_ready = true;
    if (from == &s->now)
        engines_ready(s);
    else if (!s->is_stopping)
        upgrade_finish(s);
    return true;
}

static bool hear_not_ready(struct supervisor *s, struct engine_process *from, uint64_t number)
{
    if (from->is_ready || number == 0 || number >= ERR_COUNT)
        return false;
    if (from == &s->upgrade.next)
        upgrade_not_ready(s, -(int)number);
    return true;
}

static bool hear_read(struct supervisor *s, struct engine_process *from, uint64_t number)
{
    enum wire_read how = WIRE_ASK_HOW(number);
    if (!from->is_ready || how < WIRE_READ_CHECK || how >= WIRE_READS_END ||
        WIRE_ASK_COUNT(number) == 0 || !outbox_is_empty(from))
        return false;
    return reading_wanted(s, number);
}

static bool hear_accepted(struct supervisor *s, struct engine_process *from, uint64_t number)
{
    return from->is_ready && reading_accepted(s, number);
}

static bool hear_refused(struct supervisor *s, struct engine_process *from, uint64_t number)
{
    return from->is_ready && reading_refused(s, number);
}

static bool hear_confirmed(struct supervisor *s, struct engine_process *from, uint64_t number)
{
    return from->is_ready && reading_confirmed(s, number);
}

static bool hear_logs(struct supervisor *s, struct engine_process *from, uint64_t number)
{
    if (!from->is_ready || number != 0 || !outbox_is_empty(from))
        return false;
    const struct old_engine *old = supervisor_old(s, from);
    reading_deliver_logs(from, old ? old->content : s->running);
    return true;
}

static bool hear_stopping(struct supervisor *s, struct engine_process *from, uint64_t number)
{
    if (!from->is_ready || number != 0)
        return false;
    if (!s->is_stopping)
        supervisor_stop_all(s);
    return true;
}

static bool hear_upgrade(struct supervisor *s, struct engine_process *from, uint64_t number)
{
    if (!from->is_ready || number != 0)
        return false;
    upgrade_begin(s);
    return true;
}

/* The upgrade may have been given up meanwhile. */
static bool hear_start(struct supervisor *s, struct engine_process *from, uint64_t number)
{
    if (!from->is_ready || number != 0)
        return false;
    upgrade_start(s);
    return true;
}

static bool hear_sessions(struct supervisor *s, struct engine_process *from, uint64_t number)
{
    struct old_engine *old = supervisor_old(s, from);
    if (!old || number > UINT32_MAX)
        return false;
    old->sessions = number;
    upgrade_tell_olds(s);
    return true;
}

static bool hear_load(struct supervisor *s, struct engine_process *from, uint64_t number)
{
    const struct old_engine *old = supervisor_old(s, from);
    if (old && !old->content) /* of the program before, which did not tell what it works with */
        return from->is_ready;
    return from->is_ready && loading_want(s, from, number);
}

/* ---- who may say what ---- */

enum { FROM_NOW = 1, FROM_OLD = 2, FROM_NEXT = 4 };

static const struct word {
    unsigned from;
    bool (*hear)(struct supervisor *s, struct engine_process *from, uint64_t number);
} words[WIRE_WORDS_END] = {
    [WIRE_ALIVE] = {FROM_NOW | FROM_OLD | FROM_NEXT, hear_alive},
    [WIRE_READY] = {FROM_NOW | FROM_NEXT, hear_ready},
    [WIRE_NOT_READY] = {FROM_NOW | FROM_NEXT, hear_not_ready},
    [WIRE_READ] = {FROM_NOW, hear_read},
    [WIRE_ACCEPTED] = {FROM_NOW, hear_accepted},
    [WIRE_REFUSED] = {FROM_NOW, hear_refused},
    [WIRE_CONFIRMED] = {FROM_NOW, hear_confirmed},
    [WIRE_LOGS] = {FROM_NOW | FROM_OLD, hear_logs},
    [WIRE_STOPPING] = {FROM_NOW, hear_stopping},
    [WIRE_UPGRADE] = {FROM_NOW, hear_upgrade},
    [WIRE_START] = {FROM_NOW, hear_start},
    [WIRE_SESSIONS] = {FROM_OLD, hear_sessions},
    [WIRE_LOAD] = {FROM_NOW | FROM_OLD, hear_load},
};

static bool word_take(struct supervisor *s, struct engine_process *from,
                      const struct wire_message *m)
{
    unsigned who = from == &s->now ? FROM_NOW : supervisor_old(s, from) ? FROM_OLD : FROM_NEXT;
    const struct word *w = &words[m->word];
    if (w->from & who)
        return w->hear(s, from, m->number);
    /* An engine that was just replaced may have said some of these while it served. */
    return who == FROM_OLD && w->from & FROM_NOW;
}

/* A message may change which engine is which: then the rest is read in another turn. */
void words_hear(struct supervisor *s, struct engine_process *from)
{
    pid_t pid = from->pid;
    for (int i = 0; i < WORDS_A_TURN && from->pid == pid && from->wire >= 0; i++) {
        struct wire_message m;
        int err = wire_hear(from->wire, &m);
        uint64_t now = clock_ms();
        if (err == -ERR_AGAIN)
            return;
        if (err == 0)
            from->heard_ms = now;
        if (err == 0 && now - from->window_ms >= WORDS_WINDOW_MS) {
            from->window_ms = now;
            from->words = 0;
        }
        if (err == -ERR_PROTOCOL)
            engine_kill(from, "it sent what is no message");
        else if (err < 0)
            engine_lose(from);
        else if (++from->words > WORDS_A_WINDOW)
            engine_kill(from, "it sent too many messages");
        else if (!word_take(s, from, &m))
            engine_kill(from, "it sent a message that has no place here");
    }
}
