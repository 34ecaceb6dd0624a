/* SPDX-License-Identifier: ISC */
/* Files of users. Input: a byte that picks the format, then the file. What can be read can be
 * written, and is the same when it is read again. */
#include "fuzz.h"
#include "fuzz_libconfig.h"
#include "store/user_file.h"

static void fini(struct store_user *users, size_t n)
{
    for (size_t i = 0; i < n; i++)
        store_user_fini(&users[i]);
    free(users);
}

/* False: there is a name that the format cannot hold. */
static bool write_all(enum user_file_format format, const struct store_user *users, size_t n,
                      struct buf *out)
{
    FUZZ_CHECK(user_file_begin(format, out) == 0);
    for (size_t i = 0; i < n; i++)
        if (user_file_user(format, &users[i], i == 0, out) < 0)
            return false;
    FUZZ_CHECK(user_file_end(format, out) == 0);
    return true;
}

static void read_again(enum user_file_format format, const struct buf *text)
{
    struct store_user *users = NULL;
    size_t n = 0;
    AUTO_BUF errors = BUF_INIT;
    AUTO_BUF again = BUF_INIT;
    int err = user_file_parse(format, buf_str(text), &users, &n, &errors);
    if (err < 0)
        fprintf(stderr, "written: %.*s\n%.*s\n", STR_ARG(buf_str(text)), STR_ARG(buf_str(&errors)));
    FUZZ_CHECK(err == 0);
    FUZZ_CHECK(write_all(format, users, n, &again));
    FUZZ_CHECK(str_eq(buf_str(text), buf_str(&again)));
    fini(users, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = str_n(data, size);
    enum user_file_format format = (enum user_file_format)(fuzz_choice(&in) % 3);
    struct store_user *users = NULL;
    size_t n = 0;
    AUTO_BUF errors = BUF_INIT;
    int err = user_file_parse(format, in, &users, &n, &errors);
    FUZZ_CHECK(err == 0 || err == -ERR_SYNTAX);
    if (err < 0) {
        FUZZ_CHECK(!users && n == 0);
        FUZZ_CHECK(errors.len > 0 && errors.len < 65536);
        FUZZ_CHECK(str_is_prefix(buf_str(&errors), STR("line ")));
        return 0;
    }
    FUZZ_CHECK(errors.len == 0);
    for (int f = 0; f < 3; f++) {
        AUTO_BUF text = BUF_INIT;
        bool is_written = write_all((enum user_file_format)f, users, n, &text);
        FUZZ_CHECK(is_written || (f == USER_FILE_PASSWD && f != (int)format));
        if (is_written)
            read_again((enum user_file_format)f, &text);
    }
    fini(users, n);
    return 0;
}
