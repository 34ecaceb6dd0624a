/* SPDX-License-Identifier: ISC */
/* Listeners that operators paused: control.paused has {since, reason, stored} by name. */
#include "runtime/listener_pause.h"

#include "base/log/log.h"
#include "runtime/config_rows.h"
#include "runtime/state.h"

static bool pause_load_row(void *arg, const char *kind, const char *name, const char *json,
                           uint64_t at_ms)
{
    struct control *c = arg;
    if (strcmp(kind, LISTENER_PAUSE_KIND) != 0)
        return true;
    json_t *pause = json_loads(json, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(pause)) {
        json_decref(pause);
        pause = json_object();
    }
    request_set_number(pause, "since", at_ms);
    (void)json_object_set_new(pause, "stored", json_true());
    (void)json_object_set_new(c->paused, name, pause);
    return true;
}

int listener_pause_load(struct control *c)
{
    c->paused = json_object();
    return c->paused ? store_runtime_each(c->host->store, pause_load_row, c) : -ERR_NOMEM;
}

void listener_pause_restore(struct control *c)
{
    const char *name;
    json_t *pause;
    const struct engine_api *h = c->host;
    json_object_foreach (c->paused, name, pause) {
        if (!setup_listener_find(control_setup(c), name) || h->is_listener_paused(h->arg, name))
            continue;
        if (h->pause_listener(h->arg, name, true) == 0)
            LOG_EVENT(LOG_LEVEL_NOTICE, "listener-paused", KV_STR("listener", name),
                      KV_STR("reason", json_string_value(json_object_get(pause, "reason"))));
    }
}

void listener_pause_diff(const struct control *c, json_t *rows)
{
    const char *name;
    json_t *pause;
    json_object_foreach (c->paused, name, pause) {
        AUTO_FREE char *path = str_printf("listeners[%s].paused", name);
        bool is_stored = json_is_true(json_object_get(pause, "stored"));
        if (setup_listener_find(control_setup(c), name))
            (void)json_array_append_new(
                rows, config_row(path, "yes", NULL,
                                 is_stored ? "runtime edit" : "runtime edit until restart"));
    }
}

int listener_pause_comment(const struct control *c, struct buf *out)
{
    const char *name;
    json_t *pause;
    int err = 0;
    json_object_foreach (c->paused, name, pause)
        if (err == 0 && setup_listener_find(control_setup(c), name))
            err = buf_printf(out, "# listener %s: paused\n", name);
    return err;
}
