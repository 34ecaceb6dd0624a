/* SPDX-License-Identifier: ISC */
/* Recording changing commands. */
#include "runtime/audit.h"

#include "base/clock.h"
#include "base/log/log.h"
#include "runtime/state.h"

struct audit_work {
    struct work work;
    struct store_audit row;
    uint64_t expire_ms;                            /* what is older is forgotten; 0 = nothing */
    char *user, *command, *args, *reason, *result; /* what row borrows */
};

static int audit_run(struct work *w)
{
    struct audit_work *a = CONTAINER_OF(w, struct audit_work, work);
    struct store *store = work_control(w)->host->store;
    int err = store_audit_add(store, &a->row);
    if (err == 0 && a->expire_ms > 0)
        err = store_audit_expire(store, a->expire_ms);
    return err;
}

static void audit_done(struct work *w)
{
    const struct audit_work *a = CONTAINER_OF(w, struct audit_work, work);
    if (w->err < 0)
        LOG_EVENT(LOG_LEVEL_ERROR, "audit-failed", KV_STR("command", a->command),
                  KV_ERR("error", w->err));
}

static void audit_fini(struct work *w)
{
    struct audit_work *a = CONTAINER_OF(w, struct audit_work, work);
    free(a->user);
    free(a->command);
    free(a->args);
    free(a->reason);
    free(a->result);
}

/* The user or backend that the command names, for those who filter by it; none where it names
 * several. */
static const char *audit_named(const struct request *r, const char *noun)
{
    if (strcmp(r->command->noun, noun) != 0)
        return NULL;
    const json_t *names = request_list(r, "name");
    if (!json_is_array(names))
        return request_text(r, "name");
    return json_array_size(names) == 1 ? json_string_value(json_array_get(names, 0)) : NULL;
}

static void audit_event(struct control *c, const struct request *r, const char *reason,
                        const char *result)
{
    AUTO_BUF text = BUF_INIT;
    int err = buf_printf(&text, "%s: %s%s%s: %s", r->peer.user, r->command->method,
                         r->masked && *r->masked ? " " : "", r->masked ? r->masked : "", result);
    if (err == 0 && r->count > 0)
        err = buf_printf(&text, ", count %llu", (unsigned long long)r->count);
    if (err == 0 && reason)
        err = buf_printf(&text, " (%s)", reason);
    if (err == 0)
        control_event(c, "operator", NULL, NULL, audit_named(r, "user"), NULL,
                      audit_named(r, "backend"), buf_cstr(&text));
}

void audit_record(struct control *c, const struct request *r, const char *result)
{
    const char *reason = request_text(r, "reason");
    LOG_EVENT(LOG_LEVEL_NOTICE, "operator", KV_U64("uid", r->peer.uid),
              KV_STR("user", r->peer.user), KV_U64("pid", r->peer.pid),
              KV_STR("command", r->command->method), KV_STR("args", r->masked),
              KV_STR("reason", reason), KV_STR("result", result), KV_U64("count", r->count));
    audit_event(c, r, reason, result);
    struct audit_work *a = work_new(&c->rpc, NULL, sizeof(*a), audit_run, audit_done, audit_fini);
    if (!a)
        return;
    uint64_t now = clock_wall_ms(), age = control_snapshot(c)->config->store.audit_age_ms;
    a->expire_ms = age > 0 && now > age ? now - age : 0;
    a->user = str_dup_c(r->peer.user);
    a->command = str_dup_c(r->command->method);
    a->args = str_dup_c(r->masked ? r->masked : "");
    a->reason = str_dup_c(reason ? reason : "");
    a->result = str_dup_c(result);
    a->row = (struct store_audit){.at_ms = now,
                                  .uid = r->peer.uid,
                                  .pid = r->peer.pid,
                                  .user = a->user,
                                  .command = a->command,
                                  .args = a->args,
                                  .reason = a->reason,
                                  .result = a->result,
                                  .count = r->count};
    if (!a->user || !a->command || !a->args || !a->reason || !a->result) {
        LOG_EVENT(LOG_LEVEL_ERROR, "audit-failed", KV_ERR("error", -ERR_NOMEM));
        work_free(&a->work);
        return;
    }
    work_post(&a->work, NULL);
}
