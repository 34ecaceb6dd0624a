/* SPDX-License-Identifier: ISC */
/* History, completion and drawing of the line at the bottom. */
#include "tui/prompt.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "ctl/output_text.h"
#include "tui/input.h"

#define PROMPT_LIST_MAX 10 /* candidates shown at once */

static const char *const marks[PROMPT_KINDS] = {":", "/", "save as: "};

static void prompt_drop_candidates(struct prompt *p)
{
    for (size_t i = 0; i < p->n_candidates; i++) {
        free(p->candidates[i].word);
        free(p->candidates[i].help);
    }
    p->n_candidates = 0;
    p->picked = SIZE_MAX;
}

void prompt_open(struct prompt *p, enum prompt_kind kind, const char *text)
{
    p->is_open = true;
    p->kind = kind;
    p->note[0] = '\0';
    edit_set(&p->edit, text);
    prompt_drop_candidates(p);
    p->history[kind].at = p->history[kind].n;
}

void prompt_close(struct prompt *p)
{
    p->is_open = false;
    prompt_drop_candidates(p);
}

void prompt_fini(struct prompt *p)
{
    prompt_close(p);
    for (int k = 0; k < PROMPT_KINDS; k++) {
        for (size_t i = 0; i < p->history[k].n; i++)
            free(p->history[k].lines[i]);
        free(p->history[k].lines);
        p->history[k] = (struct prompt_history){0};
    }
}

/* ---- history ---- */

static void history_remove(struct prompt_history *h, size_t i)
{
    free(h->lines[i]);
    h->n--;
    memmove(h->lines + i, h->lines + i + 1, (h->n - i) * sizeof(*h->lines));
}

void prompt_remember(struct prompt *p, enum prompt_kind kind, const char *line)
{
    struct prompt_history *h = &p->history[kind];
    for (size_t i = h->n; line[0] && i > 0; i--)
        if (strcmp(h->lines[i - 1], line) == 0)
            history_remove(h, i - 1);
    if (!h->lines)
        h->lines = calloc(PROMPT_HISTORY_MAX, sizeof(*h->lines));
    char *copy = line[0] && h->lines ? str_dup_c(line) : NULL;
    if (!copy)
        return;
    if (h->n == PROMPT_HISTORY_MAX)
        history_remove(h, 0);
    h->lines[h->n++] = copy;
}

/* ---- completion ---- */

/* Where the word before the cursor begins; blanks within quotes belong to a word. */
static size_t prompt_word(const struct prompt *p)
{
    size_t begin = 0;
    char quote = 0;
    for (size_t i = 0; i < p->edit.cursor; i++) {
        char c = p->edit.text[i];
        if (quote)
            quote = c == quote ? 0 : quote;
        else if (c == '"' || c == '\'')
            quote = c;
        else if (c == ' ')
            begin = i + 1;
    }
    return begin;
}

size_t prompt_words(const struct prompt *p, char *copy, const char **words, size_t max)
{
    size_t n = 0, last = prompt_word(p);
    (void)str_copy(copy, EDIT_MAX, str_n(p->edit.text, p->edit.cursor));
    for (size_t i = 0; i < last && n + 1 < max;) {
        size_t end = i + strcspn(copy + i, " ");
        if (end >= last)
            end = last - 1;
        copy[end] = '\0';
        if (end > i)
            words[n++] = copy + i;
        i = end + 1;
    }
    words[n++] = copy + last;
    return n;
}

static void prompt_insert(struct prompt *p, const char *word, bool is_whole)
{
    AUTO_FREE char *text = str_printf("%s%s", word, is_whole ? " " : "");
    if (text)
        (void)edit_replace(&p->edit, p->word, text);
}

/* What all candidates begin with. */
static char *prompt_common(const struct prompt *p)
{
    const char *first = p->candidates[0].word;
    size_t n = strlen(first);
    for (size_t i = 1; i < p->n_candidates; i++) {
        size_t k = 0;
        while (k < n && p->candidates[i].word[k] == first[k])
            k++;
        n = k;
    }
    return str_dup(str_n(first, n));
}

