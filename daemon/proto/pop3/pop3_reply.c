/* SPDX-License-Identifier: ISC */
/* What both ends of POP3 read in a reply. */
#include "proto/pop3/pop3.h"

bool pop3_cut_code(struct str *text, struct str *ret_code)
{
    ptrdiff_t end = str_index(*text, ']');
    if (text->n < 3 || text->p[0] != '[' || end < 2)
        return false;
    struct str code = str_n(text->p + 1, (size_t)end - 1);
    if (str_index(code, ' ') >= 0 || !str_is_printable_ascii(code))
        return false;
    *ret_code = code;
    *text = str_trim(str_n(text->p + end + 1, text->n - (size_t)end - 1));
    return true;
}
