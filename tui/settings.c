/* SPDX-License-Identifier: ISC */
/* tui.conf, in libconfig's syntax. */
#include "tui/settings.h"

#include <errno.h>
#include <libconfig.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/units.h"

static const char *const backgrounds[] = {"auto", "dark", "light"};

void settings_init(struct settings *s)
{
    *s = (struct settings){.interval_ms = 1000};
}

void settings_fini(struct settings *s)
{
    for (size_t i = 0; i < s->n_history; i++)
        free(s->history[i]);
    s->n_history = 0;
    for (size_t i = 0; i < s->n_filters; i++)
        free(s->filters[i].text);
    s->n_filters = 0;
}

/* ---- filters with names ---- */

const struct settings_filter *settings_filter(const struct settings *s, enum pane p,
                                              struct str name)
{
    for (size_t i = 0; i < s->n_filters; i++)
        if (strcmp(s->filters[i].pane, pane_rows[p].name) == 0 &&
            str_eq(str_of(s->filters[i].name), name))
            return &s->filters[i];
    return NULL;
}

int settings_name_filter(struct settings *s, enum pane p, struct str name, const char *text)
{
    struct settings_filter f = {0};
    const struct settings_filter *old = settings_filter(s, p, name);
    if (!name.n || !str_copy(f.name, sizeof(f.name), name) ||
        !str_copy(f.pane, sizeof(f.pane), str_of(pane_rows[p].name)))
        return -ERR_BAD_PARAM;
    if (!old && text[0] && s->n_filters == SETTINGS_FILTERS_MAX)
        return -ERR_TOO_MANY;
    if (text[0] && !(f.text = str_dup_c(text)))
        return -ERR_NOMEM;
    if (old) {
        size_t at = (size_t)(old - s->filters);
        free(s->filters[at].text);
        memmove(&s->filters[at], &s->filters[at + 1], (--s->n_filters - at) * sizeof(f));
    }
    if (f.text)
        s->filters[s->n_filters++] = f;
    return 0;
}

char *settings_path(void)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    if (config && config[0] == '/')
        return str_printf("%s/mailproxy/tui.conf", config);
    return home && home[0] ? str_printf("%s/.config/mailproxy/tui.conf", home) : NULL;
}

/* ---- reading ---- */

static void settings_read_pane(struct settings *s, const config_t *c, int pane)
{
    struct settings_pane *p = &s->panes[pane];
    const config_setting_t *lists = config_lookup(c, "lists");
    const config_setting_t *group =
        lists ? config_setting_get_member(lists, pane_rows[pane].name) : NULL;
    const char *sort;
    int wide = 0;
    if (!group)
        return;
    p->is_set = config_setting_lookup_string(group, "sort", &sort) == CONFIG_TRUE &&
                str_copy(p->sort, sizeof(p->sort), str_of(sort));
    (void)config_setting_lookup_bool(group, "wide", &wide);
    p->is_wide = wide;
    if (config_setting_lookup_string(group, "columns", &sort) == CONFIG_TRUE)
        (void)str_copy(p->columns, sizeof(p->columns), str_of(sort));
}

static void settings_read_filters(struct settings *s, const config_t *c)
{
    const config_setting_t *list = config_lookup(c, "filters");
    int n = list ? config_setting_length(list) : 0, focus;
    for (int i = 0; i < n; i++) {
        const config_setting_t *f = config_setting_get_elem(list, (unsigned)i);
        const char *pane, *name, *text;
        bool is_whole = config_setting_lookup_string(f, "list", &pane) == CONFIG_TRUE &&
                        config_setting_lookup_string(f, "name", &name) == CONFIG_TRUE &&
                        config_setting_lookup_string(f, "filter", &text) == CONFIG_TRUE;
        int screen = is_whole ? screen_find(pane, &focus) : -1;
        if (screen >= 0)
            (void)!settings_name_filter(s, screen_rows[screen].panes[focus], str_of(name), text);
    }
}

static void settings_read(struct settings *s, const config_t *c)
{
    const char *text;
    int n;
    uint64_t ms;
    if (config_lookup_string(c, "interval", &text) &&
        units_parse_duration(str_of(text), &ms) == 0 && ms >= SETTINGS_INTERVAL_MIN_MS &&
        ms <= SETTINGS_INTERVAL_MAX_MS)
        s->interval_ms = ms;
    if (config_lookup_bool(c, "ascii", &n))
        s->is_ascii = n;
    if (config_lookup_bool(c, "mouse", &n))
        s->has_mouse = n;
    if (config_lookup_int(c, "span", &n) && n >= 0)
        s->span = (unsigned)n;
    if (config_lookup_string(c, "screen", &text))
        (void)str_copy(s->screen, sizeof(s->screen), str_of(text));
    if (config_lookup_string(c, "background", &text))
        for (size_t i = 0; i < ARRAY_LEN(backgrounds); i++)
            if (strcmp(text, backgrounds[i]) == 0)
                s->background = (enum settings_background)i;
    for (int p = 0; p < PANE_COUNT; p++)
        settings_read_pane(s, c, p);
    settings_read_filters(s, c);
    const config_setting_t *history = config_lookup(c, "history");
    int n_lines = history ? config_setting_length(history) : 0;
    for (int i = 0; i < n_lines && s->n_history < SETTINGS_HISTORY_MAX; i++) {
        char *line = str_dup_c(config_setting_get_string_elem(history, i));
        if (line)
            s->history[s->n_history++] = line;
    }
}

