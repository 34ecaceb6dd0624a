/* SPDX-License-Identifier: ISC */
/* Findings of the checks: a sentence at a key, with the place where that key stands. */
#include "config/config_check.h"

#include <stdio.h>

static void check_add(struct check *k, const char *name, bool is_warning, const char *fmt,
                      va_list ap)
{
    char key[256], text[512];
    const char *file;
    (void)snprintf(key, sizeof(key), "%s%s%s", k->key, *k->key && *name ? "." : "", name);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    unsigned line = config_place_line(k->places, key, &file);
    config_problem_add(k->problems, file, line, key, is_warning, "%s", text);
}

void check_error(struct check *k, const char *name, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    check_add(k, name, false, fmt, ap);
    va_end(ap);
}

void check_warning(struct check *k, const char *name, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    check_add(k, name, true, fmt, ap);
    va_end(ap);
}

bool check_is_set(const struct check *k, const char *name)
{
    char key[256];
    (void)snprintf(key, sizeof(key), "%s%s%s", k->key, *k->key ? "." : "", name);
    return config_place_has(k->places, key);
}

void check_enter(struct check *k, const char *list, size_t i)
{
    (void)snprintf(k->key, sizeof(k->key), "%s[%zu]", list, i);
}

const char *check_nearest(char dst[128], const char *word, const char *const *names, size_t n)
{
    const char *near = str_nearest(word, names, n);
    dst[0] = '\0';
    if (near)
        (void)snprintf(dst, 128, "; did you mean \"%s\"?", near);
    return dst;
}
