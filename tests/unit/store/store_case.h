/* SPDX-License-Identifier: ISC */
/* A store in a folder of the test's own, and whole files for comparison. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "store/store.h"

static struct store_case {
    char folder[32], path[64];
    struct store *store;
} store_case;

/* Opens; a failure leaves its sentence in *ret_error (owned). */
static inline int store_case_try(char **ret_error)
{
    const struct store_spec spec = {.type = "sqlite", .path = store_case.path};
    struct store *s = NULL;
    int err = store_open(&spec, &s, ret_error);
    assert_int_equal(s == NULL, err != 0);
    assert_int_equal(*ret_error != NULL, err != 0);
    store_case.store = s;
    return err;
}

static inline void store_case_open(void)
{
    char *error = NULL;
    if (store_case_try(&error) != 0)
        fail_msg("%s", error);
}

static inline void store_case_close(void)
{
    store_close(store_case.store);
    store_case.store = NULL;
}

static inline int store_case_setup_folder(void **state)
{
    (void)state;
    store_case = (struct store_case){.folder = "/tmp/store_case.XXXXXX"};
    if (!mkdtemp(store_case.folder))
        return -1;
    snprintf(store_case.path, sizeof(store_case.path), "%s/store", store_case.folder);
    return 0;
}

static inline int store_case_setup(void **state)
{
    if (store_case_setup_folder(state) != 0)
        return -1;
    store_case_open();
    return 0;
}

static inline int store_case_teardown(void **state)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
    char path[80];
    (void)state;
    store_case_close();
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        snprintf(path, sizeof(path), "%s%s", store_case.path, suffixes[i]);
        (void)remove(path);
    }
    assert_int_equal(rmdir(store_case.folder), 0);
    return 0;
}

/* ---- files ---- */

static inline void store_case_read(struct buf *out)
{
    char block[4096];
    ssize_t n;
    AUTO_CLOSE int fd = open(store_case.path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    buf_clear(out);
    while ((n = read(fd, block, sizeof(block))) > 0)
        assert_int_equal(buf_append(out, block, (size_t)n), 0);
    assert_int_equal(n, 0);
}

static inline void store_case_write(struct str bytes, long at)
{
    AUTO_CLOSE int fd = open(store_case.path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes.p, bytes.n, at), bytes.n);
}
