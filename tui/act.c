/* SPDX-License-Identifier: ISC */
/* What changes things: dialogs for the daemon's commands, and the command line. */
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "ctl/args.h"
#include "tui/app.h"

/* What a key means for the rows of a view: one command, asked about first. */
static const struct deed {
    enum view view;
    enum action action;
    const char *noun, *verb;
    const char *target; /* parameter that takes the rows; one request each unless is_many */
    bool is_many;
    const char *words;                     /* "Kill %zu session(s)" */
    const char *fields[DIALOG_FIELDS_MAX]; /* parameters that the dialog asks for */
} deeds[] = {
    {VIEW_SESSIONS,
     ACTION_KILL,
     "session",
     "kill",
     "filter",
     true,
     "End",
     {"text", "grace", "reason"}},
    {VIEW_USERS,
     ACTION_KILL,
     "user",
     "kick",
     "name",
     true,
     "End the sessions of",
     {"text", "reason"}},
    {VIEW_USERS,
     ACTION_LOCK,
     "user",
     "lock",
     "name",
     false,
     "Lock out",
     {"text", "until", "reason"}},
    {VIEW_USERS, ACTION_UNLOCK, "user", "unlock", "name", false, "Unlock", {"reason"}},
    {VIEW_USERS, ACTION_HOLD, "user", "hold", "name", false, "Hold the logins of", {"reason"}},
    {VIEW_USERS, ACTION_RELEASE, "user", "release", "name", false, "Release", {"reason"}},
    {VIEW_BACKENDS,
     ACTION_DRAIN,
     "backend",
     "drain",
     "name",
     false,
     "Drain",
     {"deadline", "rate", "reason"}},
    {VIEW_BACKENDS, ACTION_READY, "backend", "ready", "name", false, "Make ready", {"reason"}},
    {VIEW_BACKENDS, ACTION_DISABLE, "backend", "disable", "name", false, "Disable", {"reason"}},
    {VIEW_BACKENDS,
     ACTION_HOLD,
     "backend",
     "hold",
     "name",
     false,
     "Hold the logins for",
     {"reason"}},
    {VIEW_BACKENDS, ACTION_RELEASE, "backend", "release", "name", false, "Release", {"reason"}},
    {VIEW_BACKENDS,
     ACTION_WEIGHT,
     "backend",
     "weight",
     "name",
     false,
     "Change the weight of",
     {"weight", "reason"}},
};

static const struct deed *deed_find(enum view v, enum action action)
{
    for (size_t i = 0; i < ARRAY_LEN(deeds); i++)
        if (deeds[i].view == v && deeds[i].action == action)
            return &deeds[i];
    return NULL;
}

/* ---- one row ---- */

static void on_pane(void *arg, const json_t *result, const struct client_error *error)
{
    struct app *a = arg;
    if (!result) {
        app_say(a, true, "%s", error->text ? error->text : "failed");
        return;
    }
    char *text = app_result_text(a->asked_command, result, a->screen.cols - 2, a->screen.is_utf8);
    if (text)
        dialog_pane(&a->dialog, a->asked_command->method, text);
}

static void act_show(struct app *a, const char *noun, const char *verb, const char *param)
{
    const struct table *t = &a->tables[a->view];
    const json_t *row = table_selected(t);
    char id[256];
    a->asked_command = commands_find(noun, verb);
    if (row && a->asked_command)
        (void)feed_ask(a->feed, a->asked_command->method,
                       json_pack("{s:s}", param, table_identity(t, row, id)), on_pane, a);
}

/* Views without a command for one row show what the list knows. */
static void act_details(struct app *a)
{
    const struct table *t = &a->tables[a->view];
    const struct command *show = t->command ? commands_find(t->command->noun, "show") : NULL;
    if (show) {
        act_show(a, show->noun, "show", commands_arg(show, "id") ? "id" : "name");
        return;
    }
    const json_t *row = table_selected(t);
    char *text =
        row ? app_result_text(t->command, row, a->screen.cols - 2, a->screen.is_utf8) : NULL;
    if (text)
        dialog_pane(&a->dialog, "Details", text);
}

/* ---- deeds ---- */

