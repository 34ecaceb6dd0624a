/* SPDX-License-Identifier: ISC */
/* Words of a line, with the quotes of a shell. */
#include "ctl/words.h"

#include <ctype.h>
#include <string.h>

/* Copies one word to *to; returns where the next one begins, NULL for an open quote. */
static char *words_one(char *from, char *to)
{
    char quote = 0;
    for (; *from && (quote || !isspace((unsigned char)*from)); from++) {
        if (quote && *from == quote)
            quote = 0;
        else if (!quote && (*from == '\'' || *from == '"'))
            quote = *from;
        else if (*from == '\\' && quote != '\'' && from[1])
            *to++ = *++from;
        else
            *to++ = *from;
    }
    if (quote)
        return NULL;
    from += *from != '\0';
    *to = '\0';
    return from;
}

int words_split(char *line, const char **words, size_t *ret_n)
{
    size_t n = 0;
    for (;;) {
        line += strspn(line, " \t\r\n");
        if (!*line || *line == '#')
            break;
        words[n++] = line;
        line = words_one(line, line);
        if (!line)
            return -ERR_SYNTAX;
    }
    *ret_n = n;
    return 0;
}
