/* SPDX-License-Identifier: ISC */
/* Subjects of bans and overrides. */
#include "limits/limit_target.h"

#include <stdio.h>

#include "store/store.h"

static const char *const subject_kinds[] = {
    [SUBJECT_ADDRESS] = "address", [SUBJECT_NETWORK] = "network", [SUBJECT_USER] = "user"};

const char *subject_kind_name(enum subject_kind k)
{
    return subject_kinds[k];
}

static int subject_parse_user(struct str name, struct subject *ret)
{
    struct subject s = {.kind = SUBJECT_USER};
    int err = user_name_normalise(name, s.user);
    if (err == 0)
        *ret = s;
    return err;
}

static bool subject_is_network(const struct addr_net *n)
{
    return n->family != AF_UNIX && n->bits < 128;
}

/* What is an address with a mistake must not become a user: "10.0.0.1/8", "1.2.3.4:25",
 * "10.0.0.256". A name of digits alone is none. */
static bool subject_looks_like_address(struct str text)
{
    struct addr a;
    struct str host = text;
    size_t n_digits = 0, n_other = 0;
    for (size_t i = 0; i < text.n; i++) {
        n_digits += text.p[i] >= '0' && text.p[i] <= '9';
        n_other += text.p[i] == '.' || text.p[i] == ':' || text.p[i] == '/';
    }
    if (n_other > 0 && n_digits + n_other == text.n)
        return true;
    return addr_parse(text, &a) == 0 || addr_parse(str_cut(&host, '/'), &a) == 0;
}

int subject_parse(struct str text, struct subject *ret)
{
    static const struct str prefix = {"user:", 5};
    struct subject s = {0};
    if (str_is_prefix(text, prefix))
        return subject_parse_user(str_n(text.p + prefix.n, text.n - prefix.n), ret);
    if (addr_net_parse(text, &s.net) < 0)
        return subject_looks_like_address(text) ? -ERR_SYNTAX : subject_parse_user(text, ret);
    s.kind = subject_is_network(&s.net) ? SUBJECT_NETWORK : SUBJECT_ADDRESS;
    *ret = s;
    return 0;
}

void subject_format(char dst[SUBJECT_TEXT_MAX], const struct subject *s)
{
    struct subject back;
    if (s->kind != SUBJECT_USER) {
        addr_net_format(dst, &s->net);
        return;
    }
    (void)str_copy(dst, SUBJECT_TEXT_MAX, str_of(s->user));
    if (subject_parse(str_of(dst), &back) < 0 || back.kind != SUBJECT_USER ||
        strcmp(back.user, s->user) != 0)
        snprintf(dst, SUBJECT_TEXT_MAX, "user:%s", s->user);
}

void subject_of_addr(struct subject *ret, const struct addr *a)
{
    struct addr key = addr_limit_key(a);
    bool is_v6 = key.family == AF_INET6;
    *ret = (struct subject){.kind = is_v6 ? SUBJECT_NETWORK : SUBJECT_ADDRESS,
                            .net = {.bits = is_v6 ? 64 : 128, .family = key.family}};
    memcpy(ret->net.ip, key.ip, sizeof(key.ip));
    if (key.family == AF_UNIX)
        ret->net = (struct addr_net){.family = AF_UNIX};
}
