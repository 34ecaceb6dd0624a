/* SPDX-License-Identifier: ISC */
/* The line at the bottom: a command, a filter or the name of a file, with history and candidates.
 */
#pragma once

#include "tui/edit.h"

#define PROMPT_HISTORY_MAX 200
#define PROMPT_CANDIDATES_MAX 200

enum prompt_kind { PROMPT_COMMAND, PROMPT_FILTER, PROMPT_SAVE, PROMPT_KINDS };
enum prompt_result { PROMPT_OPEN, PROMPT_DONE, PROMPT_LEFT, PROMPT_COMPLETE };

struct prompt_history {
    char **lines; /* oldest first; owned */
    size_t n, at;
};

struct prompt_candidate {
    char *word, *help; /* owned */
};

struct prompt {
    bool is_open;
    enum prompt_kind kind;
    struct edit edit;
    char note[96]; /* at the right */
    struct prompt_history history[PROMPT_KINDS];

    struct prompt_candidate candidates[PROMPT_CANDIDATES_MAX];
    size_t n_candidates;
    size_t picked; /* SIZE_MAX = none yet */
    size_t word;   /* byte where the word begins that they complete */
};

/* Shows the line, with text in it, at the newest end of its history. */
void prompt_open(struct prompt *p, enum prompt_kind kind, const char *text);
/* Takes it away. */
void prompt_close(struct prompt *p);
/* Frees what it owns. */
void prompt_fini(struct prompt *p);
/* Keeps a line for Up; the same line twice is kept once. */
void prompt_remember(struct prompt *p, enum prompt_kind kind, const char *line);
/* PROMPT_COMPLETE: candidates for the text before the cursor are wanted. */
enum prompt_result prompt_key(struct prompt *p, int key);
/* Inserts text that was pasted. */
void prompt_paste(struct prompt *p, struct str text);
/* The text before the cursor as words; the last one may be empty. Words point into copy (of
 * EDIT_MAX bytes). Returns how many. */
size_t prompt_words(const struct prompt *p, char *copy, const char **words, size_t max);
/* Takes candidates, "WORD\tHELP" a line: what they have in common is inserted. */
void prompt_take(struct prompt *p, struct str lines);
void prompt_draw(const struct prompt *p, struct screen *s);
