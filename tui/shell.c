/* SPDX-License-Identifier: ISC */
/* Running mailproxyctl's commands within the dashboard. They run in a child, by the very code of
 * mailproxyctl, so that nothing that takes long holds up the keys. */
#include "tui/shell.h"

#include <jansson.h>

#include "base/secret.h"
#include "ctl/complete.h"
#include "ctl/help.h"
#include "ctl/run.h"
#include "ctl/words.h"
#include "tui/app.h"

static void shell_forget(struct shell *s)
{
    child_stop(&s->child);
    if (s->has_args)
        args_fini(&s->args);
    secret_free(s->copy);
    free(s->line);
    free(s->words);
    s->copy = s->line = NULL;
    s->words = NULL;
    s->has_args = false;
    s->phase = SHELL_IDLE;
}

static void shell_forget_completion(struct shell *s)
{
    child_stop(&s->completer);
    free(s->candidates);
    free(s->typed);
    s->candidates = NULL;
    s->typed = NULL;
}

void shell_stop(struct shell *s)
{
    if (s->phase == SHELL_RUN || s->phase == SHELL_COUNT)
        shell_forget(s);
}

void shell_fini(struct shell *s)
{
    shell_forget(s);
    shell_forget_completion(s);
}

char *shell_quote(const char *text)
{
    AUTO_BUF out = BUF_INIT;
    for (; *text; text++)
        if ((strchr(" \t\r\n'\"\\#", *text) && buf_append_char(&out, '\\') < 0) ||
            buf_append_char(&out, *text) < 0)
            return NULL;
    return buf_steal(&out);
}

/* ---- in the child ---- */

static int shell_child_run(void *arg, FILE *out)
{
    struct shell *s = arg;
    struct run r;
    run_init(&r, out, out);
    r.is_terminal = true;
    r.is_utf8 = s->is_utf8;
    r.width = s->width;
    /* It was asked already. */
    s->args.options.yes = true;
    setvbuf(out, NULL, _IOLBF, 0);
    return run_command(&r, &s->args);
}

static int child_complete(void *arg, FILE *out)
{
    struct shell *s = arg;
    struct run r;
    run_init(&r, out, out);
    complete_print(&r, out, s->n_candidates, s->candidates);
    return 0;
}

/* ---- running ---- */

static void shell_start(struct app *a, enum shell_phase phase)
{
    struct shell *s = &a->shell;
    s->is_utf8 = a->view.glyphs != GLYPHS_ASCII;
    s->width = a->view.cols > 2 ? a->view.cols - 2 : 80;
    s->n_lines = 0;
    s->phase = phase;
    if (child_start(&s->child, shell_child_run, s) < 0) {
        app_say(a, true, "no process can be started");
        shell_forget(s);
        return;
    }
    if (phase != SHELL_RUN)
        return;
    app_open_page(a, OVER_TEXT, s->line);
    a->page.is_stream = s->args.command->flags & COMMANDS_STREAM;
    a->page.is_following = a->page.is_stream;
}

/* words: what it would hit; NULL = it is not counted. */
static void shell_ask(struct app *a, const char *words)
{
    struct shell *s = &a->shell;
    const struct command *c = s->args.command;
    s->phase = SHELL_ASK;
    dialog_open(&a->dialog, DIALOG_OF_SHELL, "Yes", "%s: %s. Go on?", s->line,
                words ? words : c->summary);
}

static void shell_go(struct app *a)
{
    struct args *args = &a->shell.args;
    bool must_ask = args->command->flags & (COMMANDS_DESTRUCTIVE | COMMANDS_ASKS) &&
                    !args->options.yes && !json_is_true(json_object_get(args->params, "dry_run"));
    if (!must_ask) {
        shell_start(a, SHELL_RUN);
    } else if (commands_arg(args->command, "dry_run")) {
        /* First the same with --dry-run, for its count. */
        json_object_set_new(args->params, "dry_run", json_true());
        args->options.format = ARGS_JSON;
        shell_start(a, SHELL_COUNT);
    } else {
        shell_ask(a, NULL);
    }
}

/* ---- secrets: asked for in a dialog ---- */

static bool shell_ask_secrets(struct app *a)
{
    struct shell *s = &a->shell;
    size_t n_asked = 0;
    for (size_t i = 0; i < s->args.n_secrets; i++) {
        if (s->args.secrets[i].source != ARGS_SECRET_PROMPT)
            continue;
        if (n_asked++ == 0)
            dialog_open(&a->dialog, DIALOG_OF_SHELL, "Go on", "%s", s->line);
        dialog_add_arg(&a->dialog, s->args.secrets[i].arg, "");
    }
    if (n_asked == 0)
        return false;
    a->dialog.focus = 0;
    s->phase = SHELL_SECRETS;
    return true;
}

