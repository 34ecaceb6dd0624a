/* SPDX-License-Identifier: ISC */
/* Streams of events to operators who watch. All functions: control thread. */
#pragma once

#include "control/request.h"

struct control;
struct events;

/* 0 or -ERR_NOMEM. */
int events_new(struct control *c, struct events **ret) NODISCARD;
void events_free(struct events *e); /* NULL is fine */
