/* SPDX-License-Identifier: ISC */
/* From the difference to the dialog, and to what the daemon did. */
#include "tui/reload.h"

#include "tui/app.h"
#include "tui/page_rows.h"

static void on_diff(void *arg, const json_t *result, const struct control_client_error *error)
{
    struct app *a = arg;
    const struct command *diff = commands_find("config", "diff");
    const struct command *reload = commands_find("config", "reload");
    const json_t *rows = json_object_get(result, "rows");
    size_t n, i;
    char text[256];
    const struct command_arg *args = commands_args(reload, &n);
    if (!a->wants_reload)
        return;
    a->wants_reload = false;
    if (!result) {
        app_say(a, true, "%s", node_error_text(error, text));
        return;
    }
    size_t n_rows = json_array_size(rows);
    AUTO_FREE char *count =
        n_rows ? str_printf("%zu %s", n_rows, n_rows == 1 ? "key differs" : "keys differ")
               : str_dup_c("No key differs; files that it names are read anew");
    dialog_open(&a->dialog, DIALOG_OF_RELOAD, "Yes, reload", "Reload the configuration? %s",
                count ? count : "");
    if (n_rows)
        page_add_rows(&a->dialog.body, diff, rows, NULL, dialog_body_width(&a->view));
    for (i = 0; i < n; i++)
        dialog_add_arg(&a->dialog, &args[i], "");
}

static void on_reloaded(void *arg, const json_t *result, const struct control_client_error *error)
{
    struct app *a = arg;
    const json_t *rows = json_object_get(result, "rows");
    char text[256];
    if (!result) {
        app_say(a, true, "%s", node_error_text(error, text));
        return;
    }
    app_say(a, false, "reloaded: %zu changed", json_array_size(rows));
    if (json_array_size(rows)) {
        app_open_page(a, OVER_TEXT, "config reload");
        page_add_rows(&a->page, commands_find("config", "reload"), rows, NULL, a->view.cols - 2);
    }
    app_refresh(a);
}

void reload_confirmed(struct app *a)
{
    json_t *params = json_object();
    for (size_t i = 0; i < a->dialog.n_fields; i++) {
        const struct dialog_field *f = &a->dialog.fields[i];
        if (f->arg && f->edit.text[0])
            json_object_set_new(params, f->arg->name, json_string(f->edit.text));
    }
    dialog_close(&a->dialog);
    if (!node_ask(app_node(a), "config.reload", params, on_reloaded, a))
        app_say(a, true, "there is no connection");
}

void reload_ask(struct app *a)
{
    if (app_node(a)->cluster) {
        app_say(a, true, "each daemon reloads its own configuration: ] goes to its tab");
        return;
    }
    a->wants_reload = node_ask(app_node(a), "config.diff", NULL, on_diff, a);
    if (!a->wants_reload)
        app_say(a, true, "there is no connection");
}
