/* SPDX-License-Identifier: ISC */
/* Keys as numbers: characters are themselves, control keys their ASCII codes, the others these. */
#pragma once

enum input {
    INPUT_NONE = -1,
    INPUT_TAB = '\t',
    INPUT_ENTER = '\r',
    INPUT_ESC = 27,
    INPUT_FIRST = 0x200000, /* beyond Unicode */
    INPUT_UP,
    INPUT_DOWN,
    INPUT_LEFT,
    INPUT_RIGHT,
    INPUT_PAGE_UP,
    INPUT_PAGE_DOWN,
    INPUT_HOME,
    INPUT_END,
    INPUT_BACKSPACE,
    INPUT_DELETE,
    INPUT_BACKTAB,
    INPUT_RESIZE,
    INPUT_MOUSE,
    INPUT_PASTE, /* a text, see term_pasted */
    INPUT_F1,    /* the others follow */
    INPUT_F12 = INPUT_F1 + 11,
};

#define INPUT_CTRL(letter) ((letter) - 'A' + 1)
