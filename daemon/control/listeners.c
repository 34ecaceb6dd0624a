/* SPDX-License-Identifier: ISC */
/* listener list, pause, resume. */
#include "control/listeners.h"
#include "control/control_priv.h"
#include "control/handlers.h"
#include "control/table_json.h"

static json_t *listener_row(const struct control_host *h, const struct setup_listener *l)
{
    AUTO_BUF addresses = BUF_INIT;
    AUTO_BUF mechanisms = BUF_INIT;
    const struct config_listener *c = l->config;
    json_t *row = json_object();
    int err = 0;
    for (size_t i = 0; i < c->address.n && err == 0; i++)
        err = buf_printf(&addresses, "%s%s", i > 0 ? ", " : "", c->address.v[i]);
    if (err == 0 && (l->mechanisms & SASL_BIT_COMMAND))
        err = buf_append_c(&mechanisms, " COMMAND");
    if (err == 0)
        err = sasl_append_list(&mechanisms, l->mechanisms, " ");
    if (err < 0) {
        json_decref(row);
        return NULL;
    }
    request_set_text(row, "name", c->name);
    request_set_text(row, "proto", c->proto->name);
    request_set_text(row, "address", buf_cstr(&addresses));
    request_set_text(row, "tls", config_listener_tls_name(c->tls));
    (void)json_object_set_new(row, "mechanisms", request_json(str_trim(buf_str(&mechanisms))));
    (void)json_object_set_new(row, "paused", json_boolean(h->is_listener_paused(h->arg, c->name)));
    return row;
}

void command_listener_list(struct request *r)
{
    const struct control_host *h = r->control->host;
    const struct setup *setup = control_setup(r->control);
    json_t *rows = json_array();
    for (size_t i = 0; i < setup->n_listeners; i++)
        (void)json_array_append_new(rows, listener_row(h, &setup->listeners[i]));
    table_answer(r, rows);
}

static void listener_fail(struct request *r, const char *name)
{
    const struct setup *setup = control_setup(r->control);
    AUTO_FREE const char **names = calloc(setup->n_listeners + 1, sizeof(*names));
    for (size_t i = 0; names && i < setup->n_listeners; i++)
        names[i] = setup->listeners[i].config->name;
    request_fail(r, -ERR_NO_LISTENER, names ? str_nearest(name, names, setup->n_listeners) : NULL,
                 "there is no listener %.128s", name);
}

const struct setup_listener *listener_find(struct request *r, const char *name)
{
    const struct setup_listener *l = setup_listener_find(control_setup(r->control), name);
    if (!l)
        listener_fail(r, name);
    return l;
}

static void listener_set_paused(struct request *r, bool is_paused)
{
    const struct control_host *h = r->control->host;
    const char *name = request_text(r, "name");
    if (!listener_find(r, name))
        return;
    bool is_changed = h->is_listener_paused(h->arg, name) != is_paused;
    int err = is_changed ? h->pause_listener(h->arg, name, is_paused) : 0;
    if (err < 0)
        request_fail(r, err, NULL, NULL);
    else
        request_done(r, is_changed, is_changed, NULL);
}

void command_listener_pause(struct request *r)
{
    listener_set_paused(r, true);
}

void command_listener_resume(struct request *r)
{
    listener_set_paused(r, false);
}
