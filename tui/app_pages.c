/* SPDX-License-Identifier: ISC */
/* What opens as a page over the screen: help, errors, answers about a row. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tui/app.h"
#include "tui/page_rows.h"

/* Why some keys are grey, once for all of them. */
static void help_reason(struct app *a)
{
    const struct node *n = app_node(a);
    text_page_line(&a->page);
    if (n->is_read_only)
        text_page_put(&a->page, STYLE_WARN,
                      STR("grey keys: started with -r, nothing is changed from here"));
    else
        text_page_printf(&a->page, STYLE_WARN,
                         "grey keys need the role in brackets; the daemon takes you for %s",
                         role_name(n->role));
    text_page_line(&a->page);
}

static void help_key(struct text_page *p, const struct key_row *k, bool may, int width)
{
    char key[16], other[16] = "";
    keys_name(key, k->key);
    if (k->other)
        keys_name(other, k->other);
    text_page_line(p);
    text_page_printf(p, may ? STYLE_KEY : STYLE_DIM, "%-7s%-8s", key, other);
    text_page_wrap(p, may ? STYLE_NORMAL : STYLE_DIM, k->help, width);
    if (!may)
        text_page_printf(p, STYLE_DIM, " (%s)", role_name(k->role));
}

void app_show_help(struct app *a)
{
    size_t n;
    bool is_all = true;
    const struct key_row *k = keys_all(&n);
    AUTO_FREE char *title = str_printf("Keys: %s", pane_rows[app_object_pane(a)].name);
    AUTO_FREE bool *valid = calloc(n, sizeof(*valid));
    for (size_t i = 0; valid && i < n; i++) {
        valid[i] = app_has_key(a, &k[i]);
        is_all = is_all && (!valid[i] || node_may(app_node(a), k[i].role));
    }
    app_open_page(a, OVER_HELP, title ? title : "Keys");
    if (!is_all)
        help_reason(a);
    for (size_t i = 0; valid && i < n; i++)
        if (valid[i])
            help_key(&a->page, &k[i], node_may(app_node(a), k[i].role), a->view.cols - 1);
    text_page_heading(&a->page, "Filters");
    (void)text_page_add(
        &a->page, STYLE_NORMAL,
        STR("terms are joined by blanks and all must match; ! negates, a comma lists alternatives\n"
            "user=*@example.org proto=imap,pop3 ip=10.0.0.0/8 idle>30m !tls=no\n"
            "a word alone is searched in users, or in the list's names\n"));
}

void app_show_errors(struct app *a)
{
    app_open_page(a, OVER_TEXT, "Errors, newest first");
    for (size_t i = a->n_errors; i > 0 && i + APP_ERRORS_MAX > a->n_errors; i--) {
        const struct app_error *e = &a->errors[(i - 1) % APP_ERRORS_MAX];
        char text[25];
        time_t at = (time_t)(e->at_ms / 1000);
        struct tm tm;
        if (!localtime_r(&at, &tm) || !strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm))
            text[0] = '\0';
        text_page_line(&a->page);
        text_page_printf(&a->page, STYLE_DIM, "%s  ", text);
        text_page_put(&a->page, STYLE_NORMAL, str_of(e->text));
    }
    if (a->n_errors == 0)
        text_page_say(&a->page, STYLE_DIM, STR("none so far"));
}

/* ---- answers ---- */

static void on_page_object(void *arg, const json_t *result,
                           const struct control_client_error *error)
{
    struct app *a = arg;
    char text[256];
    if (!result) {
        app_say(a, true, "%s", node_error_text(error, text));
        return;
    }
    AUTO_FREE char *title = str_printf("%s %s %s", a->wanted->noun, a->wanted->verb, a->wanted_id);
    app_open_page(a, OVER_TEXT, title ? title : "");
    page_add_object(&a->page, a->wanted, result, a->view.cols);
    page_add_long(&a->page, a->wanted, result, a->view.cols);
    a->message[0] = '\0';
    app_refresh(a);
}

void app_look_up(struct app *a, const char *noun, const char *verb, const char *param,
                 const char *words)
{
    const struct app_object o = app_object(a);
    const struct command *c = commands_find(noun, verb);
    char name[FACET_TEXT_MAX];
    if (!o.row || !c) {
        app_say_no_row(a);
        return;
    }
    (void)str_copy(a->wanted_id, sizeof(a->wanted_id), str_of(o.id));
    if (strcmp(param, "user") == 0) {
        if (!facet_of(o.pane, o.row, FACET_USER, name)) {
            app_say(a, true, "this row has no user");
            return;
        }
        (void)str_copy(a->wanted_id, sizeof(a->wanted_id), str_of(name));
    }
    a->wanted = c;
    json_t *params = json_pack("{s:s}", param, a->wanted_id);
    if (node_ask(o.node, c->method, params, on_page_object, a))
        app_say(a, false, "%s", words);
    else
        app_say(a, true, "there is no connection");
}
