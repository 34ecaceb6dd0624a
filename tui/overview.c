/* SPDX-License-Identifier: ISC */
/* Gathering what the overview shows. */
#include "tui/overview.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"

#define OVERVIEW_DAY_S 86400

static const struct graph_span spans[] = {
    {"1s", 1, 120, 120, "2 minutes before"},
    {"1s", 1, 600, 600, "10 minutes before"},
    {"1m", 60, 3600, 3600, "the hour before"},
    {"1m", 60, 21600, OVERVIEW_DAY_S, "yesterday"},
    {"1m", 60, OVERVIEW_DAY_S, OVERVIEW_DAY_S, "the day before"},
};

void overview_clear(struct overview *o)
{
    json_t **members[] = {&o->history,   &o->stats,         &o->backends,    &o->listeners,
                          &o->top_users, &o->top_addresses, &o->top_failures};
    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        overview_take(members[i], NULL);
    for (size_t i = 0; i < o->n_protos; i++)
        overview_take(&o->protos[i].stats, NULL);
    o->n_protos = 0;
}

void overview_fini(struct overview *o)
{
    overview_clear(o);
    overview_take(&o->status, NULL);
    while (o->n_lines > 0)
        json_decref(o->lines[--o->n_lines].object);
}

const struct graph_span *overview_span(const struct overview *o)
{
    return &spans[o->span];
}

void overview_set_span(struct overview *o, int by)
{
    o->span = (o->span + ARRAY_LEN(spans) + (size_t)by) % ARRAY_LEN(spans);
    o->cursor_ms = 0;
    overview_take(&o->history, NULL);
}

/* ---- answers ---- */

uint64_t overview_number(const json_t *object, const char *member)
{
    json_int_t n = json_integer_value(json_object_get(object, member));
    return n > 0 ? (uint64_t)n : 0;
}

void overview_take(json_t **member, const json_t *result)
{
    json_t *rows = json_object_get(result, "rows");
    json_t *fresh = json_incref(rows ? rows : (json_t *)result);
    json_decref(*member);
    *member = fresh;
}

static json_int_t overview_time(const json_t *sample)
{
    return json_integer_value(json_object_get(sample, "time"));
}

static json_int_t overview_last(const struct overview *o)
{
    size_t n = json_array_size(o->history);
    return n ? overview_time(json_array_get(o->history, n - 1)) : 0;
}

/* Samples that the graphs show, those of before among them. */
static unsigned overview_samples(const struct overview *o)
{
    const struct graph_span *span = overview_span(o);
    return (span->length_s + span->before_s) / span->step_s;
}

unsigned overview_wanted(const struct overview *o, uint64_t now_wall_ms)
{
    unsigned all = overview_samples(o);
    uint64_t last = (uint64_t)overview_last(o);
    if (!last || now_wall_ms < last)
        return all;
    uint64_t missing = (now_wall_ms - last) / (overview_span(o)->step_s * 1000u) + 2;
    return missing < all ? (unsigned)missing : all;
}

void overview_take_history(struct overview *o, const json_t *result)
{
    const json_t *rows = json_object_get(result, "rows");
    json_int_t last = overview_last(o);
    size_t i, most = overview_samples(o);
    json_t *row;
    if (!o->history)
        o->history = json_array();
    json_array_foreach ((json_t *)rows, i, row)
        if (overview_time(row) > last)
            json_array_append(o->history, row);
    while (json_array_size(o->history) > most)
        json_array_remove(o->history, 0);
}

void overview_take_listeners(struct overview *o, const json_t *result)
{
    size_t i;
    const json_t *row;
    overview_take(&o->listeners, result);
    json_array_foreach (o->listeners, i, row) {
        const char *proto = json_string_value(json_object_get(row, "proto"));
        size_t known = 0;
        while (proto && known < o->n_protos && strcmp(o->protos[known].name, proto) != 0)
            known++;
        if (!proto || known < o->n_protos || o->n_protos == OVERVIEW_PROTOS_MAX)
            continue;
        struct overview_proto *p = &o->protos[o->n_protos++];
        *p = (struct overview_proto){0};
        (void)str_copy(p->name, sizeof(p->name), str_of(proto));
    }
}

/* ---- the time that is looked at ---- */

void overview_move_cursor(struct overview *o, int by)
{
    uint64_t newest = (uint64_t)overview_last(o), length_ms = overview_span(o)->length_s * 1000ull;
    if (!newest || o->cols < 1)
        return;
    uint64_t step = length_ms / (uint64_t)o->cols,
             from = newest > length_ms ? newest - length_ms : 1;
    uint64_t at = o->cursor_ms ? o->cursor_ms : newest;
    at = by < 0 ? (at > step ? at - step : 1) : at + step;
    /* Time went on meanwhile: what left the graphs at their beginning is not looked at any more. */
    at = at < from + step / 2 ? from + step / 2 : at;
    o->cursor_ms = at >= newest ? 0 : at;
}

/* ---- lines that can be picked ---- */

void overview_put_line(struct overview *o, struct screen *s, int row, int col, int width,
                       enum pane pane, const json_t *object, const char *what)
{
    if (o->n_lines == OVERVIEW_LINES_MAX)
        return;
    struct overview_line *l = &o->lines[o->n_lines++];
    *l = (struct overview_line){.row = row,
                                .col = col,
                                .width = width,
                                .pane = pane,
                                .object = json_incref((json_t *)object)};
    (void)snprintf(l->id, sizeof(l->id), "%d %s", (int)pane, what);
    if (row >= 0 && strcmp(l->id, o->picked) == 0)
        screen_restyle(s, row, col, width, STYLE_SELECTED);
}

static size_t overview_picked_at(const struct overview *o)
{
    for (size_t i = 0; o->picked[0] && i < o->n_lines; i++)
        if (strcmp(o->lines[i].id, o->picked) == 0)
            return i;
    return o->n_lines;
}

const struct overview_line *overview_picked(const struct overview *o)
{
    size_t at = overview_picked_at(o);
    return at < o->n_lines ? &o->lines[at] : NULL;
}

void overview_move(struct overview *o, int by)
{
    size_t at = overview_picked_at(o);
    if (o->n_lines == 0)
        return;
    if (at == o->n_lines)
        at = by > 0 ? 0 : o->n_lines - 1;
    else if (by > 0 ? at + 1 < o->n_lines : at > 0)
        at = by > 0 ? at + 1 : at - 1;
    memcpy(o->picked, o->lines[at].id, sizeof(o->picked));
}

bool overview_pick_at(struct overview *o, int row, int col)
{
    for (size_t i = 0; i < o->n_lines; i++) {
        const struct overview_line *l = &o->lines[i];
        if (l->row != row || col < l->col || col >= l->col + l->width)
            continue;
        memcpy(o->picked, l->id, sizeof(o->picked));
        return true;
    }
    return false;
}

bool overview_unpick(struct overview *o)
{
    bool was = o->picked[0] || o->cursor_ms;
    o->picked[0] = '\0';
    o->cursor_ms = 0;
    return was;
}
