/* SPDX-License-Identifier: ISC */
/* The dashboard: what is on which screen, and what keys do there. No terminal here: keys come in, a
 * screen goes out. */
#pragma once

#include "tui/dialog.h"
#include "tui/feed.h"
#include "tui/keys.h"
#include "tui/overview.h"
#include "tui/table.h"

#define APP_INTERVAL_MIN_MS 250
#define APP_INTERVAL_MAX_MS 60000

struct app;

/* Whose list an answer is. */
struct list_request {
    struct app *app;
    enum view view;
};

struct app {
    struct list_request requests[VIEW_COUNT];
    struct feed *feed;
    struct screen screen;
    struct dialog dialog;
    enum view view;
    struct table tables[VIEW_COUNT];
    struct overview overview;
    json_t *status;    /* of system.status; NULL before the first */
    char message[512]; /* last outcome, in the footer until the next key */
    char last_error[512];
    bool is_message_bad;
    uint64_t interval_ms, next_ms, refreshed_ms; /* monotonic */
    size_t page;                                 /* rows of the list that fit */
    bool is_paused, is_read_only, is_over, is_lost, has_mouse, wants_redraw;
    enum action asked;                   /* what the open dialog is about */
    json_t *targets;                     /* captured when the key was pressed */
    size_t n_wanted, n_done, n_failed;   /* answers of an action under way */
    const struct command *asked_command; /* of the command line */
};

struct app_options {
    const char *socket;
    uint64_t interval_ms;
    bool is_read_only, is_utf8;
    enum view view;
};

int app_init(struct app *a, const struct app_options *o) NODISCARD;
void app_fini(struct app *a);
/* A key of enum term_key or a character. */
void app_key(struct app *a, int key);
void app_click(struct app *a, int row, int col, int wheel);
/* Asks for what is due. Returns ms until the next call is needed. */
int app_tick(struct app *a);
/* Draws everything for a size. */
void app_draw(struct app *a, int rows, int cols);
/* Name of a view, for --screen; -1 when unknown. */
const char *app_view_name(enum view v);
int app_view_find(const char *name);

/* act.c: what changes things */
void act_key(struct app *a, const struct key_row *k);
/* The dialog was answered with yes. */
void act_confirmed(struct app *a);
void act_command_line(struct app *a, const char *line);
void act_complete(struct app *a);

/* shared */
void app_say(struct app *a, bool is_bad, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
bool app_may(const struct app *a, enum commands_role role);
/* Fetches at the next tick. */
void app_refresh(struct app *a);
/* Text of a result as mailproxyctl prints it; owned. */
char *app_result_text(const struct command *c, const json_t *result, int width, bool is_utf8);
