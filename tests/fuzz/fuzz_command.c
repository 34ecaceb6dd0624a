/* SPDX-License-Identifier: ISC */
/* Parameters of requests. Input: "method" LF, then the parameters as JSON; a second LF parts a
 * filter over the rows of that command. */
#include "fuzz.h"
#include "rpc/command.h"

static void check_failure(int err, struct command_failure *f)
{
    FUZZ_CHECK(err < 0 && err > -ERR_COUNT);
    FUZZ_CHECK(err == f->err);
    FUZZ_CHECK(!f->text || f->text[0]);
    command_failure_fini(f);
}

/* What was checked once passes again as it is: it is stored and looked at later. */
static void check_again(const struct command *c, const json_t *checked)
{
    json_t *again = NULL;
    struct command_failure failure = {0};
    FUZZ_CHECK(command_check(c, checked, &again, &failure) == 0);
    FUZZ_CHECK(json_equal(checked, again));
    json_decref(again);
}

/* A secret never gets into the audit. */
static void check_mask(const struct command *c, const json_t *params)
{
    AUTO_BUF text = BUF_INIT;
    size_t n;
    const struct command_arg *args = commands_args(c, &n);
    FUZZ_CHECK(command_mask(c, params, &text) == 0);
    for (size_t i = 0; i < n; i++) {
        const char *secret = json_string_value(json_object_get(params, args[i].name));
        if (args[i].type != COMMANDS_SECRET || !secret || strlen(secret) < 8)
            continue;
        /* unless another parameter says the same */
        bool is_elsewhere = false;
        const char *name;
        json_t *v;
        json_object_foreach ((json_t *)params, name, v)
            is_elsewhere = is_elsewhere || strcmp(name, args[i].name) != 0;
        FUZZ_CHECK(is_elsewhere || !strstr(buf_cstr(&text), secret));
    }
}

static void check_filter(const struct command *c, const json_t *row, struct str text)
{
    size_t n;
    const struct filter_field *fields = command_filter_fields(c, &n);
    struct filter *filter = NULL;
    char *error = NULL;
    if (n == 0)
        return;
    if (filter_parse(text, fields, n, &filter, &error) == 0)
        (void)filter_match(filter, command_row_get, row);
    filter_unref(filter);
    free(error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = str_n(data, size);
    AUTO_FREE char *method = str_dup(str_cut(&in, '\n'));
    struct str text = str_cut(&in, '\n');
    FUZZ_CHECK(method);
    const struct command *c = commands_find_method(method);
    (void)command_nearest(method);
    json_error_t error;
    json_t *params = json_loadb(text.p ? text.p : "", text.n, JSON_REJECT_DUPLICATES, &error);
    if (c && (!params || json_is_object(params))) {
        json_t *checked = NULL;
        struct command_failure failure = {0};
        int err = command_check(c, params, &checked, &failure);
        FUZZ_CHECK((checked != NULL) == (err == 0));
        if (err < 0)
            check_failure(err, &failure);
        else
            check_again(c, checked);
        check_mask(c, params);
        check_filter(c, params, in);
        json_decref(checked);
    }
    json_decref(params);
    return 0;
}
