/* SPDX-License-Identifier: ISC */
/* The linked list: order, unlinking while walking, splicing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <string.h>

#include "base/container/list.h"

struct item {
    int number;
    struct list link;
};

static void check(const struct list *head, const char *want)
{
    char seen[16] = "";
    size_t n = 0;
    LIST_FOREACH (it, head)
        seen[n++] = (char)('0' + LIST_ITEM(it, struct item, link)->number);
    assert_string_equal(seen, want);
    n = 0;
    for (const struct list *it = head->prev; it != head; it = it->prev)
        n++;
    assert_int_equal(n, strlen(want)); /* the way back is as long */
}

static void test_list(void **state)
{
    struct list head, other;
    struct item items[6];
    list_init(&head);
    list_init(&other);
    assert_true(list_is_empty(&head));
    check(&head, "");
    for (int i = 0; i < 6; i++) {
        items[i].number = i;
        list_init(&items[i].link);
        list_del(&items[i].link); /* in no list: harmless */
    }
    for (int i = 0; i < 3; i++)
        list_add_tail(&head, &items[i].link);
    list_add_head(&head, &items[3].link);
    check(&head, "3012");
    list_del(&items[0].link);
    list_del(&items[0].link);
    check(&head, "312");
    list_splice_tail(&head, &other);
    check(&head, "312");
    list_add_tail(&other, &items[4].link);
    list_add_tail(&other, &items[5].link);
    list_splice_tail(&head, &other);
    check(&head, "31245");
    assert_true(list_is_empty(&other));
    list_splice_tail(&other, &head);
    check(&other, "31245");
    check(&head, "");
    LIST_FOREACH_SAFE (it, &other) {
        struct item *i = LIST_ITEM(it, struct item, link);
        if (i->number % 2)
            list_del(it);
    }
    check(&other, "24");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_list)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
