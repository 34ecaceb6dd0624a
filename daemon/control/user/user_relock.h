/* SPDX-License-Identifier: ISC */
/* Locks that an engine could not be told of: made up for. Control thread. */
#pragma once

struct control;

/* Ends the sessions of all users that are locked now, in every engine. */
void user_relock(struct control *c);
