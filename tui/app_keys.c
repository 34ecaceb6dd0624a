/* SPDX-License-Identifier: ISC */
/* What keys and the mouse do. */
#include "base/clock.h"
#include "tui/app.h"
#include "tui/query.h"
#include "tui/reload.h"

/* ---- dialogs and the prompt take the keys first ---- */

static void dialog_answered(struct app *a, bool is_yes)
{
    static void (*const confirmed[DIALOG_OWNER_COUNT])(struct app * a) = {
        [DIALOG_OF_ACT] = act_confirmed,
        [DIALOG_OF_SHELL] = shell_confirmed,
        [DIALOG_OF_RELOAD] = reload_confirmed,
    };
    if (is_yes) {
        confirmed[a->dialog.owner](a);
        return;
    }
    dialog_close(&a->dialog);
    if (a->dialog.owner == DIALOG_OF_ACT)
        act_fini(&a->act);
    else if (a->dialog.owner == DIALOG_OF_SHELL)
        shell_fini(&a->shell);
    app_say(a, false, "nothing was done");
}

/* What editors call leaving and saving; and a filter's name. */
static bool prompt_is_own(struct app *a, const char *text)
{
    struct str rest = str_of(text), word = str_word(&rest), path = str_trim(rest);
    AUTO_FREE char *name = str_dup(path);
    if (str_eq(word, STR("q")) || str_eq(word, STR("quit")))
        a->is_over = true;
    else if (str_eq(word, STR("w")) && path.n && name)
        app_save(a, name);
    else if (str_eq(word, STR("f")) && path.n)
        app_name_filter(a, path);
    else
        return false;
    return true;
}

static void prompt_answered(struct app *a, bool is_done)
{
    struct prompt *p = &a->prompt;
    AUTO_FREE char *text = str_dup_c(p->edit.text);
    enum prompt_kind kind = p->kind;
    char filter[TABLE_FILTER_MAX];
    prompt_close(p);
    if (!text)
        return;
    if (is_done && kind == PROMPT_COMMAND && prompt_is_own(a, text)) {
        prompt_remember(p, kind, text);
    } else if (kind == PROMPT_FILTER) {
        app_set_filter(
            a, is_done ? query_typed(text, pane_rows[app_pane(a)].search, filter, sizeof(filter))
                       : a->filter_before);
        if (is_done)
            prompt_remember(p, kind, text);
    } else if (is_done && text[0] && kind == PROMPT_COMMAND) {
        prompt_remember(p, kind, text);
        shell_run(a, app_node(a), text);
    } else if (is_done && text[0]) {
        app_save(a, text);
    }
}

static void menu_answered(struct app *a, enum menu_result r)
{
    char name[sizeof(a->menu.items[0].name)];
    if (r == MENU_OPEN)
        return;
    (void)str_copy(name, sizeof(name), str_of(a->menu.items[a->menu.at].name));
    menu_close(&a->menu);
    if (r == MENU_PICKED && a->menu.kind == MENU_ONLY)
        app_only(a, name);
    else if (r == MENU_PICKED && a->menu.kind == MENU_COLUMNS)
        app_pick_column(a, name);
    else if (r == MENU_PICKED && a->menu.kind == MENU_FILTERS)
        app_use_filter(a, str_of(name));
    else if (r == MENU_PICKED && a->menu.kind >= MENU_GROUPS)
        app_group(a, a->menu.kind == MENU_GROUPS ? PANE_GROUPS : PANE_FAILURES, name);
    else if (r == MENU_PICKED && a->menu.kind == MENU_SORT)
        app_sort_by(a, name);
}

static bool app_modal_key(struct app *a, int key)
{
    if (a->dialog.is_open) {
        enum dialog_result r = dialog_key(&a->dialog, key);
        if (r != DIALOG_OPEN)
            dialog_answered(a, r == DIALOG_YES);
        return true;
    }
    if (a->menu.is_open) {
        menu_answered(a, menu_key(&a->menu, key));
        return true;
    }
    if (!a->prompt.is_open)
        return false;
    enum prompt_result r = prompt_key(&a->prompt, key);
    if (r == PROMPT_COMPLETE && a->prompt.kind != PROMPT_SAVE)
        shell_complete(a);
    else if (r == PROMPT_DONE || r == PROMPT_LEFT)
        prompt_answered(a, r == PROMPT_DONE);
    return true;
}

