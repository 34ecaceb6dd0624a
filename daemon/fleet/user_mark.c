/* SPDX-License-Identifier: ISC */
/* When a node last had all users of its fleet. */
#include "fleet/user_mark.h"

#include <jansson.h>
#include <string.h>

#include "rpc/json_text.h"

enum user_lateness user_mark_judge(const struct user_mark *last, const struct user_mark *now)
{
    bool is_of_this = strcmp(last->epoch, now->epoch) == 0 && now->number >= last->number;
    if (!*last->epoch || now->at_ms < last->at_ms + USER_LATE_MS)
        return USER_IN_TIME;
    return is_of_this ? USER_LATE : USER_LATE_OTHER;
}

char *user_mark_text(const struct user_mark *m)
{
    return json_text_take(json_pack("{s:s, s:I, s:I}", "epoch", m->epoch, "number",
                                    (json_int_t)m->number, "at", (json_int_t)m->at_ms));
}

int user_mark_read(const char *json, struct user_mark *ret)
{
    json_t *v = json_loads(json, JSON_REJECT_DUPLICATES, NULL);
    const char *epoch = json_string_value(json_object_get(v, "epoch"));
    const json_t *number = json_object_get(v, "number"), *at = json_object_get(v, "at");
    struct user_mark m = {.number = (uint64_t)json_integer_value(number),
                          .at_ms = (uint64_t)json_integer_value(at)};
    bool is_good = epoch && json_integer_value(number) >= 0 && json_integer_value(at) > 0 &&
                   str_copy(m.epoch, sizeof(m.epoch), str_of(epoch));
    json_decref(v);
    if (!is_good)
        return -ERR_SYNTAX;
    *ret = m;
    return 0;
}
