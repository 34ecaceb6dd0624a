/* SPDX-License-Identifier: ISC */
/* Configurations and contents for tests of the supervisor's rules. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <unistd.h>

#include "config/config.h"
#include "config/config_bundle.h"
#include "supervisor/content.h"

/* libconfig 1.5 loses the text before a syntax error. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libconfig.so";
}

/* Writes a file of its own; the path is valid until the next one. */
static inline const char *case_file(const char *text)
{
    static char path[64];
    snprintf(path, sizeof(path), "/tmp/mailproxy-case-%d.conf", (int)getpid());
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fputs("auth = ( { type = \"users\"; } );\n", f);
    assert_int_equal(fclose(f), 0);
    return path;
}

/* The configuration of a text, to which a provider is added. */
static inline struct config *case_config(const char *text)
{
    struct config *c = NULL;
    struct config_problems problems = {0};
    const char *path = case_file(text);
    int err = config_load(path, &c, &problems);
    for (size_t i = 0; err < 0 && i < problems.n; i++)
        print_message("%s: %s\n", problems.v[i].key, problems.v[i].text);
    assert_int_equal(err, 0);
    config_problems_fini(&problems);
    unlink(path);
    return c;
}

/* A memory with a bundle of it, not sealed yet. */
static inline int case_bundle(const char *text)
{
    int fd;
    AUTO_BUF out = BUF_INIT;
    struct config_problems none = {0};
    struct config *c = case_config(text);
    assert_int_equal(config_bundle_append(c, &none, &out), 0);
    assert_int_equal(plan_append(c, &out), 0);
    assert_int_equal(content_memory(&fd), 0);
    assert_int_equal(write(fd, out.data + out.start, out.len), (ssize_t)out.len);
    config_unref(c);
    return fd;
}

static inline struct content *case_content(const char *text, uint64_t number)
{
    struct content *c = NULL;
    assert_int_equal(content_new(case_bundle(text), -1, &c), 0);
    c->number = number;
    return c;
}
