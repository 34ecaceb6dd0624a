/* SPDX-License-Identifier: ISC */
/* From members of the struct back to values as a file has them: one printer a type. */
#include <inttypes.h>

#include "base/cleanup.h"
#include "config/config_key.h"
#include "proto/registry/registry.h"

#define PRINT_MASK "***"

int config_print_text(struct buf *out, const char *text)
{
    int err = buf_append_char(out, '"');
    for (const char *p = text; *p && err == 0; p++) {
        if (*p == '"' || *p == '\\')
            err = buf_append_char(out, '\\');
        if (err == 0)
            err = buf_append_char(out, *p);
    }
    return err < 0 ? err : buf_append_char(out, '"');
}

/* The next of several values: [ "a", "b" ]. */
static int print_item(struct buf *out, size_t i, const char *text)
{
    int err = buf_append_c(out, i == 0 ? "[ " : ", ");
    return err < 0 ? err : config_print_text(out, text);
}

static int print_end(struct buf *out, size_t n)
{
    return n ? buf_append_c(out, " ]") : 0;
}

static uint64_t print_load(const struct config_key *k, const void *base)
{
    const void *at = config_member_const(k, base);
    return k->size == sizeof(uint8_t)    ? *(const uint8_t *)at
           : k->size == sizeof(uint16_t) ? *(const uint16_t *)at
           : k->size == sizeof(uint32_t) ? *(const uint32_t *)at
                                         : *(const uint64_t *)at;
}

static int print_text(const struct config_key *k, const void *base, struct buf *out)
{
    const char *text = *(const char *const *)config_member_const(k, base);
    return text ? config_print_text(out, text) : 0;
}

static int print_bool(const struct config_key *k, const void *base, struct buf *out)
{
    return buf_append_c(out, *(const bool *)config_member_const(k, base) ? "true" : "false");
}

static int print_number(const struct config_key *k, const void *base, struct buf *out)
{
    return buf_printf(out, "%" PRIu64, print_load(k, base));
}

static int print_unit(const struct config_key *k, const void *base, struct buf *out)
{
    char text[32];
    config_key_format(k, print_load(k, base), text);
    return config_print_text(out, text);
}

static int print_texts(const struct config_key *k, const void *base, struct buf *out)
{
    const struct config_strings *s = config_member_const(k, base);
    int err = 0;
    if (s->n == 0 && s->v) /* none is something else than nothing said */
        return buf_append_c(out, "[ ]");
    for (size_t i = 0; i < s->n && err == 0; i++)
        err = print_item(out, i, s->v[i]);
    return err < 0 ? err : print_end(out, s->n);
}

static int print_nets(const struct config_key *k, const void *base, struct buf *out)
{
    const struct config_nets *nets = config_member_const(k, base);
    char text[ADDR_TEXT_MAX];
    int err = 0;
    if (nets->n == 0 && (k->fallback || nets->v)) /* none is something else than nothing said */
        return buf_append_c(out, "[ ]");
    for (size_t i = 0; i < nets->n && err == 0; i++) {
        addr_net_format(text, &nets->v[i]);
        err = print_item(out, i, text);
    }
    return err < 0 ? err : print_end(out, nets->n);
}

static int print_proto(const struct config_key *k, const void *base, struct buf *out)
{
    const struct proto *p = *(const struct proto *const *)config_member_const(k, base);
    return p ? config_print_text(out, p->name) : 0;
}

static int print_mechanisms(const struct config_key *k, const void *base, struct buf *out)
{
    uint64_t mask = print_load(k, base);
    size_t n = 0;
    int err = 0;
    if (mask & SASL_BIT_NOTHING)
        return buf_append_c(out, "[ ]");
    for (int mech = 0; mech < SASL_MECH_COUNT && err == 0; mech++)
        if (mask & SASL_BIT(mech))
            err = print_item(out, n++, sasl_name((enum sasl_mech)mech));
    if (mask & SASL_BIT_COMMAND && err == 0)
        err = print_item(out, n++, "COMMAND");
    return err < 0 ? err : print_end(out, n);
}

static int print_ports(const struct config_key *k, const void *base, struct buf *out)
{
    const uint16_t *ports = config_member_const(k, base);
    size_t n = 0;
    int err = 0;
    for (int id = 0; id < PROTO_COUNT && err == 0; id++)
        if (ports[id])
            err = buf_printf(out, "%s%s = %u;", n++ ? " " : "{ ", proto_get(id)->name, ports[id]);
    return err < 0 || n == 0 ? err : buf_append_c(out, " }");
}

static int print_word(const struct config_key *k, const void *base, struct buf *out)
{
    for (const struct config_word *w = k->words; w->word; w++)
        if (w->value == print_load(k, base))
            return config_print_text(out, w->word);
    return 0;
}

static int print_words(const struct config_key *k, const void *base, struct buf *out)
{
    uint64_t mask = print_load(k, base);
    size_t n = 0;
    int err = 0;
    if (mask == 0)
        return print_word(k, base, out);
    for (const struct config_word *w = k->words; w->word && err == 0; w++)
        if (mask & w->value)
            err = print_item(out, n++, w->word);
    return err < 0 ? err : print_end(out, n);
}

typedef int value_printer(const struct config_key *k, const void *base, struct buf *out);

static value_printer *const value_printers[CONFIG_TYPE_COUNT] = {
    [CONFIG_TEXT] = print_text,   [CONFIG_NAME] = print_text,     [CONFIG_PATH] = print_text,
    [CONFIG_BOOL] = print_bool,   [CONFIG_NUMBER] = print_number, [CONFIG_DURATION] = print_unit,
    [CONFIG_SIZE] = print_unit,   [CONFIG_MODE] = print_unit,     [CONFIG_TEXTS] = print_texts,
    [CONFIG_NETS] = print_nets,   [CONFIG_PROTO] = print_proto,   [CONFIG_MECHS] = print_mechanisms,
    [CONFIG_PORTS] = print_ports, [CONFIG_WORD] = print_word,     [CONFIG_WORDS] = print_words,
};

int config_value_print(const struct config_key *k, const void *base, struct buf *out)
{
    return value_printers[k->type](k, base, out);
}

int config_value_print_masked(const struct config_key *k, const void *base, struct buf *out)
{
    if (!(k->flags & CONFIG_KEY_SECRET))
        return config_value_print(k, base, out);
    if (k->type != CONFIG_TEXTS) {
        const char *text = *(const char *const *)config_member_const(k, base);
        return text ? config_print_text(out, PRINT_MASK) : 0;
    }
    const struct config_strings *s = config_member_const(k, base);
    int err = 0;
    for (size_t i = 0; i < s->n && err == 0; i++) {
        /* The name stays ("X-Token: ***"), so that one sees what is there. */
        const char *colon = strchr(s->v[i], ':');
        AUTO_FREE char *masked = str_printf("%.*s%s" PRINT_MASK, colon ? (int)(colon - s->v[i]) : 0,
                                            s->v[i], colon ? ": " : "");
        err = masked ? print_item(out, i, masked) : -ERR_NOMEM;
    }
    return err < 0 ? err : print_end(out, s->n);
}
