/* SPDX-License-Identifier: ISC */
/* Dialogs: focus, keys and drawing. */
#include "tui/dialog.h"

#include <stdarg.h>

#include "ctl/output_text.h"
#include "tui/input.h"

#define DIALOG_WIDTH 84 /* where the screen is as wide */
#define DIALOG_MARGIN_FROM 70
#define DIALOG_LABEL 18 /* with its gap */
/* Frame, question, an empty line before the fields, hint, buttons. */
#define DIALOG_FRAME 6
#define DIALOG_ANSWERS 4 /* " y/N" */

void dialog_open(struct dialog *d, enum dialog_owner owner, const char *yes, const char *fmt, ...)
{
    va_list ap;
    dialog_close(d);
    d->owner = owner;
    d->is_open = true;
    va_start(ap, fmt);
    vsnprintf(d->question, sizeof(d->question), fmt, ap);
    va_end(ap);
    (void)str_copy(d->yes, sizeof(d->yes), str_of(yes));
}

/* Another field; label and hint. */
static struct dialog_field *dialog_add(struct dialog *d, const char *label, const char *hint)
{
    if (d->n_fields == DIALOG_FIELDS_MAX)
        return NULL;
    struct dialog_field *f = &d->fields[d->n_fields++];
    *f = (struct dialog_field){.hint = hint};
    (void)str_copy(f->label, sizeof(f->label), str_of(label));
    d->focus = d->n_fields;
    return f;
}

void dialog_add_arg(struct dialog *d, const struct command_arg *arg, const char *value)
{
    char label[64];
    commands_dashed(label, sizeof(label), arg->name);
    struct dialog_field *f = dialog_add(d, label, arg->help);
    if (!f)
        return;
    f->arg = arg;
    f->is_switch = arg->type == COMMANDS_BOOL;
    f->edit.is_secret = arg->type == COMMANDS_SECRET;
    (void)str_copy(f->initial, sizeof(f->initial), str_of(value));
    edit_set(&f->edit, f->initial);
    /* A hash is pasted, a password is typed. */
    bool is_typed = f->edit.is_secret && !strstr(arg->name, "hash");
    if (is_typed && (f = dialog_add(d, "  again", "the same once more")))
        f->edit.is_secret = true;
}

void dialog_add_count(struct dialog *d, uint64_t n)
{
    char label[32];
    snprintf(label, sizeof(label), "type %llu", (unsigned long long)n);
    struct dialog_field *f =
        dialog_add(d, label, "how many it is, so that this is meant; Enter answers");
    if (f)
        snprintf(f->must, sizeof(f->must), "%llu", (unsigned long long)n);
}

void dialog_close(struct dialog *d)
{
    for (size_t i = 0; i < d->n_fields; i++)
        edit_wipe(&d->fields[i].edit);
    text_page_fini(&d->body);
    d->n_fields = d->first = d->focus = 0;
    d->wrong[0] = '\0';
    d->is_open = d->is_drawn = false;
}

/* ---- keys ---- */

static bool dialog_check_must(struct dialog *d)
{
    for (size_t i = 0; i < d->n_fields; i++) {
        const struct dialog_field *f = &d->fields[i];
        if (!f->must[0] || strcmp(f->edit.text, f->must) == 0)
            continue;
        snprintf(d->wrong, sizeof(d->wrong), "type %s to say that this is meant", f->must);
        d->focus = i;
        return false;
    }
    return true;
}

/* Fields that must be the same are. */
static bool dialog_check(struct dialog *d)
{
    for (size_t i = 1; i < d->n_fields; i++) {
        const struct dialog_field *a = &d->fields[i - 1], *b = &d->fields[i];
        if (a->arg && a->edit.is_secret && b->edit.is_secret && !b->arg &&
            strcmp(a->edit.text, b->edit.text) != 0) {
            snprintf(d->wrong, sizeof(d->wrong), "the two of %s are not the same", a->label);
            d->focus = i;
            return false;
        }
    }
    return true;
}

