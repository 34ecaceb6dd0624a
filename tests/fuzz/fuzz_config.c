/* SPDX-License-Identifier: ISC */
/* A configuration file. What is accepted can be printed and is accepted as the same again; what is
 * not is told with its place. */
#include <sys/mman.h>
#include <unistd.h>

#include "config/config.h"
#include "fuzz.h"
#include "fuzz_libconfig.h"

/* The file lives in memory only. */
static int load(struct str text, struct config **ret, struct config_problems *problems)
{
    char path[64];
    int fd = memfd_create("config", MFD_CLOEXEC);
    FUZZ_CHECK(fd >= 0);
    FUZZ_CHECK(write(fd, text.p ? text.p : "", text.n) == (ssize_t)text.n);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int err = config_load(path, ret, problems);
    close(fd);
    FUZZ_CHECK(err == 0 || err == -ERR_CONFIG);
    return err;
}

static void check_problems(const struct config_problems *problems, bool has_failed)
{
    AUTO_BUF text = BUF_INIT;
    bool has_error = false;
    for (size_t i = 0; i < problems->n; i++) {
        const struct config_problem *p = &problems->v[i];
        FUZZ_CHECK(p->text && p->text[0]);
        has_error = has_error || !p->is_warning;
    }
    FUZZ_CHECK(has_error == has_failed);
    FUZZ_CHECK(config_problems_format(problems, &text) == 0);
}

static void load_again(const struct config *c)
{
    AUTO_BUF text = BUF_INIT;
    AUTO_BUF again = BUF_INIT;
    struct config *same = NULL;
    struct config_problems problems = {0};
    FUZZ_CHECK(config_dump(c, CONFIG_DUMP_SECRETS, &text) == 0);
    if (load(buf_str(&text), &same, &problems) < 0) {
        AUTO_BUF why = BUF_INIT;
        (void)!config_problems_format(&problems, &why);
        fprintf(stderr, "%.*s\n%.*s", STR_ARG(buf_str(&text)), STR_ARG(buf_str(&why)));
        FUZZ_CHECK(!"what was printed is accepted");
    }
    config_problems_fini(&problems);
    FUZZ_CHECK(config_dump(same, CONFIG_DUMP_SECRETS, &again) == 0);
    FUZZ_CHECK(str_eq(buf_str(&text), buf_str(&again)));
    struct config_changes changes = {0};
    FUZZ_CHECK(config_diff(c, same, &changes) == 0);
    FUZZ_CHECK(changes.n == 0);
    config_changes_fini(&changes);
    config_unref(same);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config *c = NULL;
    struct config_problems problems = {0};
    int err = load(str_n(data, size), &c, &problems);
    FUZZ_CHECK((c != NULL) == (err == 0));
    check_problems(&problems, err < 0);
    config_problems_fini(&problems);
    if (c)
        load_again(c);
    config_unref(c);
    return 0;
}