static void shell_take_secrets(struct app *a)
{
    struct shell *s = &a->shell;
    size_t kept = 0;
    for (size_t i = 0; i < a->dialog.n_fields; i++) {
        const struct dialog_field *f = &a->dialog.fields[i];
        if (f->arg)
            json_object_set_new(s->args.params, f->arg->name, json_string(f->edit.text));
    }
    for (size_t i = 0; i < s->args.n_secrets; i++)
        if (s->args.secrets[i].source != ARGS_SECRET_PROMPT)
            s->args.secrets[kept++] = s->args.secrets[i];
    s->args.n_secrets = kept;
}

void shell_confirmed(struct app *a)
{
    struct shell *s = &a->shell;
    enum shell_phase phase = s->phase;
    if (phase == SHELL_SECRETS)
        shell_take_secrets(a);
    dialog_close(&a->dialog);
    if (phase == SHELL_SECRETS)
        shell_go(a);
    else
        shell_start(a, SHELL_RUN);
}

/* ---- a line ---- */

static void shell_help(struct app *a)
{
    const struct args *args = &a->shell.args;
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    if (!f)
        return;
    help_print(f, args->noun, args->command);
    fclose(f);
    app_open_page(a, OVER_TEXT, "help");
    (void)text_page_add(&a->page, STYLE_NORMAL, str_of(text));
    free(text);
}

/* "sessions user=anna": the list has a screen, which shows it live. */
static bool shell_jump(struct app *a, size_t n_words)
{
    const struct args *args = &a->shell.args;
    bool is_plural = false;
    int focus;
    size_t n_params = json_object_size(args->params);
    const json_t *filter = json_object_get(args->params, "filter");
    (void)commands_noun(a->shell.words[0], &is_plural);
    int screen = is_plural ? screen_find(a->shell.words[0], &focus) : -1;
    for (size_t i = 1; i < n_words; i++)
        if (a->shell.words[i][0] == '-')
            return false;
    if (screen < 0 || n_params > (filter ? 1 : 0) ||
        args->command != pane_command(screen_rows[screen].panes[focus]))
        return false;
    app_show(a, (enum screen_id)screen, focus);
    app_set_filter(a, filter ? json_string_value(filter) : "");
    return true;
}

/* Whether a command goes to daemons of this tab. */
static bool shell_is_here(const struct app *a, const char *path)
{
    const struct node *n = app_node(a);
    for (size_t i = 0; i < n->n_members; i++)
        if (path == n->members[i].path)
            return true;
    return path == n->path;
}

/* What cannot be run from here, and why; NULL = it can. */
static const char *shell_refusal(struct app *a, char dst[128])
{
    const struct args *args = &a->shell.args;
    for (size_t i = 0; i < args->options.n_sockets; i++)
        if (!shell_is_here(a, args->options.sockets[i]))
            return "each daemon has its own tab: start with several -s, and change with [ and ]";
    if (args->options.is_watch)
        return "screens refresh by themselves: -w is for mailproxyctl";
    if (args->options.file)
        return "files of commands are for mailproxyctl";
    for (size_t i = 0; i < args->n_secrets; i++)
        if (args->secrets[i].source == ARGS_SECRET_STDIN)
            return "there is no stdin here: leave -stdin away, and you are asked";
    if (args->file_path && strcmp(args->file_path, "-") == 0)
        return "there is no stdin here: name a file";
    if (!node_may(app_node(a), args->command->role))
        return node_may_not(app_node(a), args->command->role, dst);
    return NULL;
}

static void shell_parsed(struct app *a, size_t n_words)
{
    struct shell *s = &a->shell;
    char text[128];
    if (s->args.options.help || s->args.options.version || !s->args.command) {
        shell_help(a);
        shell_forget(s);
        return;
    }
    const char *refusal = shell_refusal(a, text);
    if (refusal)
        app_say(a, true, "%s", refusal);
    if (refusal || shell_jump(a, n_words))
        shell_forget(s);
    else if (!shell_ask_secrets(a))
        shell_go(a);
}

void shell_run(struct app *a, const struct node *n, const char *line)
{
    struct shell *s = &a->shell;
    struct args_options defaults;
    struct problem problem = {0};
    size_t n_words = 0;
    shell_forget(s);
    s->line = str_dup_c(line);
    s->copy = str_dup_c(line);
    s->words = calloc(strlen(line) + 1, sizeof(*s->words));
    if (!s->line || !s->copy || !s->words)
        return;
    args_options_init(&defaults);
    defaults.sockets[0] = n->path;
    defaults.n_sockets = 1;
    for (size_t i = 0; i < n->n_members; i++)
        defaults.sockets[i] = n->members[i].path;
    if (n->cluster)
        defaults.n_sockets = n->n_members;
    if (words_split(s->copy, s->words, &n_words) < 0) {
        app_say(a, true, "a quote is not closed");
    } else if (n_words > 0) {
        s->has_args = true;
        if (args_parse(&s->args, &defaults, n_words, s->words, &problem) == 0) {
            shell_parsed(a, n_words);
            return;
        }
        app_say(a, true, "%s%s%s%s", problem.text ? problem.text : "not understood",
                problem.hint ? " (" : "", problem.hint ? problem.hint : "",
                problem.hint ? ")" : "");
    }
    problem_fini(&problem);
    shell_forget(s);
}

