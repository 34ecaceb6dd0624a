/* SPDX-License-Identifier: ISC */
/* Subjects of bans and overrides. */
#include "limits/limit_target.h"

#include <stdio.h>

#include "store/store.h"

static const char *const limit_target_kinds[] = {[LIMIT_TARGET_ADDRESS] = "address",
                                                 [LIMIT_TARGET_NETWORK] = "network",
                                                 [LIMIT_TARGET_USER] = "user"};

const char *limit_target_kind_name(enum limit_target_kind k)
{
    return limit_target_kinds[k];
}

static int limit_target_parse_user(struct str name, struct limit_target *ret)
{
    struct limit_target s = {.kind = LIMIT_TARGET_USER};
    int err = user_name_normalise(name, s.user);
    if (err == 0)
        *ret = s;
    return err;
}

/* What is an address with a mistake must not become a user: "10.0.0.1/8", "1.2.3.4:25",
 * "10.0.0.256", "10.0.0.*", "10.0.0.1-9", "2001:db8:1", "fe80::1%eth0". A name of digits alone is
 * none. */
static bool limit_target_looks_like_address(struct str text)
{
    struct addr a;
    struct str host = text, zone = text;
    struct str bare = str_cut(&zone, '%');
    size_t n_digits = 0, n_letters = 0, n_colons = 0, n_other = 0, n_marks = 0;
    for (size_t i = 0; i < bare.n; i++) {
        n_digits += bare.p[i] >= '0' && bare.p[i] <= '9';
        n_letters +=
            (bare.p[i] >= 'a' && bare.p[i] <= 'f') || (bare.p[i] >= 'A' && bare.p[i] <= 'F');
        n_colons += bare.p[i] == ':';
        n_other += bare.p[i] == '.' || bare.p[i] == ':' || bare.p[i] == '/';
        n_marks += bare.p[i] == '*' || bare.p[i] == '-';
    }
    bool is_v4 = n_other > 0 && n_digits + n_other + n_marks == bare.n;
    bool is_v6 = n_colons >= 2 && n_digits + n_letters + n_other == bare.n;
    if (is_v4 || is_v6)
        return true;
    return addr_parse(text, &a) == 0 || addr_parse(str_cut(&host, '/'), &a) == 0;
}

int limit_target_parse(struct str text, struct limit_target *ret)
{
    static const struct str prefix = {"user:", 5};
    struct limit_target s = {0};
    if (str_is_prefix(text, prefix))
        return limit_target_parse_user(str_n(text.p + prefix.n, text.n - prefix.n), ret);
    if (addr_net_parse(text, &s.net) < 0)
        return limit_target_looks_like_address(text) ? -ERR_SYNTAX
                                                     : limit_target_parse_user(text, ret);
    bool is_network = s.net.family != AF_UNIX && s.net.bits < 128;
    s.kind = is_network ? LIMIT_TARGET_NETWORK : LIMIT_TARGET_ADDRESS;
    *ret = s;
    return 0;
}

void limit_target_format(char dst[LIMIT_TARGET_TEXT_MAX], const struct limit_target *s)
{
    struct limit_target back;
    if (s->kind != LIMIT_TARGET_USER) {
        addr_net_format(dst, &s->net);
        return;
    }
    (void)str_copy(dst, LIMIT_TARGET_TEXT_MAX, str_of(s->user));
    if (limit_target_parse(str_of(dst), &back) < 0 || back.kind != LIMIT_TARGET_USER ||
        strcmp(back.user, s->user) != 0)
        snprintf(dst, LIMIT_TARGET_TEXT_MAX, "user:%s", s->user);
}

void limit_target_of_addr(struct limit_target *ret, const struct addr *a)
{
    struct addr key = addr_limit_key(a);
    bool is_v6 = key.family == AF_INET6;
    *ret = (struct limit_target){.kind = is_v6 ? LIMIT_TARGET_NETWORK : LIMIT_TARGET_ADDRESS,
                                 .net = {.bits = is_v6 ? 64 : 128, .family = key.family}};
    memcpy(ret->net.ip, key.ip, sizeof(key.ip));
    if (key.family == AF_UNIX)
        ret->net = (struct addr_net){.family = AF_UNIX};
}