static void dialog_move(struct dialog *d, int by)
{
    size_t stops = d->n_fields + 2;
    d->focus = (d->focus + stops + (size_t)by) % stops;
}

static enum dialog_result dialog_yes(struct dialog *d)
{
    return dialog_check_must(d) && dialog_check(d) ? DIALOG_YES : DIALOG_OPEN;
}

static enum dialog_result dialog_field_key(struct dialog *d, int key)
{
    struct dialog_field *f = &d->fields[d->focus];
    d->wrong[0] = '\0';
    if (key == INPUT_ENTER && f->must[0])
        return dialog_yes(d);
    if (key == INPUT_ENTER)
        dialog_move(d, 1);
    else if (f->is_switch && key == ' ')
        edit_set(&f->edit, f->edit.text[0] ? "" : "yes");
    else if (!f->is_switch || key == INPUT_BACKSPACE)
        (void)edit_key(&f->edit, key);
    return DIALOG_OPEN;
}

void dialog_paste(struct dialog *d, struct str text)
{
    if (d->focus < d->n_fields && !d->fields[d->focus].is_switch && d->is_drawn)
        edit_paste(&d->fields[d->focus].edit, text);
}

static enum dialog_result dialog_button_key(struct dialog *d, int key)
{
    if (key == INPUT_ENTER)
        return d->focus == d->n_fields + 1 ? dialog_yes(d) : DIALOG_NO;
    if (key == 'y' || key == 'Y')
        return dialog_yes(d);
    if (key == 'n' || key == 'N' || key == 'q')
        return DIALOG_NO;
    if (key == INPUT_LEFT || key == INPUT_RIGHT)
        dialog_move(d, key == INPUT_RIGHT ? 1 : -1);
    return DIALOG_OPEN;
}

enum dialog_result dialog_key(struct dialog *d, int key)
{
    if (!d->is_drawn)
        return DIALOG_OPEN;
    if (key == INPUT_ESC || key == INPUT_CTRL('C'))
        return DIALOG_NO;
    if (key == INPUT_TAB || key == INPUT_DOWN)
        dialog_move(d, 1);
    else if (key == INPUT_BACKTAB || key == INPUT_UP)
        dialog_move(d, -1);
    else if (key == INPUT_PAGE_UP || key == INPUT_PAGE_DOWN)
        (void)text_page_key(&d->body, key);
    else if (d->focus < d->n_fields)
        return dialog_field_key(d, key);
    else
        return dialog_button_key(d, key);
    return DIALOG_OPEN;
}

/* ---- drawing ---- */

static int dialog_button(struct screen *s, int row, int col, int width, bool has_focus,
                         const char *text)
{
    return screen_printf(s, row, col, width, has_focus ? STYLE_BUTTON : STYLE_NORMAL, "[ %s ]",
                         text);
}

static void dialog_draw_fields(struct dialog *d, struct screen *s, int row, int col, int width,
                               size_t n)
{
    if (d->focus < d->first)
        d->first = d->focus;
    if (d->focus < d->n_fields && n > 0 && d->focus >= d->first + n)
        d->first = d->focus - n + 1;
    if (d->first + n > d->n_fields)
        d->first = d->n_fields - n;
    for (size_t i = 0; i < n; i++) {
        struct dialog_field *f = &d->fields[d->first + i];
        bool has_focus = d->focus == d->first + i;
        int line = row + (int)i, label = DIALOG_LABEL < width / 2 ? DIALOG_LABEL : width / 2;
        (void)screen_text(s, line, col, label - 1, has_focus ? STYLE_KEY : STYLE_NORMAL,
                          str_of(f->label));
        if (f->is_switch && !has_focus)
            (void)screen_printf(s, line, col + label, width - label,
                                f->edit.text[0] ? STYLE_NORMAL : STYLE_DIM, "%s: %s",
                                f->edit.text[0] ? "yes" : "no", f->hint);
        else if (!has_focus && !f->edit.text[0] && f->hint)
            (void)screen_text(s, line, col + label, width - label, STYLE_DIM, str_of(f->hint));
        else
            edit_draw(&f->edit, s, line, col + label, width - label, has_focus);
        if (f->is_switch && has_focus && !f->edit.text[0])
            (void)screen_text(s, line, col + label, width - label, STYLE_NORMAL, STR("no"));
    }
}