static void deed_ask(struct app *a, const struct deed *d)
{
    const struct command *c = commands_find(d->noun, d->verb);
    json_decref(a->targets);
    a->targets = table_targets(&a->tables[a->view]);
    size_t n = json_array_size(a->targets);
    if (n == 0 || !c) {
        app_say(a, true, "no row is selected");
        return;
    }
    if (n == 1)
        dialog_confirm(&a->dialog, "%s %s %s?", d->words, d->noun,
                       json_string_value(json_array_get(a->targets, 0)));
    else
        dialog_confirm(&a->dialog, "%s %zu %s?", d->words, n, commands_plural(d->noun));
    for (size_t i = 0; i < DIALOG_FIELDS_MAX && d->fields[i]; i++)
        dialog_add(&a->dialog, d->fields[i], "");
    /* No is what Enter finds first; Tab leads into the fields. */
    a->dialog.focus = a->dialog.n_fields;
    a->asked = d->action;
}

static void on_deed(void *arg, const json_t *result, const struct client_error *error)
{
    struct app *a = arg;
    json_int_t count = json_integer_value(json_object_get(result, "count"));
    if (result)
        a->n_done += json_object_get(result, "count") ? (size_t)count : 1;
    else
        a->n_failed++;
    if (!result)
        app_say(a, true, "%s%s%s", error->text ? error->text : "failed", error->hint ? " - " : "",
                error->hint ? error->hint : "");
    else if (a->n_failed == 0)
        app_say(a, false, "done: %zu", a->n_done);
    app_refresh(a);
}

/* The dialog's texts as parameters of the command's types; empty ones are left out. */
static json_t *deed_params(const struct app *a, const struct deed *d, const struct command *c)
{
    json_t *params = json_object();
    for (size_t i = 0; i < a->dialog.n_fields; i++) {
        const char *value = dialog_value(&a->dialog, i);
        const struct command_arg *arg = commands_arg(c, d->fields[i]);
        uint64_t n;
        if (!value[0] || !arg)
            continue;
        bool is_number =
            arg->type == COMMANDS_NUMBER && str_to_u64(str_of(value), INT64_MAX, &n) == 0;
        json_object_set_new(params, arg->name,
                            is_number ? json_integer((json_int_t)n) : json_string(value));
    }
    return params;
}

static void deed_send(struct app *a, const struct deed *d)
{
    const struct command *c = commands_find(d->noun, d->verb);
    size_t n = json_array_size(a->targets);
    a->n_done = a->n_failed = 0;
    if (d->is_many) {
        json_t *params = deed_params(a, d, c);
        json_object_set(params, d->target, a->targets);
        (void)feed_ask(a->feed, c->method, params, on_deed, a);
    }
    for (size_t i = 0; !d->is_many && i < n; i++) {
        json_t *params = deed_params(a, d, c);
        json_object_set(params, d->target, json_array_get(a->targets, i));
        if (!feed_ask(a->feed, c->method, params, on_deed, a))
            a->n_failed++;
    }
    table_unmark_all(&a->tables[a->view]);
}

/* ---- reload: what would change is shown before ---- */

static void on_diff(void *arg, const json_t *result, const struct client_error *error)
{
    struct app *a = arg;
    const json_t *rows = json_object_get(result, "rows");
    AUTO_BUF keys = BUF_INIT;
    size_t i;
    const json_t *row;
    if (!result) {
        app_say(a, true, "%s", error->text ? error->text : "failed");
        return;
    }
    json_array_foreach (rows, i, row)
        if (i < 4 && buf_printf(&keys, " %s", json_string_value(json_object_get(row, "path"))) < 0)
            return;
    const char *list = buf_cstr(&keys);
    dialog_confirm(&a->dialog, "Reload the configuration? %zu keys differ:%s%s",
                   json_array_size(rows), list ? list : "",
                   json_array_size(rows) > 4 ? " ..." : "");
    a->asked = ACTION_RELOAD;
}

static void on_reloaded(void *arg, const json_t *result, const struct client_error *error)
{
    struct app *a = arg;
    if (result)
        app_say(a, false, "reloaded: %zu keys changed",
                json_array_size(json_object_get(result, "rows")));
    else
        app_say(a, true, "%s", error->text ? error->text : "not reloaded");
}

/* ---- keys ---- */

static void act_edit(struct app *a)
{
    const struct table *t = &a->tables[a->view];
    const json_t *row = table_selected(t);
    char id[256];
    AUTO_FREE char *line =
        row ? str_printf("%s set %s --", t->command->noun, table_identity(t, row, id)) : NULL;
    if (!line)
        return;
    a->asked = ACTION_COMMAND;
    dialog_line(&a->dialog, ":", line);
}

