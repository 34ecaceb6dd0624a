/* SPDX-License-Identifier: ISC */
/* The dashboard: what is on which screen, and what keys do there. No terminal here: keys come in, a
 * screen goes out. */
#pragma once

#include "tui/act.h"
#include "tui/detail.h"
#include "tui/dialog.h"
#include "tui/facet.h"
#include "tui/keys.h"
#include "tui/menu.h"
#include "tui/node.h"
#include "tui/prompt.h"
#include "tui/settings.h"
#include "tui/shell.h"

#define APP_NODES_MAX (1 + MERGE_MAX)
#define APP_ERRORS_MAX 50
#define APP_PLACES_MAX 32

/* What lies over the screen. */
enum app_over { OVER_NONE, OVER_DETAIL, OVER_HELP, OVER_TEXT };

/* Menus over the screen. */
enum app_menu { MENU_ONLY, MENU_SORT, MENU_COLUMNS, MENU_FILTERS, MENU_GROUPS, MENU_FAILURES };

/* Where the operator was. */
struct app_place {
    enum screen_id screen;
    int focus;
    char filter[TABLE_FILTER_MAX];
    json_t *row;       /* of the details that were open (owned), NULL = none; */
    struct node *node; /* of that row */
    enum pane pane;
};

/* The row that keys are about: the selected one, or that of the details, or one picked there. */
struct app_object {
    struct node *node; /* the daemon that it is of, or all */
    enum pane pane;
    const json_t *row; /* borrowed; NULL = there is none */
    char id[TABLE_ID_MAX];
};

struct app_error {
    uint64_t at_ms; /* Unix time */
    char text[512];
};

struct app {
    struct node *nodes; /* one for each -s; before several of them all as one */
    size_t n_nodes, at;
    enum screen_id screen;
    int focus[SCREEN_COUNT]; /* pane that has the keys */
    struct settings settings;

    enum app_over over;
    struct text_page page;
    struct detail detail;
    struct dialog dialog;
    struct prompt prompt;
    struct menu menu;
    struct act act;
    struct shell shell;

    char message[512]; /* last outcome, in place of the keys until the next one */
    bool is_message_bad;
    char told[512]; /* ends of operations that wait until nothing is being asked or typed; */
    bool is_told_bad;
    uint64_t told_until_ms; /* a message that came by itself stays so long, whatever is pressed */
    struct app_error errors[APP_ERRORS_MAX]; /* a ring */
    size_t n_errors;

    struct app_place places[APP_PLACES_MAX]; /* the way here, the last one at the end */
    size_t n_places;

    struct screen view;
    bool is_paused;
    bool wants_reload;            /* the difference was asked for: a question follows */
    const struct command *wanted; /* whose answer will become a page, */
    char wanted_id[TABLE_ID_MAX]; /* and about which row */
    char filter_before[TABLE_FILTER_MAX];
    char filter_typed[TABLE_FILTER_MAX]; /* the last that was typed, */
    uint64_t filter_typed_ms;            /* and when it changed */
    json_t *marking; /* rows found so far while all of a table are being marked, */
    size_t marking_place, marking_offset; /* the daemon of several that is asked, and how far; */
    unsigned marking_losses;              /* its losses when it was asked; */
    char marking_left[256];               /* who has rows that could not be marked */
    struct row_table *marking_table;
    enum action after_marking; /* what was pressed meanwhile */

    /* What the terminal shall do; whoever does it resets it. */
    char *clip; /* owned */
    bool wants_redraw, wants_suspend, is_over;
};

struct app_options {
    const char *sockets[MERGE_MAX];
    size_t n_sockets;
    enum glyphs glyphs;
    bool is_read_only;
    int screen, focus; /* screen -1 = as the settings say */
};

/* settings are taken over. */
int app_init(struct app *a, const struct app_options *o, const struct settings *settings) NODISCARD;
void app_fini(struct app *a);
/* The settings as they are now; borrowed. */
const struct settings *app_settings(struct app *a);
/* A character or a key of enum input. */
void app_key(struct app *a, int key);
/* Pasted text: it goes into the field or line that is being edited, and never acts. */
void app_paste(struct app *a, struct str text);
/* Whether a question is open that was not drawn yet: what was typed so far is no answer to it. */
bool app_has_new_question(const struct app *a);
/* wheel: -1 up, 1 down, 0 = a click. */
void app_click(struct app *a, int row, int col, int wheel);
/* Does what is due: answers, questions, output of commands. Returns ms until the next call is
 * needed. */
int app_tick(struct app *a);
/* True when everything on the screen has been answered once. */
bool app_is_complete(const struct app *a);
/* Draws everything for a size into a->view. */
void app_draw(struct app *a, int rows, int cols);