/* What the field is for; has_air: the line above is empty, for the beginning of a long hint. */
static void dialog_draw_hint(const struct dialog_field *f, struct screen *s, int line, int col,
                             int width, bool has_air)
{
    AUTO_FREE char *hint = str_printf("%s%s", f->hint, f->is_switch ? "; Space switches it" : "");
    struct str rest = str_of(hint ? hint : "");
    if (has_air && output_text_width(rest) > width) {
        size_t n = output_text_fit(rest, width);
        (void)screen_text(s, line - 1, col, width, STYLE_DIM, str_n(rest.p, n));
        rest = str_skip(rest, n < rest.n ? n + 1 : n);
    }
    (void)screen_text(s, line, col, width, STYLE_DIM, rest);
}

static int dialog_room(const struct screen *s)
{
    return s->cols >= DIALOG_MARGIN_FROM ? s->cols - 4 : s->cols;
}

int dialog_body_width(const struct screen *s)
{
    return dialog_room(s) - 4;
}

void dialog_draw(struct dialog *d, struct screen *s)
{
    if (!d->is_open)
        return;
    d->is_drawn = true;
    if (s->rows < DIALOG_FRAME || s->cols < 24) {
        /* No room for a frame: the question is still readable, and y and n work. */
        screen_fill(s, 0, 0, s->cols, STYLE_ALARM);
        int room = s->cols > DIALOG_ANSWERS ? s->cols - DIALOG_ANSWERS : 0;
        int used = screen_text(s, 0, 0, room, STYLE_ALARM, str_of(d->question));
        (void)screen_text(s, 0, used, s->cols - used, STYLE_ALARM, STR(" y/N"));
        return;
    }
    /* As wide as the question and the widest line of the body need. */
    int width = output_text_width(str_of(d->question));
    for (size_t i = 0; i < d->body.n; i++) {
        int line = text_page_line_width(&d->body, i);
        width = line > width ? line : width;
    }
    width = width + 4 < DIALOG_WIDTH ? DIALOG_WIDTH : width + 4;
    width = width > dialog_room(s) ? dialog_room(s) : width;
    int inner = width - 4, room = s->rows - DIALOG_FRAME;
    int fields = (int)d->n_fields < room ? (int)d->n_fields : room;
    int body = d->body.n ? (int)d->body.n + 1 : 0;
    body = body < room - fields ? body : room - fields;
    /* An empty line between fields and hint, where there is room. */
    int air = fields > 0 && room > fields + body;
    int height = DIALOG_FRAME + fields + body + air;
    int row = (s->rows - height) / 2, col = (s->cols - width) / 2;
    screen_box(s, row, col, height, width, STR(""));
    (void)screen_text(s, row + 1, col + 2, inner, STYLE_TITLE, str_of(d->question));
    if (body > 1)
        text_page_draw(&d->body, s, row + 3, col + 2, body - 1, inner, false);
    dialog_draw_fields(d, s, row + 3 + body, col + 2, inner, (size_t)fields);
    int line = row + height - 3, at = col + 2, edge = at + inner;
    const struct dialog_field *f = d->focus < d->n_fields ? &d->fields[d->focus] : NULL;
    if (d->wrong[0])
        (void)screen_text(s, line, at, inner, STYLE_BAD, str_of(d->wrong));
    else if (f && f->hint)
        dialog_draw_hint(f, s, line, at, inner, air);
    line++;
    at += dialog_button(s, line, at, edge - at, d->focus == d->n_fields, "No") + 2;
    at += dialog_button(s, line, at, edge - at, d->focus == d->n_fields + 1, d->yes) + 2;
    (void)screen_text(s, line, at, edge - at, STYLE_DIM, STR("Tab moves, Esc leaves"));
}
