/* SPDX-License-Identifier: ISC */
/* Telling the service manager how it goes. */
#pragma once

#include <stdint.h>

/* Sends a state as sd_notify(3) does ("READY=1"); nothing when nobody listens. */
void notify(const char *state);
/* Tells systemd that this process still works, as often as WatchdogSec= of the unit asks for:
 * called at least once a second. now_ms: monotonic. Silence ends the service, which is then started
 * again. */
void notify_alive(uint64_t now_ms);
