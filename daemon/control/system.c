/* SPDX-License-Identifier: ISC */
/* system status, whoami, help, log_level, stop (upgrade: upgrades.c). */
#include <stdio.h>
#include <unistd.h>

#include "base/log/log.h"
#include "base/os/process.h"
#include "fleet/fleet.h"
#include "ops/configs.h"
#include "ops/kill.h"
#include "ops/upgrades.h"
#include "rpc/handlers.h"
#include "rpc/server.h"
#include "runtime/state.h"
#include "runtime/trouble.h"

/* ---- status ---- */

struct system_status {
    struct work work;
    uint64_t users;
};

static int system_status_run(struct work *w)
{
    struct system_status *s = CONTAINER_OF(w, struct system_status, work);
    return store_user_count(work_control(w)->host->store, &s->users);
}

/* The engine that an upgrade replaced. */
static void system_status_old(json_t *row, const struct control *c)
{
    size_t n;
    const struct control_old *old = c->host->olds(c->host->arg, &n);
    const struct config *config = control_snapshot(c)->config;
    if (n == 0)
        return;
    AUTO_FREE char *path =
        config->n_controls ? control_old_path(config->controls[0].path, old->number) : NULL;
    request_put_number(row, "old_pid", old->pid);
    request_put_number(row, "old_since", old->since_ms);
    request_put_number(row, "old_sessions", old->sessions);
    request_set_text(row, "old_control", path);
}

/* A store that cannot be read is no reason to hide the rest: only the number of users is missing.
 */
static void system_status_done(struct work *w)
{
    const struct system_status *s = CONTAINER_OF(w, struct system_status, work);
    const struct control *c = work_control(w);
    const struct engine_api *h = c->host;
    const struct snapshot *snapshot = control_snapshot(c);
    struct process_figures f;
    json_t *row = json_object();
    process_measure(&f);
    trouble_look(c->trouble);
    request_set_text(row, "product", "mailproxy");
    request_set_text(row, "version", MAILPROXY_VERSION);
    request_set_text(row, "node", snapshot->config->node);
    request_put_number(row, "pid", (uint64_t)getpid());
    request_set_text(row, "state",
                     h->is_stopping(h->arg)  ? "stopping"
                     : h->is_retired(h->arg) ? "retired"
                     : h->is_full(h->arg)    ? "full"
                                             : "running");
    request_put_number(row, "uptime", loop_now_ms(h->loop) - h->started_ms);
    request_put_number(row, "restarts", h->restarts);
    system_status_old(row, c);
    request_put_number(row, "workers", h->n_workers);
    request_put_number(row, "sessions", engine_api_counter(h, PROTO_COUNT, COUNTER_SESSIONS));
    request_put_number(row, "relaying", engine_api_counter(h, PROTO_COUNT, COUNTER_RELAYING));
    request_set_text(row, "config", snapshot->config->path);
    request_put_number(row, "generation", snapshot->generation);
    request_set_number(row, "confirm_left", configs_confirm_left_ms(c));
    if (w->err == 0)
        request_put_number(row, "users", s->users);
    request_set_number(row, "memory", f.resident_bytes);
    request_put_number(row, "control_clients", server_clients(c->server));
    if (c->fleet) {
        char fleet[64];
        struct fleet_counts n;
        fleet_count(c->fleet, &n);
        snprintf(fleet, sizeof(fleet), n.is_up ? "%zu/%zu" : "store down", n.alive, n.all);
        request_set_text(row, "fleet", fleet);
    }
    request_set_text(row, "trouble", trouble_text(c->trouble));
    request_answer(w->request, row);
}

void command_system_status(struct request *r)
{
    struct system_status *s =
        work_new(r->rpc, r, sizeof(*s), system_status_run, system_status_done, NULL);
    if (s)
        work_post(&s->work, NULL);
}

/* ---- whoami ---- */

void command_system_whoami(struct request *r)
{
    json_t *row = json_object();
    request_set_text(row, "user", r->peer.user);
    if (r->client) { /* who asked at another node is no user of this machine */
        request_put_number(row, "uid", r->peer.uid);
        request_put_number(row, "pid", r->peer.pid);
    }
    request_set_text(row, "role", role_name(r->peer.role));
    request_answer(r, row);
}

/* ---- help ---- */

void command_system_help(struct request *r)
{
    size_t n, n_args;
    const struct command *all = commands_all(&n);
    json_t *rows = json_array();
    for (size_t i = 0; i < n; i++) {
        AUTO_BUF text = BUF_INIT;
        json_t *row = json_object();
        const struct command_arg *args = commands_args(&all[i], &n_args);
        /* "filter... [sort] name": needed ones plain, the others in brackets. */
        for (size_t k = 0; k < n_args; k++) {
            bool is_needed = args[k].flags & COMMANDS_NEEDED;
            (void)!buf_printf(&text, "%s%s%s%s%s", k ? " " : "", is_needed ? "" : "[", args[k].name,
                              args[k].flags & COMMANDS_MANY ? "..." : "", is_needed ? "" : "]");
        }
        request_set_text(row, "command", all[i].method);
        request_set_text(row, "role", role_name(all[i].role));
        request_set_text(row, "args", buf_cstr(&text));
        request_set_text(row, "summary", all[i].summary);
        (void)json_array_append_new(rows, row);
    }
    request_rows(r, rows, NULL);
}

/* ---- log_level, stop ---- */

void command_system_log_level(struct request *r)
{
    const char *name = request_text(r, "level");
    enum log_level level;
    if (log_level_parse(name, &level) < 0) {
        const char *names[LOG_LEVEL_COUNT];
        for (int i = 0; i < LOG_LEVEL_COUNT; i++)
            names[i] = log_level_name(i);
        request_fail(r, -ERR_BAD_PARAM, str_nearest(name, names, ARRAY_LEN(names)),
                     "there is no log level %s", name);
        return;
    }
    bool is_changed = log_set_level(-1, level);
    request_done(r, is_changed, is_changed, "all logs take %s now", name);
}

static void on_stop_looked(void *arg, const struct kill_result *result)
{
    struct request *r = arg;
    if (result->err < 0)
        request_fail(r, result->err, NULL, NULL);
    else
        kill_answer_found(r, result->tally, result->rows, "would end");
}

void command_system_stop(struct request *r)
{
    const struct engine_api *h = request_control(r)->host;
    if (request_bool(r, "dry_run")) {
        const struct kill_spec look = {.is_dry = true, .done = on_stop_looked, .arg = r};
        int err = kill_start(request_control(r), &look);
        if (err < 0)
            request_fail(r, err, NULL, NULL);
        return;
    }
    bool is_stopping = h->is_stopping(h->arg);
    request_done(r, 1, !is_stopping, is_stopping ? "it is stopping already" : "stopping");
    h->stop(h->arg);
}

void command_system_upgrade(struct request *r)
{
    upgrades_request(r);
}
