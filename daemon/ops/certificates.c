/* SPDX-License-Identifier: ISC */
/* One reading at a time: a snapshot with the same configuration and other contents of files. */
#include "ops/certificates.h"

#include "base/clock.h"
#include "base/log/log.h"
#include "ops/configs.h"
#include "runtime/listener_pause.h"
#include "runtime/state.h"
#include "runtime/trouble.h"

struct certificates {
    struct control *control;
    bool is_waiting; /* a reading has not begun yet: it will see what changes until then */
    struct certificates_figures figures;
};

struct certs_refresh {
    struct work work;
    struct snapshot *before, *snapshot;
    struct config_problems problems;
};

/* ---- reading ---- */

static int refresh_start(struct work *w)
{
    struct certs_refresh *r = CONTAINER_OF(w, struct certs_refresh, work);
    work_control(w)->certificates->is_waiting = false;
    r->before = snapshot_ref(control_snapshot(work_control(w)));
    return 0;
}

static int refresh_run(struct work *w)
{
    struct certs_refresh *r = CONTAINER_OF(w, struct certs_refresh, work);
    const struct engine_api *h = work_control(w)->host;
    struct config *config = NULL;
    int err = h->read_config(h->arg, CONTROL_READ_FILES, &config, &r->problems, &w->error);
    if (err < 0)
        return err;
    err = configs_snapshot(w, config, r->before, &r->snapshot);
    config_unref(config);
    return err;
}

static void refresh_fini(struct work *w)
{
    struct certs_refresh *r = CONTAINER_OF(w, struct certs_refresh, work);
    snapshot_unref(r->before);
    snapshot_unref(r->snapshot);
    config_problems_fini(&r->problems);
}

/* ---- the outcome ---- */

static void refresh_say_loaded(struct certificates *s, const struct snapshot *now,
                               const struct snapshot *before)
{
    s->figures.loaded++;
    LOG_EVENT(LOG_LEVEL_NOTICE, "certificates-loaded");
    /* Which of a listener's certificates end when, if that is new. */
    for (size_t i = 0; i < now->n_listeners; i++) {
        const struct snapshot_listener *l = &now->listeners[i];
        const struct snapshot_listener *old = snapshot_listener_find(before, l->config->name);
        const struct tls_cert_end *end = l->tls ? tls_server_first_end(l->tls) : NULL;
        const struct tls_cert_end *was = old && old->tls ? tls_server_first_end(old->tls) : NULL;
        char at[25];
        if (!end || (was && was->expires == end->expires))
            continue;
        clock_format(at, (uint64_t)end->expires * 1000);
        LOG_EVENT(LOG_LEVEL_NOTICE, "certificate-loaded", KV_STR("listener", l->config->name),
                  KV_STR("cert", end->file), KV_STR("ends", at));
    }
    control_event(s->control, "config", NULL, NULL, NULL, NULL, NULL,
                  "certificates that changed on the disk are in use");
}

/* What cannot be used; the event is that of the trouble. */
static void refresh_say_refused(struct certificates *s, const struct certs_refresh *r)
{
    AUTO_BUF text = BUF_INIT;
    const struct work *w = &r->work;
    bool is_failed = w->err < 0 && w->err != -ERR_EXISTS;
    for (size_t i = 0; i < r->problems.n; i++) {
        const struct config_problem *p = &r->problems.v[i];
        LOG_EVENT(LOG_LEVEL_WARN, "certificate-refused", KV_STR("key", p->key),
                  KV_STR("detail", p->text));
        (void)!buf_printf(&text, "%s%s", text.len ? "; " : "", p->text);
    }
    if (is_failed) {
        const char *why = w->error ? w->error : err_text(w->err);
        LOG_EVENT(LOG_LEVEL_ERROR, "certificates-not-loaded", KV_ERR("error", w->err),
                  KV_STR("detail", w->error));
        (void)!buf_printf(&text, "%scertificates that changed are not in use: %s",
                          text.len ? "; " : "", why);
    }
    s->figures.refused += text.len > 0;
    trouble_set_certificates(s->control->trouble, text.len ? buf_steal(&text) : NULL);
}

static void refresh_done(struct work *w)
{
    struct certs_refresh *r = CONTAINER_OF(w, struct certs_refresh, work);
    struct control *c = work_control(w);
    const struct engine_api *h = c->host;
    struct snapshot *snapshot = r->snapshot ? snapshot_ref(r->snapshot) : NULL;
    if (w->err == -ERR_SHUTDOWN) { /* another engine has read them, or none will serve */
        h->drop_config(h->arg);
        return;
    }
    if (w->err == 0)
        w->err = h->publish_config(h->arg, STEAL(r->snapshot), &w->error);
    else
        h->drop_config(h->arg);
    refresh_say_refused(c->certificates, r);
    if (w->err == 0) {
        if (!configs_is_waiting(c))
            h->keep_last_good_config(h->arg);
        listener_pauses_restore(c->pauses);
        refresh_say_loaded(c->certificates, snapshot, r->before);
    }
    snapshot_unref(snapshot);
}

void certificates_refresh(struct certificates *s)
{
    if (s->is_waiting)
        return;
    struct certs_refresh *r =
        work_new(&s->control->rpc, NULL, sizeof(*r), refresh_run, refresh_done, refresh_fini);
    if (!r) { /* the supervisor tells again */
        LOG_EVENT(LOG_LEVEL_ERROR, "certificates-not-loaded", KV_ERR("error", -ERR_NOMEM));
        return;
    }
    r->work.start = refresh_start;
    s->is_waiting = true;
    work_post(&r->work, &s->control->config_queue);
}

struct certificates_figures certificates_figures(const struct certificates *s)
{
    return s->figures;
}

/* ---- life ---- */

int certificates_new(struct control *c, struct certificates **ret)
{
    struct certificates *s = calloc(1, sizeof(*s));
    if (!s)
        return -ERR_NOMEM;
    s->control = c;
    *ret = s;
    return 0;
}

void certificates_free(struct certificates *s)
{
    free(s);
}
