/* SPDX-License-Identifier: ISC */
/* Inside of live streams: what was asked here (fleet_live_follow.c), and what goes to other nodes
 * (fleet_live_feed.c). */
#pragma once

#include "fleet/live/fleet_live.h"
#include "fleet/seal.h"

#define LIVE_ID_MAX 64
#define LIVE_LIFE_MIN_MS 3000
#define LIVE_SCHEMA 1

struct fleet_live {
    struct fleet_watch watch;
    struct control *control;
    struct fleet *fleet;
    struct loop *loop;
    struct seal seal;
    char *node, *key; /* key: of the stream that this engine reads */
    struct list follows, feeds;
    struct loop_timer tick;
    json_t *seen;    /* see fleet_message_take; of the engines in: */
    json_t *engines; /* name of a node -> its holder */
    uint64_t number;
    uint64_t lost;
    uint64_t life_ms; /* how long a wish holds; it is told again three times as often */
};

/* ---- fleet_live_send.c ---- */

/* Sends a message (a reference is taken; NULL is fine) to the stream with that key, sealed. */
void fleet_live_send(struct fleet_live *l, const char *to, json_t *m);
/* The timer that both parts share runs. */
void fleet_live_wake(struct fleet_live *l);

/* ---- fleet_live_feed.c ---- */

/* Another node wishes a stream, or still does; or no longer. */
void fleet_feed_wished(struct fleet_live *l, const char *from, const json_t *m);
void fleet_feed_stopped(struct fleet_live *l, const char *from, const json_t *m);
/* Sends what there is; false: there is no feed. */
bool fleet_feeds_tick(struct fleet_live *l);
void fleet_feeds_fini(struct fleet_live *l);

/* ---- fleet_live_follow.c ---- */

/* Lines of another node, or the end of its stream. */
void fleet_follow_heard(struct fleet_live *l, const char *from, const json_t *m);
/* Nodes may have come or gone. */
void fleet_follows_check(struct fleet_live *l);
/* Tells the wishes again where it is time; false: there is none. */
bool fleet_follows_tick(struct fleet_live *l);
void fleet_follows_fini(struct fleet_live *l);
