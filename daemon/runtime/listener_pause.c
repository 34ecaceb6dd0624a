/* SPDX-License-Identifier: ISC */
/* Listeners that operators paused. */
#include "runtime/listener_pause.h"

#include "base/log/log.h"
#include "base/zalloc.h"
#include "runtime/config_rows.h"

struct listener_pauses {
    const struct engine_api *host;
    json_t *by_name;
};

static bool pause_load_row(void *arg, const char *kind, const char *name, const char *json,
                           uint64_t at_ms)
{
    struct listener_pauses *p = arg;
    if (strcmp(kind, LISTENER_PAUSE_KIND) != 0)
        return true;
    json_t *pause = json_loads(json, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(pause)) {
        json_decref(pause);
        pause = json_object();
    }
    request_set_number(pause, "since", at_ms);
    (void)json_object_set_new(pause, "stored", json_true());
    (void)json_object_set_new(p->by_name, name, pause);
    return true;
}

int listener_pauses_new(const struct engine_api *host, struct listener_pauses **ret)
{
    struct listener_pauses *p = zalloc(sizeof(*p));
    if (!p)
        return -ERR_NOMEM;
    p->host = host;
    p->by_name = json_object();
    int err = p->by_name ? store_runtime_each(host->store, pause_load_row, p) : -ERR_NOMEM;
    if (err < 0) {
        listener_pauses_free(p);
        return err;
    }
    *ret = p;
    return 0;
}

void listener_pauses_free(struct listener_pauses *p)
{
    if (!p)
        return;
    json_decref(p->by_name);
    free(p);
}

const json_t *listener_pauses_find(const struct listener_pauses *p, const char *name)
{
    return p ? json_object_get(p->by_name, name) : NULL;
}

void listener_pauses_note(struct listener_pauses *p, const char *name, json_t *pause)
{
    if (p && pause)
        (void)json_object_set(p->by_name, name, pause);
    else if (p)
        (void)json_object_del(p->by_name, name);
}

/* Is there such a listener in the configuration? */
static bool pause_applies(const struct listener_pauses *p, const char *name)
{
    return snapshot_listener_find(engine_api_snapshot(p->host), name) != NULL;
}

void listener_pauses_restore(const struct listener_pauses *p)
{
    const char *name;
    json_t *pause;
    json_object_foreach (p ? p->by_name : NULL, name, pause) {
        const struct engine_api *h = p->host;
        if (!pause_applies(p, name) || h->is_listener_paused(h->arg, name))
            continue;
        if (h->pause_listener(h->arg, name, true) == 0)
            LOG_EVENT(LOG_LEVEL_NOTICE, "listener-paused", KV_STR("listener", name),
                      KV_STR("reason", json_string_value(json_object_get(pause, "reason"))));
    }
}

void listener_pauses_diff(const struct listener_pauses *p, json_t *rows)
{
    const char *name;
    json_t *pause;
    json_object_foreach (p ? p->by_name : NULL, name, pause) {
        AUTO_FREE char *path = str_printf("listeners[%s].paused", name);
        bool is_stored = json_is_true(json_object_get(pause, "stored"));
        if (pause_applies(p, name))
            (void)json_array_append_new(
                rows, config_row(path, "yes", NULL,
                                 is_stored ? "runtime edit" : "runtime edit until restart"));
    }
}

int listener_pauses_comment(const struct listener_pauses *p, struct buf *out)
{
    const char *name;
    json_t *pause;
    int err = 0;
    json_object_foreach (p ? p->by_name : NULL, name, pause)
        if (err == 0 && pause_applies(p, name))
            err = buf_printf(out, "# listener %s: paused\n", name);
    return err;
}
