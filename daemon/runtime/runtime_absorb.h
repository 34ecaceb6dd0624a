/* SPDX-License-Identifier: ISC */
/* Runtime edits that the file has caught up with. */
#pragma once

struct control;

/* Forgets what the edits and the running configuration both say, in its turn: in memory and in the
 * store. The outcome is logged. Thread: control. */
void runtime_absorb_post(struct control *c);
