/* SPDX-License-Identifier: ISC */
/* Commands that are about the same: which they are, and which came behind another. */
#include "fleet/commands/fleet_order.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "fleet/fleet_message.h"

struct taken {
    struct list link, age;
    char position[FLEET_ORDER_POSITION_MAX];
    json_t *m;
    size_t bytes;
};

/* ---- what is the same ---- */

/* A value, or one of a list. */
static bool names_have(const json_t *names, const char *name)
{
    return json_is_string(names) ? strcmp(json_string_value(names), name) == 0
                                 : fleet_message_find(names, name) >= 0;
}

const json_t *fleet_order_about(const json_t *m)
{
    const json_t *params = json_object_get(m, "params"), *name = json_object_get(params, "name");
    return name ? name : json_object_get(params, "subject");
}

bool fleet_order_meets(const json_t *a, const json_t *b)
{
    size_t i;
    json_t *v;
    const char *x = json_string_value(json_object_get(a, "method"));
    const char *y = json_string_value(json_object_get(b, "method"));
    struct str rest_x = str_of(x), rest_y = str_of(y);
    if (!str_eq(str_cut(&rest_x, '.'), str_cut(&rest_y, '.')))
        return false;
    const json_t *of_a = fleet_order_about(a), *of_b = fleet_order_about(b);
    if (!of_a || !of_b)
        return true;
    if (json_is_string(of_a))
        return names_have(of_b, json_string_value(of_a));
    json_array_foreach ((json_t *)of_a, i, v)
        if (json_is_string(v) && names_have(of_b, json_string_value(v)))
            return true;
    return false;
}

/* ---- which came before ---- */

/* "ms-number"; what is none is at the start. */
static void position_read(const char *position, uint64_t ret[2])
{
    struct str rest = str_of(position), ms = str_cut(&rest, '-');
    if (str_to_u64(ms, UINT64_MAX, &ret[0]) < 0)
        ret[0] = 0;
    if (str_to_u64(rest, UINT64_MAX, &ret[1]) < 0)
        ret[1] = 0;
}

bool fleet_order_is_behind(const char *a, const char *b)
{
    uint64_t x[2], y[2];
    position_read(a, x);
    position_read(b, y);
    return x[0] > y[0] || (x[0] == y[0] && x[1] > y[1]);
}

static void taken_free(struct fleet_order *o, struct taken *t)
{
    list_del(&t->link);
    list_del(&t->age);
    o->n--;
    o->bytes -= t->bytes;
    json_decref(t->m);
    free(t);
}

void fleet_order_note(struct fleet_order *o, const char *position, const json_t *m)
{
    size_t bytes = json_dumpb(m, NULL, 0, JSON_COMPACT);
    struct taken *t = bytes <= FLEET_ORDER_BYTES_MAX ? calloc(1, sizeof(*t)) : NULL;
    if (!t)
        return;
    while (o->n >= FLEET_ORDER_MAX || (o->n > 0 && o->bytes + bytes > FLEET_ORDER_BYTES_MAX))
        taken_free(o, LIST_ITEM(o->ages.next, struct taken, age));
    t->m = json_incref((json_t *)m);
    t->bytes = bytes;
    (void)str_copy(t->position, sizeof(t->position), str_of(position));
    struct list *at = o->taken.prev;
    while (at != &o->taken &&
           fleet_order_is_behind(LIST_ITEM(at, struct taken, link)->position, position))
        at = at->prev;
    list_add_head(at, &t->link);
    list_add_tail(&o->ages, &t->age);
    o->n++;
    o->bytes += bytes;
}

void fleet_order_behind(const struct fleet_order *o, const char *position, const json_t *m,
                        void (*fn)(void *arg, const json_t *m), void *arg)
{
    LIST_FOREACH (it, &o->taken) {
        const struct taken *t = LIST_ITEM(it, struct taken, link);
        if (fleet_order_about(t->m) && fleet_order_is_behind(t->position, position) &&
            fleet_order_meets(t->m, m))
            fn(arg, t->m);
    }
}

void fleet_order_init(struct fleet_order *o)
{
    *o = (struct fleet_order){.n = 0};
    list_init(&o->taken);
    list_init(&o->ages);
}

void fleet_order_fini(struct fleet_order *o)
{
    LIST_FOREACH_SAFE (it, &o->taken)
        taken_free(o, LIST_ITEM(it, struct taken, link));
}
