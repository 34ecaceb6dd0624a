/* SPDX-License-Identifier: ISC */
/* A small list over the screen, of which a letter picks an item. */
#pragma once

#include "tui/screen.h"

#define MENU_ITEMS_MAX 48
#define MENU_TEXT_MAX 320

enum menu_result { MENU_OPEN, MENU_PICKED, MENU_LEFT };

struct menu_item {
    int key;       /* its letter; 0 = none */
    bool is_on;    /* it is what holds now */
    char name[32]; /* what the caller knows it by */
    char text[MENU_TEXT_MAX];
};

struct menu {
    bool is_open;
    int kind; /* the caller's */
    char title[64], hint[96];
    struct menu_item items[MENU_ITEMS_MAX];
    size_t n, at, first; /* items; the selected one; the first that is visible */
};

/* Opens an empty one. */
void menu_open(struct menu *m, int kind, const char *title, const char *hint);
/* Adds an item with a letter of its own, or, with key 0, the next that is free. */
void menu_add(struct menu *m, int key, const char *name, bool is_on, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
void menu_close(struct menu *m);
/* MENU_PICKED: items[at] was picked; it stays open. */
enum menu_result menu_key(struct menu *m, int key);
void menu_draw(struct menu *m, struct screen *s);
