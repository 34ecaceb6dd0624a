/* SPDX-License-Identifier: ISC */
/* The filter language: a filter, and rows with and without values. */
#include "fuzz.h"
#include "proto/filter.h"

enum { FIELD_TEXT, FIELD_NUMBER, FIELD_SIZE, FIELD_DURATION, FIELD_IP, FIELD_BOOL };

/* Of a value with a slash: the text twice. */
static int within(int id)
{
    return id == FIELD_TEXT ? FIELD_TEXT : -1;
}

static const struct filter_field fields[] = {
    {"user", "u", FILTER_TEXT, FIELD_TEXT, NULL, within},
    {"port", NULL, FILTER_NUMBER, FIELD_NUMBER, NULL, NULL},
    {"in", NULL, FILTER_SIZE, FIELD_SIZE, NULL, NULL},
    {"idle", "i", FILTER_DURATION, FIELD_DURATION, NULL, NULL},
    {"ip", NULL, FILTER_IP, FIELD_IP, NULL, NULL},
    {"tls", NULL, FILTER_BOOL, FIELD_BOOL, NULL, NULL},
};

struct row {
    struct filter_value values[ARRAY_LEN(fields)];
    bool is_empty;
};

static bool row_get(const void *row, int id, struct filter_value *ret)
{
    const struct row *r = row;
    if (r->is_empty)
        return false;
    *ret = r->values[id];
    return true;
}

/* NULL when it is none; then it was said why. */
static struct filter *compile(struct str text)
{
    struct filter *filter = NULL;
    char *error = NULL;
    int err = filter_parse(text, fields, ARRAY_LEN(fields), &filter, &error);
    FUZZ_CHECK(err == 0 || err == -ERR_SYNTAX || err == -ERR_NO_PARAM);
    if (err < 0) {
        FUZZ_CHECK(!filter && error);
        FUZZ_CHECK(error[0] && strlen(error) <= 512 && str_is_utf8(str_of(error)));
        FUZZ_CHECK(!str_has_crlf_nul(str_of(error)));
        free(error);
    } else {
        FUZZ_CHECK(filter && !error);
    }
    return filter;
}

static void match(struct filter *filter, struct filter *same)
{
    static const uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8};
    struct addr v4;
    FUZZ_CHECK(addr_parse(STR("10.1.2.3:993"), &v4) == 0);
    struct addr other = {.family = AF_INET6, .port = 1};
    memcpy(other.ip, v6, sizeof(v6));
    const struct row rows[] = {
        {.is_empty = true},
        {.values = {[FIELD_TEXT] = {.text = STR("joe@example.org")},
                    [FIELD_NUMBER] = {.number = 993},
                    [FIELD_SIZE] = {.number = 4096},
                    [FIELD_DURATION] = {.number = 60000},
                    [FIELD_IP] = {.addr = &v4},
                    [FIELD_BOOL] = {.yes = true}}},
        {.values = {[FIELD_TEXT] = {.text = STR_NULL},
                    [FIELD_NUMBER] = {.number = UINT64_MAX},
                    [FIELD_IP] = {.addr = &other}}},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        bool is_match = filter_match(filter, row_get, &rows[i]);
        FUZZ_CHECK(is_match == filter_match(same, row_get, &rows[i]));
        FUZZ_CHECK(is_match || !filter_is_empty(filter));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_n(data, size);
    struct filter *filter = compile(text);
    if (!filter)
        return 0;
    /* blanks around it change nothing */
    AUTO_BUF wide = BUF_INIT;
    fuzz_note_str(&wide, STR(" \t"));
    fuzz_note_str(&wide, text);
    fuzz_note_str(&wide, STR(" "));
    struct filter *same = compile(buf_str(&wide));
    FUZZ_CHECK(same);
    match(filter, same);
    filter_unref(filter);
    filter_unref(same);
    return 0;
}