void act_key(struct app *a, const struct key_row *k)
{
    const struct deed *d = deed_find(a->view, k->action);
    if (d)
        deed_ask(a, d);
    else if (k->action == ACTION_DETAILS)
        act_details(a);
    else if (k->action == ACTION_EXPLAIN)
        act_show(a, "route", "explain", "user");
    else if (k->action == ACTION_CHECK)
        act_show(a, "backend", "check", "name");
    else if (k->action == ACTION_EDIT)
        act_edit(a);
    else if (k->action == ACTION_RELOAD)
        (void)feed_ask(a->feed, "config.diff", NULL, on_diff, a);
}

void act_confirmed(struct app *a)
{
    const struct deed *d = deed_find(a->view, a->asked);
    if (d)
        deed_send(a, d);
    else if (a->asked == ACTION_RELOAD)
        (void)feed_ask(a->feed, "config.reload", NULL, on_reloaded, a);
}

/* ---- command line ---- */

#define WORDS_MAX 64

/* Cuts a line into words in place; blanks within single or double quotes belong to a word. Returns
 * how many, -1 for an open quote. */
static int line_split(char *line, const char *words[WORDS_MAX])
{
    int n = 0;
    char *to = line;
    for (char *p = line; *p && n < WORDS_MAX;) {
        char quote = 0;
        while (*p == ' ')
            p++;
        if (!*p)
            break;
        words[n++] = to;
        for (; *p && (quote || *p != ' '); p++) {
            if (quote ? *p == quote : *p == '"' || *p == '\'')
                quote = quote ? 0 : *p;
            else
                *to++ = *p;
        }
        if (quote)
            return -1;
        if (*p)
            p++;
        *to++ = '\0';
    }
    return n;
}

static void act_send(struct app *a, struct args *args)
{
    if (!args->command)
        app_say(a, true, "a noun and a verb are needed");
    else if (args->n_secrets > 0 || args->file_arg)
        app_say(a, true, "secrets and files: use mailproxyctl");
    else if (args->command->flags & COMMANDS_STREAM)
        app_say(a, true, "events have a screen of their own");
    else if (!app_may(a, args->command->role))
        app_say(a, true, "not permitted");
    else {
        a->asked_command = args->command;
        (void)feed_ask(a->feed, args->command->method, STEAL(args->params), on_pane, a);
        app_refresh(a);
    }
}

void act_command_line(struct app *a, const char *line)
{
    AUTO_FREE char *copy = str_dup_c(line);
    const char *words[WORDS_MAX];
    struct args_options defaults;
    struct args args = {0};
    struct problem problem = {0};
    int n = copy ? line_split(copy, words) : -1;
    if (n <= 0) {
        if (n < 0)
            app_say(a, true, "a quote is open");
        return;
    }
    dialog_remember(&a->dialog, line);
    args_options_init(&defaults);
    if (args_parse(&args, &defaults, (size_t)n, words, &problem) != 0)
        app_say(a, true, "%s%s%s", problem.text ? problem.text : "not understood",
                problem.hint ? " - " : "", problem.hint ? problem.hint : "");
    else
        act_send(a, &args);
    args_fini(&args);
    problem_fini(&problem);
}

/* Completes the last word from the command table: noun, verb, option. */
static const char *complete_candidate(const char *first, size_t position, struct str begun,
                                      size_t i)
{
    size_t n;
    const struct command *all = commands_all(&n);
    if (i >= n)
        return NULL;
    const char *word = position == 0                     ? all[i].noun
                       : strcmp(all[i].noun, first) == 0 ? all[i].verb
                                                         : "";
    return str_is_prefix(str_of(word), begun) ? word : "";
}

void act_complete(struct app *a)
{
    struct dialog_field *f = &a->dialog.fields[0];
    char first[64];
    const char *found = NULL, *candidate;
    struct str line = str_of(f->text), rest = line;
    (void)str_copy(first, sizeof(first), str_word(&rest));
    ptrdiff_t blank = str_index(line, ' ');
    size_t position = blank < 0 ? 0 : 1;
    struct str begun = blank < 0 ? line : str_n(line.p + blank + 1, line.n - (size_t)blank - 1);
    if (str_index(begun, ' ') >= 0)
        return;
    for (size_t i = 0; (candidate = complete_candidate(first, position, begun, i)); i++) {
        if (!candidate[0] || (found && strcmp(found, candidate) == 0))
            continue;
        if (found)
            return; /* several */
        found = candidate;
    }
    size_t keep = line.n - begun.n;
    if (!found || keep + strlen(found) + 2 > sizeof(f->text))
        return;
    snprintf(f->text + keep, sizeof(f->text) - keep, "%s ", found);
    f->cursor = strlen(f->text);
}
