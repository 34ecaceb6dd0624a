/* SPDX-License-Identifier: ISC */
/* Changes of the configuration as rows, and what runtime edits make of them. */
#include "runtime/config_rows.h"

#include "backend/pool_changes.h"
#include "backend/routes.h"

json_t *config_row(const char *path, const char *old, const char *new_value, const char *effect)
{
    json_t *row = json_object();
    request_set_text(row, "path", path);
    request_set_text(row, "old", old);
    request_set_text(row, "new", new_value);
    request_set_text(row, "effect", effect);
    return row;
}

/* key: behind the backend's name; empty = the whole backend comes or goes. */
static bool edit_hides(const struct pool_edit *p, struct str key)
{
    if (p->is_removed || key.n == 0)
        return p->is_removed || p->is_added;
    return (str_eq(key, STR(".host")) && p->host) ||
           (str_eq(key, STR(".weight")) && p->weight >= 0) ||
           (str_eq(key, STR(".max_sessions")) && p->has_max_sessions) ||
           (str_eq(key, STR(".tls")) && p->has_tls) ||
           (str_is_prefix(key, STR(".ports")) && runtime_edit_has_ports(p));
}

static enum config_hidden entry_hidden(const struct runtime_entry *e, const struct config *file,
                                       struct str key)
{
    const struct pool_edit *p = &e->now.edit;
    CLEANUP(runtime_edit_fini) struct runtime_edit left = {.edit.weight = -1};
    if (!edit_hides(p, key))
        return CONFIG_HIDDEN_NONE;
    if (runtime_edit_copy(&left, &e->now) == 0)
        (void)runtime_edit_absorb(&left,
                                  config_backend_find(config_pool_find(file, p->pool), p->name));
    const struct pool_edit *rest =
        &left.edit; /* of an added backend that is in the file now, too */
    bool is_other = key.n ? edit_hides(rest, key)
                          : rest->is_removed || rest->is_added || rest->host || rest->weight >= 0 ||
                                rest->has_tls || rest->has_max_sessions ||
                                runtime_edit_has_ports(rest);
    return is_other ? CONFIG_HIDDEN_HIDDEN : CONFIG_HIDDEN_SAME;
}

/* path: "pools[main].balance". */
static enum config_hidden pools_hidden(const struct pool_changes *changes,
                                       const struct config *file, const char *path)
{
    for (size_t i = 0; changes && i < changes->n; i++) {
        const struct pool_change *ch = &changes->v[i];
        AUTO_FREE char *prefix = str_printf("pools[%s]", ch->name);
        if (!prefix || !str_is_prefix(str_of(path), str_of(prefix)))
            continue;
        const char *rest = path + strlen(prefix);
        const struct config_pool *in_file = config_pool_find(file, ch->name);
        if (ch->is_removed || !*rest) {
            bool is_same = ch->is_removed ? !in_file : ch->is_added && in_file;
            return is_same                          ? CONFIG_HIDDEN_SAME
                   : ch->is_removed || ch->is_added ? CONFIG_HIDDEN_HIDDEN
                                                    : CONFIG_HIDDEN_NONE;
        }
        for (size_t k = 0; k < config_pool_keys(); k++) {
            AUTO_BUF text = BUF_INIT;
            if (*rest != '.' || strcmp(rest + 1, config_pool_key_path(k)) != 0 || !ch->values[k])
                continue;
            bool is_same = in_file && config_pool_print(in_file, k, &text) == 0 &&
                           str_eq(buf_str(&text), str_of(ch->values[k]));
            return is_same ? CONFIG_HIDDEN_SAME : CONFIG_HIDDEN_HIDDEN;
        }
    }
    return CONFIG_HIDDEN_NONE;
}

enum config_hidden config_change_hidden(const struct control *c, const struct config *file,
                                        const struct config_change *ch)
{
    const struct routes *routes = c->live_routes.now;
    enum config_hidden hidden = CONFIG_HIDDEN_NONE;
    if (str_is_prefix(str_of(ch->path), STR("routes"))) {
        if (!routes)
            return CONFIG_HIDDEN_NONE;
        bool is_same = routes_are_equal(routes->v, routes->n, file->routes, file->n_routes);
        return is_same ? CONFIG_HIDDEN_SAME : CONFIG_HIDDEN_HIDDEN;
    }
    hidden = pools_hidden(c->live_pools.now, file, ch->path);
    LIST_FOREACH (it, runtime_entries(c->runtime)) {
        const struct runtime_entry *e = LIST_ITEM(it, struct runtime_entry, link);
        const struct pool_edit *p = &e->now.edit;
        AUTO_FREE char *prefix = str_printf("pools[%s].backends[%s]", p->pool, p->name);
        struct str path = str_of(ch->path);
        size_t n = prefix ? strlen(prefix) : 0;
        if (n && hidden == CONFIG_HIDDEN_NONE && str_is_prefix(path, str_n(prefix, n)))
            hidden = entry_hidden(e, file, str_n(path.p + n, path.n - n));
    }
    return hidden;
}

json_t *config_change_row(const struct config_change *ch, enum config_hidden hidden)
{
    static const char *const words[] = {[CONFIG_HIDDEN_HIDDEN] = "hidden by a runtime edit",
                                        [CONFIG_HIDDEN_SAME] = "as edited at runtime"};
    const char *effect = hidden ? words[hidden] : config_effect_name(ch->effect);
    return config_row(ch->path, ch->old_value, ch->new_value, effect);
}