void app_key(struct app *a, int key)
{
    if (key == INPUT_RESIZE || key == INPUT_NONE)
        return;
    if (key == INPUT_CTRL('Z') || key == INPUT_CTRL('L')) { /* also while something is typed */
        app_do(a, key == INPUT_CTRL('Z') ? ACTION_SUSPEND : ACTION_REDRAW);
        return;
    }
    if (app_modal_key(a, key))
        return;
    if (clock_ms() >= a->told_until_ms)
        a->message[0] = '\0';
    /* A question that is still to come would find the hands at something else. */
    if (a->wants_reload || a->shell.phase == SHELL_COUNT) {
        a->wants_reload = false;
        shell_stop(&a->shell);
        app_say(a, false, "nothing was asked: another key came before the question");
    }
    /* Rows within details are picked before the page moves. */
    bool is_down = key == INPUT_DOWN || key == 'j', is_up = key == INPUT_UP || key == 'k';
    if (a->over == OVER_DETAIL && (is_down || is_up)) {
        detail_move(&a->detail, &a->page, is_down ? 1 : -1);
        return;
    }
    if (a->over != OVER_NONE && text_page_key(&a->page, key))
        return;
    _Static_assert(SCREEN_COUNT <= 10, "each screen has a digit");
    int screen = key >= '1' && key <= '9' ? key - '1' : key == '0' ? 9 : SCREEN_COUNT;
    if (screen < SCREEN_COUNT && node_has_screen(app_node(a), (enum screen_id)screen)) {
        app_change_screen(a, (enum screen_id)screen);
        return;
    }
    const struct key_row *k = app_find_key(a, key);
    char why[128];
    if (k && !node_may(app_node(a), k->role))
        app_say(a, true, "%s", node_may_not(app_node(a), k->role, why));
    else if (k)
        app_do(a, k->action);
}

bool app_has_new_question(const struct app *a)
{
    return a->dialog.is_open && !a->dialog.is_drawn;
}

void app_paste(struct app *a, struct str text)
{
    if (a->dialog.is_open)
        dialog_paste(&a->dialog, text);
    else if (a->prompt.is_open)
        prompt_paste(&a->prompt, text);
    else
        app_say(a, false, "text was pasted: it does nothing here; / and : take it");
}

/* ---- the mouse ---- */

static void click_list(struct app *a, int row, int col)
{
    for (int i = 0; i < 2; i++) {
        struct list_view_view *l = &app_node(a)->lists[screen_rows[a->screen].panes[i]];
        const char *column = list_view_title_at(l, row, col);
        long rank = list_view_row_at(l, row);
        if (!column && rank < 0)
            continue;
        a->focus[a->screen] = i;
        if (rank >= 0)
            row_table_move(&l->table, rank - (long)l->table.index);
        else
            row_table_sort_by(&l->table, column);
        app_refresh(a);
        return;
    }
}

void app_click(struct app *a, int row, int col, int wheel)
{
    int tab = app_tab_at(a, row, col);
    if (a->dialog.is_open || a->prompt.is_open || a->menu.is_open)
        return;
    if (wheel && a->over != OVER_NONE)
        for (int i = 0; i < 3; i++)
            (void)text_page_key(&a->page, wheel > 0 ? INPUT_DOWN : INPUT_UP);
    else if (wheel)
        for (int i = 0; i < 3; i++)
            app_do(a, wheel > 0 ? ACTION_DOWN : ACTION_UP);
    else if (tab >= 0)
        app_change_screen(a, (enum screen_id)tab);
    else if (a->over == OVER_NONE && a->screen != SCREEN_OVERVIEW)
        click_list(a, row, col);
    else if (a->over == OVER_NONE)
        (void)overview_pick_at(&app_node(a)->overview, row, col);
}
