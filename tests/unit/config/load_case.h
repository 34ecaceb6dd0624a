/* SPDX-License-Identifier: ISC */
/* Files made for one test, and what loading them says. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "config/config.h"

/* Enough for a file to be valid; tests put their keys before it, so that line 1 is theirs. */
#define LOAD_AUTH "auth = ( { type = \"users\"; } );\n"

/* libconfig 1.5 loses the text before a syntax error; what we lose ourselves still counts. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libconfig.so";
}

static char load_folder[64];
static char load_file[128];

static inline int load_setup(void **state)
{
    (void)state;
    (void)str_copy(load_folder, sizeof(load_folder), STR("/tmp/mailproxy-config-XXXXXX"));
    if (!mkdtemp(load_folder))
        return -1;
    (void)snprintf(load_file, sizeof(load_file), "%s/main.conf", load_folder);
    return 0;
}

static inline void load_path(char dst[128], const char *name)
{
    (void)snprintf(dst, 128, "%s/%s", load_folder, name);
}

static inline void load_remove(const char *name)
{
    char path[128];
    load_path(path, name);
    (void)unlink(path);
}

static inline int load_teardown(void **state)
{
    (void)state;
    load_remove("main.conf");
    return rmdir(load_folder);
}

static inline void load_write(const char *name, struct str text)
{
    char path[128];
    load_path(path, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text.p, 1, text.n, f), text.n);
    assert_int_equal(fclose(f), 0);
}

/* What one load gave. */
struct loaded {
    int err;
    struct config *config; /* NULL after an error */
    struct config_problems problems;
};

static inline void load_run(struct loaded *l)
{
    *l = (struct loaded){0};
    l->err = config_load(load_file, &l->config, &l->problems);
    assert_true((l->err == 0) == (l->config != NULL));
}

static inline void load_bytes(struct loaded *l, struct str text)
{
    load_write("main.conf", text);
    load_run(l);
}

static inline void load_text(struct loaded *l, const char *text)
{
    load_bytes(l, str_of(text));
}

static inline void load_fini(struct loaded *l)
{
    config_unref(l->config);
    config_problems_fini(&l->problems);
}

/* The problems without the folder, owned. */
static inline char *load_words(const struct loaded *l)
{
    AUTO_BUF all = BUF_INIT;
    AUTO_BUF words = BUF_INIT;
    assert_int_equal(config_problems_format(&l->problems, &all), 0);
    struct str rest = buf_str(&all);
    while (rest.n > 0) {
        struct str line = str_cut(&rest, '\n');
        struct str folder = str_of(load_folder);
        if (str_is_prefix(line, folder))
            line = str_n(line.p + folder.n + 1, line.n - folder.n - 1);
        assert_int_equal(buf_append_str(&words, line), 0);
        assert_int_equal(buf_append_char(&words, '\n'), 0);
    }
    char *text = buf_steal(&words);
    assert_non_null(text);
    return text;
}

static inline void load_assert_words(const struct loaded *l, const char *want)
{
    AUTO_FREE char *words = load_words(l);
    assert_string_equal(words, want);
}

/* Some problem line holds `part`. */
static inline void load_assert_has(const struct loaded *l, const char *part)
{
    AUTO_FREE char *words = load_words(l);
    if (!strstr(words, part))
        fail_msg("\"%s\" is not in:\n%s", part, words);
}

/* Loads what must be right. */
static inline struct config *load_good(const char *text)
{
    struct loaded l;
    load_text(&l, text);
    AUTO_FREE char *words = load_words(&l);
    if (l.err < 0)
        fail_msg("%s\n%s", text, words);
    config_problems_fini(&l.problems);
    return l.config;
}

static inline char *load_dump(const struct config *c, unsigned flags)
{
    AUTO_BUF text = BUF_INIT;
    assert_int_equal(config_dump(c, flags, &text), 0);
    char *dump = buf_steal(&text);
    assert_non_null(dump);
    return dump;
}
