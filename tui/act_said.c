/* SPDX-License-Identifier: ISC */
/* What an action did, as a sentence. */
#include <stdio.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "ctl/control_client.h"
#include "tui/act.h"
#include "tui/row_action.h"

char *act_said(const struct act *act, const json_t *result)
{
    const struct row_action *d = act->action;
    AUTO_BUF text = BUF_INIT;
    bool is_kill = strcmp(act->command->method, "session.kill") == 0;
    bool has_ends = json_object_get(result, "clean") != NULL;
    json_int_t n_ended = json_integer_value(json_object_get(result, "count"));
    bool is_begun = json_object_get(result, "op") != NULL;
    int err = 0;
    /* What a daemon says of it, without the number of the operation that runs now. */
    const char *message = control_client_member_text(result, "message");
    if (is_begun) {
        const char *rest = strstr(message, "; ");
        message = rest ? rest + 2 : "";
    }
    /* Of what was added there is no row: "user anna", "192.0.2.1". */
    const char *name = json_string_value(json_object_get(act->params, "name"));
    const char *one = json_string_value(json_array_get(json_object_get(act->params, "subject"), 0));
    AUTO_FREE char *object = act->object ? str_dup_c(act->object)
                             : one       ? str_dup_c(one)
                             : name      ? str_printf("%s %s", act->command->noun, name)
                                         : str_dup_c(act->command->noun);
    if (!is_begun && message[0])
        return str_dup_c(message);
    if (json_is_false(json_object_get(result, "changed")))
        return str_printf("%s: already so", object ? object : "");
    if (!has_ends)
        err = buf_printf(&text, "%s: %s", object ? object : "",
                         is_kill && is_begun ? "ending"
                         : d->said[0]        ? d->said
                                             : "done");
    else if (!is_kill)
        err = buf_printf(&text, "%s: %s", object ? object : "", d->said);
    /* None is worth a word only where ending them was all there was to do. */
    if (err == 0 && has_ends && (n_ended > 0 || !d->said[0] || is_kill)) {
        /* "34 sessions ended, 2 commands cut" */
        json_int_t cut = json_integer_value(json_object_get(result, "cut"));
        err = buf_printf(&text, "%s%lld session%s ended", !is_kill && d->said[0] ? ", " : "",
                         (long long)n_ended, n_ended == 1 ? "" : "s");
        if (err == 0 && cut > 0)
            err = buf_printf(&text, ", %lld command%s cut", (long long)cut, cut == 1 ? "" : "s");
    }
    if (err == 0 && message[0])
        err = buf_printf(&text, "; %s", message);
    return err < 0 ? NULL : buf_steal(&text);
}
