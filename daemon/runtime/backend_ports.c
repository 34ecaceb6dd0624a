/* SPDX-License-Identifier: ISC */
/* Ports of a backend as text. */
#include "runtime/backend_ports.h"
#include "proto/registry/registry.h"

int backend_ports_print(const uint16_t ports[PROTO_COUNT], struct buf *out)
{
    size_t before = out->len;
    int err = 0;
    for (int i = 0; i < PROTO_COUNT && err == 0; i++)
        if (ports[i] && proto_get((enum proto_id)i))
            err = buf_printf(out, "%s%s=%u", out->len > before ? "," : "",
                             proto_get((enum proto_id)i)->name, ports[i]);
    return err;
}

int backend_ports_parse(const char *text, uint16_t ports[PROTO_COUNT], char **ret_error)
{
    struct str rest = str_of(text);
    memset(ports, 0, PROTO_COUNT * sizeof(ports[0]));
    while (rest.n > 0) {
        struct str value = str_trim(str_cut(&rest, ','));
        struct str name = str_trim(str_cut(&value, '='));
        const struct proto *p = proto_find(name);
        uint64_t port;
        if (!p || str_to_u64(str_trim(value), UINT16_MAX, &port) < 0 || port == 0) {
            *ret_error = !p ? str_printf("ports are written imap=143,pop3=110: there is no "
                                         "protocol \"%.*s\"",
                                         STR_ARG(name))
                            : str_printf("ports are written imap=143,pop3=110: %s needs a number "
                                         "from 1 to 65535",
                                         p->name);
            return -ERR_BAD_PARAM;
        }
        ports[p->id] = (uint16_t)port;
    }
    return 0;
}