int settings_load(struct settings *s, const char *path, char **ret_error)
{
    config_t c;
    int err = 0;
    FILE *f = fopen(path, "re");
    if (!f && errno == ENOENT)
        return 0;
    if (!f) {
        *ret_error = str_printf("cannot read %s: %s", path, strerror(errno));
        return -ERR_IO;
    }
    config_init(&c);
    if (config_read(&c, f)) {
        settings_read(s, &c);
    } else {
        err = -ERR_SYNTAX;
        *ret_error = str_printf("%s:%d: %s", path, config_error_line(&c), config_error_text(&c));
    }
    config_destroy(&c);
    fclose(f);
    return err;
}

/* ---- writing ---- */

static void settings_put_text(config_setting_t *group, const char *name, const char *text)
{
    config_setting_t *v = config_setting_add(group, name, CONFIG_TYPE_STRING);
    if (v)
        (void)config_setting_set_string(v, text);
}

static void settings_put_bool(config_setting_t *group, const char *name, bool yes)
{
    config_setting_t *v = config_setting_add(group, name, CONFIG_TYPE_BOOL);
    if (v)
        (void)config_setting_set_bool(v, yes);
}

static void settings_build(const struct settings *s, config_t *c)
{
    char interval[32];
    config_setting_t *root = config_root_setting(c), *v;
    units_format_duration(interval, s->interval_ms);
    settings_put_text(root, "interval", interval);
    settings_put_bool(root, "ascii", s->is_ascii);
    settings_put_bool(root, "mouse", s->has_mouse);
    settings_put_text(root, "background", backgrounds[s->background]);
    settings_put_text(root, "screen", s->screen);
    if ((v = config_setting_add(root, "span", CONFIG_TYPE_INT)))
        (void)config_setting_set_int(v, (int)s->span);
    config_setting_t *lists = config_setting_add(root, "lists", CONFIG_TYPE_GROUP);
    for (int p = 0; lists && p < PANE_COUNT; p++) {
        config_setting_t *group =
            s->panes[p].is_set ? config_setting_add(lists, pane_rows[p].name, CONFIG_TYPE_GROUP)
                               : NULL;
        if (!group)
            continue;
        settings_put_text(group, "sort", s->panes[p].sort);
        settings_put_bool(group, "wide", s->panes[p].is_wide);
        if (s->panes[p].columns[0])
            settings_put_text(group, "columns", s->panes[p].columns);
    }
    config_setting_t *filters = config_setting_add(root, "filters", CONFIG_TYPE_LIST);
    for (size_t i = 0; filters && i < s->n_filters; i++) {
        config_setting_t *f = config_setting_add(filters, NULL, CONFIG_TYPE_GROUP);
        if (!f)
            continue;
        settings_put_text(f, "list", s->filters[i].pane);
        settings_put_text(f, "name", s->filters[i].name);
        settings_put_text(f, "filter", s->filters[i].text);
    }
    config_setting_t *history = config_setting_add(root, "history", CONFIG_TYPE_LIST);
    for (size_t i = 0; history && i < s->n_history; i++)
        (void)config_setting_set_string_elem(history, -1, s->history[i]);
}

int settings_save(const struct settings *s, const char *path)
{
    config_t c;
    AUTO_FREE char *temporary = str_printf("%s.%ld", path, (long)getpid());
    if (!temporary)
        return -ERR_NOMEM;
    AUTO_FREE char *folder = str_dup_c(path);
    for (char *at = folder ? strchr(folder + 1, '/') : NULL; at; at = strchr(at + 1, '/')) {
        *at = '\0';
        (void)mkdir(folder, 0700);
        *at = '/';
    }
    mode_t mask = umask(0077);
    FILE *f = fopen(temporary, "wxe");
    umask(mask);
    if (!f)
        return err_from_errno(errno);
    config_init(&c);
    settings_build(s, &c);
    config_write(&c, f);
    config_destroy(&c);
    bool is_bad = ferror(f);
    is_bad = fclose(f) != 0 || is_bad;
    if (is_bad || rename(temporary, path) < 0) {
        (void)unlink(temporary);
        return -ERR_IO;
    }
    return 0;
}
