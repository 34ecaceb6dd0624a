/* SPDX-License-Identifier: ISC */
/* Answers of the daemon as lines of a page. */
#pragma once

#include <jansson.h>

#include "rpc/commands.h"
#include "tui/text_page.h"

/* The members of an object by the columns of a command, two side by side where they fit. Texts of
 * many lines are left to page_add_long. */
void page_add_object(struct text_page *p, const struct command *c, const json_t *object, int cols);
/* Those texts, each below a heading: what is long comes last. */
void page_add_long(struct text_page *p, const struct command *c, const json_t *object, int cols);
/* Rows as a table of these columns ("id,user"; NULL = those shown by default), so wide. */
void page_add_rows(struct text_page *p, const struct command *c, const json_t *rows,
                   const char *columns, int width);
