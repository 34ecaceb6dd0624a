/* SPDX-License-Identifier: ISC */
/* Lines of Prometheus' text format. */
#include "control/exposition.h"

#include <stdarg.h>

void exposition_put(struct exposition *e, struct str text)
{
    if (e->err == 0)
        e->err = buf_append_str(e->out, text);
}

void exposition_print(struct exposition *e, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    if (e->err == 0)
        e->err = buf_vprintf(e->out, fmt, ap);
    va_end(ap);
}

void exposition_head(struct exposition *e, const char *name, const char *type, const char *help)
{
    exposition_print(e, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void exposition_label(struct exposition *e, const char *value)
{
    for (const char *p = value; *p && e->err == 0; p++) {
        const char *escaped = *p == '\\' ? "\\\\" : *p == '"' ? "\\\"" : *p == '\n' ? "\\n" : NULL;
        e->err = escaped ? buf_append_c(e->out, escaped) : buf_append_char(e->out, *p);
    }
}

void exposition_value(struct exposition *e, uint64_t v, uint64_t per)
{
    int digits = 0;
    for (uint64_t p = per; p > 1; p /= 10)
        digits++;
    if (digits == 0)
        exposition_print(e, " %llu\n", (unsigned long long)v);
    else
        exposition_print(e, " %llu.%0*llu\n", (unsigned long long)(v / per), digits,
                         (unsigned long long)(v % per));
}

void exposition_single(struct exposition *e, const char *name, const char *type, const char *help,
                       uint64_t v, uint64_t per)
{
    exposition_head(e, name, type, help);
    exposition_put(e, str_of(name));
    exposition_value(e, v, per);
}
