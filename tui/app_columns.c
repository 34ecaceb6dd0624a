/* SPDX-License-Identifier: ISC */
/* Menus about the list that has the keys: its order, its columns, filters that have names. */
#include "tui/app.h"

/* ---- order ---- */

/* A letter for each column: the first of its name that no column before it has, when possible. */
static void column_letters(const struct row_table *t, char *letters)
{
    static const char all[] = "abcdefghilmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    bool is_taken[128] = {['j'] = true, ['k'] = true}; /* these move */
    for (int depth = 0; depth < 2; depth++)            /* first letters go first */
        for (size_t i = 0; i < t->n_columns; i++) {
            const char *name = t->columns[i].name;
            for (size_t k = 0; !letters[i] && name[k] && (depth > 0 || k == 0); k++)
                if (name[k] > 0 && name[k] != '_' && !is_taken[(int)name[k]])
                    is_taken[(int)(letters[i] = name[k])] = true;
            for (const char *c = all; depth > 0 && !letters[i] && *c; c++)
                if (!is_taken[(int)*c])
                    is_taken[(int)(letters[i] = *c)] = true;
        }
}

#define SORT_NODE '1' /* no column has a digit */
#define SORT_LINE "%-14s %s%s"

static const char *sort_now(const struct row_table *t, bool is_now)
{
    return !is_now ? "" : t->is_descending ? "  (now, descending)" : "  (now)";
}

void app_ask_sort(struct app *a)
{
    const struct row_table *t = app_table(a);
    char letters[MENU_ITEMS_MAX] = "";
    menu_open(&a->menu, MENU_SORT, "Sort by", "the same again turns it round; Esc leaves");
    if (t->n_columns > ARRAY_LEN(letters))
        return;
    column_letters(t, letters);
    if (t->has_node) {
        bool is_now = strcmp(TABLE_NODE, t->sort) == 0;
        menu_add(&a->menu, SORT_NODE, TABLE_NODE, is_now, SORT_LINE, "NODE", "the daemon of a row",
                 sort_now(t, is_now));
    }
    for (size_t i = 0; i < t->n_columns; i++) {
        const struct command_column *c = &t->columns[i];
        bool is_now = strcmp(c->name, t->sort) == 0;
        menu_add(&a->menu, letters[i], c->name, is_now, SORT_LINE, c->title, c->help,
                 sort_now(t, is_now));
    }
}

/* ---- columns ---- */

#define COLUMNS_USUAL '.'

static void ask_columns_at(struct app *a, size_t at)
{
    const struct list_view_view *l = app_list(a);
    const struct row_table *t = &l->table;
    char letters[MENU_ITEMS_MAX] = "";
    menu_open(&a->menu, MENU_COLUMNS, "Columns", "a letter shows or hides, Esc leaves");
    if (t->n_columns >= ARRAY_LEN(letters))
        return;
    column_letters(t, letters);
    for (size_t i = 0; i < t->n_columns; i++) {
        const struct command_column *c = &t->columns[i];
        bool is_shown = list_view_has_column(l, i);
        menu_add(&a->menu, letters[i], c->name, is_shown, "[%c] %-14s %s", is_shown ? 'x' : ' ',
                 c->title, c->help);
    }
    menu_add(&a->menu, COLUMNS_USUAL, "", false, "the usual ones");
    a->menu.at = at < a->menu.n ? at : 0;
}

void app_ask_columns(struct app *a)
{
    app_list(a)->is_wide = false;
    ask_columns_at(a, 0);
}

void app_pick_column(struct app *a, const char *column)
{
    struct list_view_view *l = app_list(a);
    size_t at = 0;
    while (at < l->table.n_columns && strcmp(l->table.columns[at].name, column) != 0)
        at++;
    list_view_toggle_column(l, column[0] ? column : NULL);
    if (column[0])
        ask_columns_at(a, at);
}

/* ---- filters with names ---- */

void app_ask_filters(struct app *a)
{
    const struct settings *s = &a->settings;
    const char *pane = pane_rows[app_pane(a)].name;
    menu_open(&a->menu, MENU_FILTERS, "Filters", "a letter picks, Esc leaves");
    for (size_t i = 0; i < s->n_filters; i++)
        if (strcmp(s->filters[i].pane, pane) == 0)
            menu_add(&a->menu, 0, s->filters[i].name,
                     strcmp(s->filters[i].text, app_table(a)->filter) == 0, "%-16s %s",
                     s->filters[i].name, s->filters[i].text);
    if (a->menu.n > 0)
        return;
    menu_close(&a->menu);
    app_say(a, false, "no filter of this list has a name: set one with /, then :f NAME");
}

void app_use_filter(struct app *a, struct str name)
{
    const struct settings_filter *f = settings_filter(&a->settings, app_pane(a), name);
    if (f)
        app_set_filter(a, f->text);
}

void app_name_filter(struct app *a, struct str name)
{
    bool is_gone = name.n > 1 && name.p[0] == '-';
    const char *text = is_gone ? "" : app_table(a)->filter;
    name = is_gone ? str_skip(name, 1) : name;
    if (!is_gone && !text[0]) {
        app_say(a, true, "there is no filter that could have a name: / sets one");
        return;
    }
    if (is_gone && !settings_filter(&a->settings, app_pane(a), name)) {
        app_say(a, true, "no filter of this list has the name %.*s", (int)name.n, name.p);
        return;
    }
    int err = settings_name_filter(&a->settings, app_pane(a), name, text);
    if (err < 0)
        app_say(a, true, "the filter has no name now: %s",
                err == -ERR_TOO_MANY ? "there are too many" : err_text(err));
    else
        app_say(a, false, is_gone ? "forgotten: %.*s" : "F finds this filter as %.*s", (int)name.n,
                name.p);
}
