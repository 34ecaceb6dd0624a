/* SPDX-License-Identifier: ISC */
/* A question over the screen: what would be done, what belongs to it, fields to fill in, and No as
 * its default. */
#pragma once

#include "rpc/commands.h"
#include "tui/edit.h"
#include "tui/text_page.h"

#define DIALOG_FIELDS_MAX 20

enum dialog_result { DIALOG_OPEN, DIALOG_YES, DIALOG_NO };

struct dialog_field {
    const struct command_arg *arg; /* NULL: not one of a command */
    char label[32];
    char initial[256]; /* what it held at the beginning */
    const char *hint;  /* borrowed */
    char must[24];     /* what has to be typed, "" = anything; Enter behind it answers with yes */
    bool is_switch;    /* yes or nothing */
    struct edit edit;
};

/* Who asks, and hears the answer. */
enum dialog_owner {
    DIALOG_OF_ACT,
    DIALOG_OF_SHELL,
    DIALOG_OF_RELOAD,
    DIALOG_OWNER_COUNT,
};

struct dialog {
    enum dialog_owner owner;
    bool is_open;
    bool is_drawn; /* since it was opened: what was pressed before means something else */
    char question[256];
    char yes[48];          /* words of the button */
    char wrong[256];       /* why it was not accepted */
    struct text_page body; /* between question and fields */
    struct dialog_field fields[DIALOG_FIELDS_MAX];
    size_t n_fields, first; /* first field that is visible */
    size_t focus;           /* n_fields: No, n_fields + 1: Yes */
};

/* Opens with the focus on No. */
void dialog_open(struct dialog *d, enum dialog_owner owner, const char *yes, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* A field for an argument of a command; a secret is followed by a second one that must be the same.
 */
void dialog_add_arg(struct dialog *d, const struct command_arg *arg, const char *value);
/* A field that wants the number of objects typed: nobody hits many by accident. */
void dialog_add_count(struct dialog *d, uint64_t n);
/* Text that was pasted goes into the field that has the focus, or nowhere. */
void dialog_paste(struct dialog *d, struct str text);
/* How wide lines of the body may be on a screen. */
int dialog_body_width(const struct screen *s);
/* Closes and wipes what was typed. */
void dialog_close(struct dialog *d);
/* Keys before the first drawing do nothing. */
enum dialog_result dialog_key(struct dialog *d, int key);
void dialog_draw(struct dialog *d, struct screen *s);
