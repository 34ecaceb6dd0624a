/* SPDX-License-Identifier: ISC */
/* Digits of hexadecimal numbers. */
#pragma once

/* The value of a hex digit of either case; -1: it is none. */
static inline int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}