/* ---- output ---- */

/* Takes whole lines out of the child's output. */
static void shell_take_lines(struct app *a, bool is_end)
{
    struct shell *s = &a->shell;
    struct str text = buf_str(&s->child.out);
    size_t rest = text_page_add(&a->page, STYLE_NORMAL, text), n = a->page.n;
    buf_consume(&s->child.out, text.n - rest);
    if (is_end && rest) {
        text_page_say(&a->page, STYLE_NORMAL, buf_str(&s->child.out));
        n = a->page.n;
    }
    s->n_lines = n;
}

static void shell_ended(struct app *a)
{
    struct shell *s = &a->shell;
    bool is_list = s->args.command->flags & (COMMANDS_LIST | COMMANDS_ONE | COMMANDS_STREAM);
    shell_take_lines(a, true);
    if (s->n_lines <= 1 && (!is_list || s->child.status != 0)) {
        /* A word or an error is no page: it is said in the last line. */
        AUTO_FREE char *text = text_page_text(&a->page);
        if (text) {
            text[strcspn(text, "\n")] = '\0';
            const char *from = strncmp(text, "mailproxyctl: ", 14) == 0 ? text + 14 : text;
            app_close_page(a);
            app_say(a, s->child.status != 0, "%s",
                    from[0]           ? from
                    : s->child.status ? "failed"
                                      : "done");
        }
    } else if (s->child.status != 0) {
        app_say(a, true, "%s: failed with code %d", s->line, s->child.status);
    } else if (s->args.command->flags & COMMANDS_CHANGES) {
        app_say(a, false, "done");
    }
    shell_forget(s);
    app_refresh(a);
}

static void shell_counted(struct app *a)
{
    struct shell *s = &a->shell;
    struct str text = buf_str(&s->child.out);
    json_t *answer = json_loadb(text.p ? text.p : "", text.n, 0, NULL);
    const json_t *count = json_object_get(answer, "count");
    const char *message = json_string_value(json_object_get(answer, "message"));
    char text_count[64];
    snprintf(text_count, sizeof(text_count), "would hit %lld",
             (long long)json_integer_value(count));
    json_object_del(s->args.params, "dry_run");
    s->args.options.format = ARGS_AUTO;
    if (s->child.status == 0 && json_is_integer(count) && json_integer_value(count) > 0)
        shell_ask(a, message ? message : text_count);
    else
        shell_start(a, SHELL_RUN); /* it says itself what is wrong, or that there is nothing */
    json_decref(answer);
}

void shell_tick(struct app *a)
{
    struct shell *s = &a->shell;
    if (child_is_running(&s->completer) && child_read(&s->completer)) {
        /* What was typed on meanwhile is not what was asked. */
        if (a->prompt.is_open && s->typed && strcmp(s->typed, a->prompt.edit.text) == 0)
            prompt_take(&a->prompt, buf_str(&s->completer.out));
        shell_forget_completion(s);
    }
    if (!child_is_running(&s->child))
        return;
    bool is_over = child_read(&s->child);
    if (s->phase == SHELL_COUNT) {
        if (is_over)
            shell_counted(a);
    } else if (is_over) {
        shell_ended(a);
    } else {
        shell_take_lines(a, false);
    }
}

/* ---- completion ---- */

void shell_complete(struct app *a)
{
    struct shell *s = &a->shell;
    char copy[EDIT_MAX];
    shell_forget_completion(s);
    s->typed = str_dup_c(a->prompt.edit.text);
    s->candidates = calloc(EDIT_MAX, sizeof(*s->candidates));
    if (!s->typed || !s->candidates)
        return;
    const struct command *list = app_table(a)->command;
    /* Who is asked for names: of several daemons the first that is there. */
    const struct node *all = app_node(a), *asked = all->n_members ? &all->members[0] : all;
    for (size_t i = all->n_members; i-- > 0;)
        asked = node_is_connected(&all->members[i]) ? &all->members[i] : asked;
    size_t n = 0;
    s->candidates[n++] = "-s";
    s->candidates[n++] = asked->path;
    if (a->prompt.kind == PROMPT_FILTER && list) {
        /* A filter's words are those of the list's command. */
        s->candidates[n++] = list->noun;
        s->candidates[n++] = list->verb;
    }
    n += prompt_words(&a->prompt, copy, s->candidates + n, EDIT_MAX - n);
    s->n_candidates = n;
    if (child_start(&s->completer, child_complete, s) < 0)
        shell_forget_completion(s);
}
