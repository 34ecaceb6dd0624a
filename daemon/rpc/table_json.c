/* SPDX-License-Identifier: ISC */
/* Rows of JSON as a table. */
#include "rpc/table_json.h"

#include "base/cleanup.h"
#include "rpc/page.h"

static bool value_is_digits(const char *s)
{
    return s[0] && s[strspn(s, "0123456789")] == '\0';
}

static int json_value_compare(const json_t *a, const json_t *b)
{
    if (!a || !b)
        return (a != NULL) - (b != NULL);
    if (json_is_number(a) && json_is_number(b)) {
        json_int_t x = json_integer_value(a), y = json_integer_value(b);
        return (x > y) - (x < y);
    }
    if (!json_is_string(a) || !json_is_string(b))
        return json_is_true(a) - json_is_true(b);
    const char *s = json_string_value(a), *t = json_string_value(b);
    if (!value_is_digits(s) || !value_is_digits(t))
        return strcasecmp(s, t);
    /* Texts that are numbers, as ids, are compared as such. */
    s += strspn(s, "0");
    t += strspn(t, "0");
    size_t n = strlen(s), m = strlen(t);
    return n != m ? (n > m) - (n < m) : strcmp(s, t);
}

int table_key_order(const struct table_key *a, const struct table_key *b)
{
    int order = json_value_compare(a->value, b->value);
    if (order == 0)
        return a->position < b->position ? -1 : a->position > b->position;
    return a->is_descending ? -order : order;
}

static int key_compare(const void *x, const void *y)
{
    return table_key_order(x, y);
}

struct table_key table_key_of(json_t *row, const char *sort, size_t position)
{
    bool is_descending = sort[0] == '-';
    return (struct table_key){row, json_object_get(row, sort + is_descending), position,
                              is_descending};
}

int table_sort(json_t *rows, const char *sort)
{
    size_t n = json_array_size(rows);
    AUTO_FREE struct table_key *keys = calloc(n + 1, sizeof(*keys));
    if (!keys)
        return -ERR_NOMEM;
    for (size_t i = 0; i < n; i++)
        keys[i] = table_key_of(json_incref(json_array_get(rows, i)), sort, i);
    qsort(keys, n, sizeof(*keys), key_compare);
    (void)json_array_clear(rows);
    int err = 0;
    for (size_t i = 0; i < n; i++)
        if (json_array_append_new(rows, keys[i].row) != 0)
            err = -ERR_NOMEM;
    return err;
}

void table_cut(json_t *rows, size_t n)
{
    while (json_array_size(rows) > n)
        (void)json_array_remove(rows, json_array_size(rows) - 1);
}

void table_answer(struct request *r, json_t *rows)
{
    const char *sort = request_text(r, "sort");
    struct page page;
    size_t i;
    json_t *row, *kept = json_array();
    if (page_init(&page, r, SIZE_MAX, SIZE_MAX) < 0) {
        json_decref(rows);
        json_decref(kept);
        return;
    }
    json_array_foreach (rows, i, row)
        if (page_match(&page, row))
            (void)json_array_append(kept, row);
    json_decref(rows);
    page_fini(&page);
    if (sort && kept && table_sort(kept, sort) < 0) {
        json_decref(kept);
        request_fail(r, -ERR_NOMEM, NULL, NULL);
        return;
    }
    if (request_has(r, "limit"))
        table_cut(kept, request_number(r, "limit", 0));
    page_answer(&page, r, kept, NULL);
}