/* The screen whose tab was drawn at a place, -1 = none. */
int app_tab_at(const struct app *a, int row, int col);

/* ---- for the parts of the dashboard ---- */

/* The daemon whose tab is open. */
struct node *app_node(const struct app *a);
/* The list that has the focus on the screen that is shown. */
enum pane app_pane(const struct app *a);
/* The pane whose row keys act on: that of the details while they are shown, or of a row there. */
enum pane app_object_pane(const struct app *a);
struct app_object app_object(const struct app *a);
struct list_view_view *app_list(const struct app *a);
struct row_table *app_table(const struct app *a);
/* Whether a row of the key table is valid where we are. */
bool app_has_key(const struct app *a, const struct key_row *k);
/* The valid row of a key; NULL = it does nothing here. */
const struct key_row *app_find_key(const struct app *a, int key);
/* Says something in the last line; what is bad is kept for '!'. */
void app_say(struct app *a, bool is_bad, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void app_refresh(struct app *a);
void app_show(struct app *a, enum screen_id screen, int focus);
/* The same for one who can come back. */
void app_change_screen(struct app *a, enum screen_id screen);
/* Sorts the list that has the keys by a column; once more turns the order round. */
void app_sort_by(struct app *a, const char *column);
/* ---- menus about a list: app_columns.c ---- */

/* Open a menu about the list that has the keys: by which column it is sorted, which columns it
 * shows, which of the named filters it has. */
void app_ask_sort(struct app *a);
void app_ask_columns(struct app *a);
void app_ask_filters(struct app *a);
/* Shows or hides a column of the list that has the keys ("" = the usual ones), and asks on. */
void app_pick_column(struct app *a, const char *column);
/* Sets the filter of a name. */
void app_use_filter(struct app *a, struct str name);
/* Gives the filter of the list a name; "-NAME" forgets it. */
void app_name_filter(struct app *a, struct str name);
/* Filters the list that has the keys; marks are taken away. */
void app_set_filter(struct app *a, const char *filter);
/* Says why there is no row to act on. */
void app_say_no_row(struct app *a);
/* ---- ends of operations: app_ops.c ---- */

/* An operation is over: what became of it is asked and will be told. n: whose list it was in. */
void app_op_ended(struct node *n, const json_t *op);
/* Tells what waits to be told, when nothing is being asked or typed. */
void app_tell(struct app *a);

/* A page over the screen; the caller fills a->page afterwards. */
void app_open_page(struct app *a, enum app_over over, const char *title);
void app_close_page(struct app *a);
/* Does what an action of the key table means here. */
void app_do(struct app *a, enum action action);
/* Saves to a new file what lies over the screen, whole, or else the screen as it is seen. */
void app_save(struct app *a, const char *path);
/* The keys that are valid here; the last errors. */
void app_show_help(struct app *a);
void app_show_errors(struct app *a);
/* Asks a command about the selected row, or that of the details; the answer becomes a page. words
 * stand in the last line until then. */
void app_look_up(struct app *a, const char *noun, const char *verb, const char *param,
                 const char *words);

/* ---- ways: app_nav.c ---- */

/* Remembers this place; whoever leaves it for another one comes back to it. */
void app_leave_place(struct app *a);
void app_go_back(struct app *a);
void app_forget_places(struct app *a);
/* The way here as words, "sessions > "; owned, NULL without memory. */
char *app_path(const struct app *a);
/* The details of a row of a pane, which may be known by its name alone. */
void app_open_detail(struct app *a, struct node *n, enum pane p, const json_t *row);
/* The page of the user, backend or address that the object is about. */
void app_go(struct app *a, enum facet f);
/* Asks by which of the object's facets sessions or events shall be filtered; what was picked. */
void app_ask_only(struct app *a);
void app_only(struct app *a, const char *name);
/* The sessions of the selected group; a filter for them, to a buffer. -ERR_NOMEM, -ERR_NO_MATCH
 * when there is no such filter. */
void app_only_group(struct app *a);
int app_group_filter(const struct app *a, const json_t *row, struct buf *filter) NODISCARD;
/* By what groups can be made. */
struct app_group_row {
    enum pane pane;
    int key; /* letter in the menu */
    const char *by, *text;
};
extern const struct app_group_row app_groups[];
extern const size_t app_n_groups;
/* Asks by what sessions or failed logins shall be grouped; what was picked. */
void app_ask_groups(struct app *a);
void app_group(struct app *a, enum pane p, const char *by);
/* By what groups are made now, as people say it. */
const char *app_grouping(const struct app *a, enum pane p);