void prompt_take(struct prompt *p, struct str lines)
{
    prompt_drop_candidates(p);
    p->word = prompt_word(p);
    while (lines.n && p->n_candidates < PROMPT_CANDIDATES_MAX) {
        struct str help = str_cut(&lines, '\n');
        struct str word = str_cut(&help, '\t');
        struct prompt_candidate *c = &p->candidates[p->n_candidates];
        *c = (struct prompt_candidate){str_dup(word), str_dup(help)};
        p->n_candidates += c->word && c->help && word.n;
    }
    if (p->n_candidates == 0)
        return;
    if (p->n_candidates == 1) {
        const char *word = p->candidates[0].word;
        size_t n = strlen(word);
        bool goes_on = n > 0 && strchr("=<>/", word[n - 1]); /* "user=" */
        prompt_insert(p, word, !goes_on);
        prompt_drop_candidates(p);
        return;
    }
    AUTO_FREE char *common = prompt_common(p);
    if (common && strlen(common) > p->edit.cursor - p->word)
        prompt_insert(p, common, false);
}

/* ---- keys ---- */

enum prompt_result prompt_key(struct prompt *p, int key)
{
    bool has_choice = p->n_candidates > 0;
    if (key == INPUT_TAB || (key == INPUT_BACKTAB && has_choice)) {
        if (!has_choice)
            return PROMPT_COMPLETE;
        size_t n = p->n_candidates;
        bool is_next = key == INPUT_TAB;
        if (p->picked == SIZE_MAX)
            p->picked = is_next ? 0 : n - 1;
        else
            p->picked = (p->picked + (is_next ? 1 : n - 1)) % n;
        prompt_insert(p, p->candidates[p->picked].word, false);
        return PROMPT_OPEN;
    }
    if (key == INPUT_ESC && has_choice) {
        prompt_drop_candidates(p);
        return PROMPT_OPEN;
    }
    if (key == INPUT_ENTER)
        return PROMPT_DONE;
    bool is_empty_back = key == INPUT_BACKSPACE && !p->edit.text[0];
    if (key == INPUT_ESC || key == INPUT_CTRL('C') || is_empty_back)
        return PROMPT_LEFT;
    prompt_drop_candidates(p);
    struct prompt_history *h = &p->history[p->kind];
    if (key != INPUT_UP && key != INPUT_DOWN) {
        (void)edit_key(&p->edit, key);
    } else if (key == INPUT_UP ? h->at > 0 : h->at < h->n) {
        h->at = key == INPUT_UP ? h->at - 1 : h->at + 1;
        edit_set(&p->edit, h->at < h->n ? h->lines[h->at] : "");
    }
    return PROMPT_OPEN;
}

void prompt_paste(struct prompt *p, struct str text)
{
    prompt_drop_candidates(p);
    edit_paste(&p->edit, text);
}

/* ---- drawing ---- */

static void prompt_draw_candidates(const struct prompt *p, struct screen *s)
{
    size_t most = s->rows > 4 ? (size_t)s->rows - 4 : 0;
    most = most < PROMPT_LIST_MAX ? most : PROMPT_LIST_MAX;
    size_t n = p->n_candidates < most ? p->n_candidates : most;
    size_t first = p->picked != SIZE_MAX && p->picked >= n ? p->picked - n + 1 : 0;
    int width = 0, row = s->rows - 1 - (int)n;
    for (size_t i = first; i < first + n; i++) {
        int w = output_text_width(str_of(p->candidates[i].word));
        width = w > width ? w : width;
    }
    for (size_t i = 0; i < n; i++) {
        const struct prompt_candidate *c = &p->candidates[first + i];
        enum style style = first + i == p->picked ? STYLE_SELECTED : STYLE_INPUT;
        screen_fill(s, row + (int)i, 0, s->cols, style);
        (void)screen_text(s, row + (int)i, 1, width, style, str_of(c->word));
        (void)screen_text(s, row + (int)i, width + 3, s->cols - width - 3, style, str_of(c->help));
    }
    if (p->n_candidates > n)
        (void)screen_printf(s, row, s->cols - 12, 12, STYLE_INPUT, "%11zu ", p->n_candidates);
}

void prompt_draw(const struct prompt *p, struct screen *s)
{
    if (!p->is_open)
        return;
    int row = s->rows - 1, label = output_text_width(str_of(marks[p->kind]));
    int note = p->note[0] ? output_text_width(str_of(p->note)) + 2 : 0;
    note = s->cols - label - note < 16 ? 0 : note;
    if (p->n_candidates)
        prompt_draw_candidates(p, s);
    screen_fill(s, row, 0, s->cols, STYLE_INPUT);
    (void)screen_text(s, row, 0, label, STYLE_INPUT, str_of(marks[p->kind]));
    edit_draw(&p->edit, s, row, label, s->cols - label - note, true);
    if (note)
        screen_right(s, row, s->cols - note, note - 1, STYLE_INPUT, str_of(p->note));
}
