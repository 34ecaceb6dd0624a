/* SPDX-License-Identifier: ISC */
/* One user as a value: copying, wiping its secrets, words for its properties. */
#include "base/cleanup.h"
#include "base/secret.h"
#include "proto/registry/registry.h"
#include "store/store.h"

void store_user_fini(struct store_user *u)
{
    if (!u)
        return;
    free(u->name);
    secret_free(u->password_hash);
    secret_free(u->scram);
    free(u->pool);
    free(u->backend);
    free(u->backend_user);
    secret_free(u->backend_password);
    free(u->master_user);
    secret_free(u->plain_password);
    free(u->state_text);
    free(u->note);
    *u = (struct store_user){0};
}

static bool copy_text(char **dst, const char *src)
{
    *dst = str_dup_c(src);
    return !src || *dst;
}

int store_user_copy(struct store_user *dst, const struct store_user *src)
{
    struct store_user u = *src;
    u.name = u.password_hash = u.scram = u.pool = u.backend = u.backend_user = NULL;
    u.backend_password = u.master_user = u.plain_password = u.state_text = u.note = NULL;
    bool is_copied =
        copy_text(&u.name, src->name) && copy_text(&u.password_hash, src->password_hash) &&
        copy_text(&u.scram, src->scram) && copy_text(&u.pool, src->pool) &&
        copy_text(&u.backend, src->backend) && copy_text(&u.backend_user, src->backend_user) &&
        copy_text(&u.backend_password, src->backend_password) &&
        copy_text(&u.master_user, src->master_user) &&
        copy_text(&u.plain_password, src->plain_password) &&
        copy_text(&u.state_text, src->state_text) && copy_text(&u.note, src->note);
    if (!is_copied) {
        store_user_fini(&u);
        return -ERR_NOMEM;
    }
    *dst = u;
    return 0;
}

bool store_user_is_too_long(const struct store_user *u)
{
    const char *const texts[] = {
        u->password_hash,    u->scram,       u->pool,           u->backend,    u->backend_user,
        u->backend_password, u->master_user, u->plain_password, u->state_text, u->note};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (texts[i] && strlen(texts[i]) > USER_TEXT_MAX)
            return true;
    return false;
}

bool store_user_has_rules(const struct store_user *u)
{
    return u->state != USER_ACTIVE || u->state_text || u->state_until_ms || u->pool || u->backend ||
           u->protocols || u->max_sessions;
}

bool store_user_has_password(const struct store_user *u)
{
    return u->password_hash || u->plain_password || u->scram;
}

bool store_user_is(const struct store_user *u, enum store_user_state state, uint64_t now_ms)
{
    bool is_over = u->state_until_ms && u->state_until_ms <= now_ms;
    return (is_over ? USER_ACTIVE : u->state) == state;
}

/* ---- words ---- */

static const char *const states[] = {
    [USER_ACTIVE] = "active", [USER_LOCKED] = "locked", [USER_HELD] = "held"};

const char *store_user_state_name(enum store_user_state s)
{
    return states[s];
}

int store_user_state_find(struct str name, enum store_user_state *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(states); i++)
        if (str_eq(name, str_of(states[i]))) {
            *ret = (enum store_user_state)i;
            return 0;
        }
    return -ERR_NOT_FOUND;
}

int store_protocols_format(unsigned mask, struct buf *out)
{
    int err = 0;
    const char *comma = "";
    for (int i = 0; i < PROTO_COUNT && err == 0; i++)
        if (mask & (1u << i)) {
            err = buf_printf(out, "%s%s", comma, proto_get((enum proto_id)i)->name);
            comma = ",";
        }
    return err;
}

int store_protocols_parse(struct str text, unsigned *ret_mask, struct str *ret_unknown)
{
    unsigned mask = 0;
    while (text.n > 0) {
        struct str name = str_trim(str_cut(&text, ','));
        const struct proto *p = proto_find(name);
        if (!p && name.n > 0) {
            if (ret_unknown)
                *ret_unknown = name;
            return -ERR_NOT_FOUND;
        }
        mask |= p ? 1u << p->id : 0;
    }
    *ret_mask = mask;
    return 0;
}

/* ---- names ---- */

int user_name_normalise(struct str name, char dst[256])
{
    if (name.n == 0 || name.n > USER_NAME_MAX || str_trim(name).n != name.n)
        return -ERR_SYNTAX;
    if (!str_is_printable_ascii(name)) { /* as most are */
        if (!str_is_utf8(name))
            return -ERR_SYNTAX;
        for (size_t i = 0; i < name.n; i++)
            if ((unsigned char)name.p[i] < 0x20 || name.p[i] == 0x7f)
                return -ERR_SYNTAX;
    }
    (void)str_copy(dst, USER_NAME_MAX + 1, name);
    str_lower(dst);
    return 0;
}
