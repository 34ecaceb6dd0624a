/* SPDX-License-Identifier: ISC */
/* Telling the service manager how it goes. */
#pragma once

/* Sends a state as sd_notify(3) does ("READY=1"); nothing when nobody listens. */
void notify(const char *state);
