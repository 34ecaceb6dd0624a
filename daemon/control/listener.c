/* SPDX-License-Identifier: ISC */
/* listener list, pause, resume. */
#include "control/listener.h"

#include "base/cert_days.h"
#include "base/clock.h"
#include "io/tls/tls_certs.h"
#include "rpc/handlers.h"
#include "rpc/table_json.h"
#include "runtime/listener_pause.h"
#include "runtime/state.h"

static json_t *listener_row(const struct control *control, const struct snapshot_listener *l)
{
    const struct engine_api *h = control->host;
    const json_t *pause = listener_pauses_find(control->pauses, l->config->name);
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
    const struct tls_cert_end *end = l->tls ? tls_server_first_end(l->tls) : NULL;
    if (end) {
        int64_t days = cert_days(end->expires, (int64_t)(clock_wall_ms() / 1000));
        (void)json_object_set_new(row, "cert_days", json_integer(days));
        request_set_text(row, "cert_file", end->file);
    }
    (void)json_object_set_new(row, "paused", json_boolean(h->is_listener_paused(h->arg, c->name)));
    if (pause) {
        (void)json_object_set(row, "paused_since", json_object_get(pause, "since"));
        (void)json_object_set(row, "reason", json_object_get(pause, "reason"));
    }
    return row;
}

void command_listener_list(struct request *r)
{
    const struct snapshot *snapshot = control_snapshot(request_control(r));
    json_t *rows = json_array();
    for (size_t i = 0; i < snapshot->n_listeners; i++)
        (void)json_array_append_new(rows,
                                    listener_row(request_control(r), &snapshot->listeners[i]));
    table_answer(r, rows);
}

const struct snapshot_listener *listener_find(struct request *r, const char *name)
{
    const struct snapshot_listener *l =
        snapshot_listener_find(control_snapshot(request_control(r)), name);
    if (l)
        return l;
    const struct snapshot *snapshot = control_snapshot(request_control(r));
    AUTO_FREE const char **names = calloc(snapshot->n_listeners + 1, sizeof(*names));
    for (size_t i = 0; names && i < snapshot->n_listeners; i++)
        names[i] = snapshot->listeners[i].config->name;
    request_fail(r, -ERR_NO_LISTENER,
                 names ? str_nearest(name, names, snapshot->n_listeners) : NULL,
                 "there is no listener %.128s", name);
    return NULL;
}

void command_listener_show(struct request *r)
{
    const struct snapshot_listener *l = listener_find(r, request_text(r, "name"));
    if (!l)
        return;
    json_t *row = listener_row(request_control(r), l);
    if (!row) {
        request_fail(r, -ERR_NOMEM, NULL, NULL);
        return;
    }
    request_set_text(row, "pool", l->config->pool);
    request_answer(r, row);
}

/* ---- certificates of the directory ---- */

static const char *const certificate_states[] = {[TLS_CERTS_UNLOADED] = "listed",
                                                 [TLS_CERTS_LOADED] = "loaded",
                                                 [TLS_CERTS_REFUSED] = "refused"};

void command_listener_certificates(struct request *r)
{
    struct tls_certs *certs = request_control(r)->host->certs;
    const char *pattern = request_text(r, "name"), *state = request_text(r, "state");
    char name[TLS_DIRECTORY_NAME_MAX + 1];
    struct tls_certs_row c;
    bool is_known = !state;
    for (size_t i = 0; i < ARRAY_LEN(certificate_states); i++)
        is_known = is_known || strcmp(state, certificate_states[i]) == 0;
    if (!is_known) {
        request_fail(r, -ERR_BAD_PARAM, NULL, "state must be listed, loaded or refused");
        return;
    }
    json_t *rows = json_array();
    const int64_t now = (int64_t)(clock_wall_ms() / 1000);
    for (uint32_t i = 0; tls_certs_row(certs, i, name, &c); i++) {
        if ((pattern && !str_glob(str_of(pattern), c.name)) ||
            (state && strcmp(state, certificate_states[c.state]) != 0))
            continue;
        json_t *row = json_object();
        request_set_text(row, "name", c.name.p);
        request_set_text(row, "state", certificate_states[c.state]);
        if (c.expires > 0)
            (void)json_object_set_new(row, "cert_days", json_integer(cert_days(c.expires, now)));
        (void)json_array_append_new(rows, row);
    }
    table_answer(r, rows);
}

/* ---- pause and resume ---- */

struct pause {
    struct work work;
    bool is_paused, is_temporary, is_changed;
    json_t *row; /* what will be remembered */
};

static int pause_run(struct work *w)
{
    struct pause *p = CONTAINER_OF(w, struct pause, work);
    struct store *store = work_control(w)->host->store;
    const char *name = request_text(w->request, "name");
    if (!p->is_changed || p->is_temporary)
        return 0;
    AUTO_FREE char *text = p->is_paused ? json_dumps(p->row, JSON_COMPACT) : NULL;
    int err = p->is_paused && !text ? -ERR_NOMEM
                                    : store_runtime_set(store, LISTENER_PAUSE_KIND, name, text);
    if (err < 0)
        w->error = str_printf("%s: nothing was changed; until_restart changes it without the store",
                              err_text(err));
    return err;
}

static int pause_start(struct work *w)
{
    struct pause *p = CONTAINER_OF(w, struct pause, work);
    const char *name = request_text(w->request, "name");
    if (!listener_find(w->request, name))
        return -ERR_NO_LISTENER;
    const struct control *c = work_control(w);
    const json_t *stored = json_object_get(listener_pauses_find(c->pauses, name), "stored");
    /* Is it so already, also after a restart? */
    bool is_so = c->host->is_listener_paused(c->host->arg, name) == p->is_paused &&
                 (!p->is_paused || p->is_temporary || json_is_true(stored));
    p->is_changed = !is_so;
    p->row = json_object();
    request_set_text(p->row, "reason", request_text(w->request, "reason"));
    return 0;
}

static void pause_done(struct work *w)
{
    struct pause *p = CONTAINER_OF(w, struct pause, work);
    const struct engine_api *h = work_control(w)->host;
    const char *name = request_text(w->request, "name");
    if (w->err == 0 && p->is_changed)
        w->err = h->pause_listener(h->arg, name, p->is_paused);
    if (work_fail(w))
        return;
    struct listener_pauses *pauses = work_control(w)->pauses;
    if (p->is_changed && p->is_paused) {
        request_set_number(p->row, "since", clock_wall_ms());
        (void)json_object_set_new(p->row, "stored", json_boolean(!p->is_temporary));
        listener_pauses_note(pauses, name, p->row);
    } else if (p->is_changed) {
        listener_pauses_note(pauses, name, NULL);
    }
    request_done(w->request, p->is_changed, p->is_changed, NULL);
}

static void pause_fini(struct work *w)
{
    json_decref(CONTAINER_OF(w, struct pause, work)->row);
}

static void listener_set_paused(struct request *r, bool is_paused)
{
    if (!listener_find(r, request_text(r, "name")))
        return;
    struct pause *p = work_new(r->rpc, r, sizeof(*p), pause_run, pause_done, pause_fini);
    if (!p)
        return;
    p->work.start = pause_start;
    p->is_paused = is_paused;
    p->is_temporary = request_bool(r, "until_restart");
    work_post(&p->work, &request_control(r)->config_queue);
}

void command_listener_pause(struct request *r)
{
    listener_set_paused(r, true);
}

void command_listener_resume(struct request *r)
{
    listener_set_paused(r, false);
}
