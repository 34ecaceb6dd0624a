/* SPDX-License-Identifier: ISC */
/* Reloading the configuration after a look at what would change. */
#pragma once

struct app;

/* Asks for the difference; a dialog shows it. */
void reload_ask(struct app *a);
/* That dialog was answered with yes. */
void reload_confirmed(struct app *a);
