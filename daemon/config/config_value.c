/* SPDX-License-Identifier: ISC */
/* From values of the file to members of the struct: one setter a type, each with its own check. */
#include "base/cleanup.h"
#include "base/units.h"
#include "config/config_key.h"
#include "proto/registry/registry.h"

#define VALUE_NAME_MAX 64

static int value_bad(const struct config_reading *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static int value_bad(const struct config_reading *r, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int err = buf_vprintf(r->error, fmt, ap);
    va_end(ap);
    return err < 0 ? err : -ERR_CONFIG;
}

static void value_store(const struct config_key *k, void *base, uint64_t v)
{
    void *at = config_member(k, base);
    if (k->size == sizeof(uint8_t))
        *(uint8_t *)at = (uint8_t)v;
    else if (k->size == sizeof(uint16_t))
        *(uint16_t *)at = (uint16_t)v;
    else if (k->size == sizeof(uint32_t))
        *(uint32_t *)at = (uint32_t)v;
    else
        *(uint64_t *)at = v;
}

/* ---- texts ---- */

/* Control bytes would end up in protocol replies and logs, other encodings in JSON. */
static int value_check_text(const char *text, const struct config_reading *r)
{
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return value_bad(r, "holds a control character");
    return str_is_utf8(str_of(text)) ? 0 : value_bad(r, "is not UTF-8");
}

static int value_text(const struct config_key *k, const struct config_value *v,
                      const struct config_reading *r)
{
    if (v->kind != VALUE_TEXT)
        return value_bad(r, "must be a text in quotes");
    if (!*v->text && (k->type != CONFIG_TEXT || k->flags & CONFIG_KEY_NEEDED))
        return value_bad(r, "must not be empty");
    return value_check_text(v->text, r);
}

static int value_set_text(const struct config_key *k, void *base, const struct config_value *v,
                          const struct config_reading *r)
{
    int err = value_text(k, v, r);
    if (err < 0)
        return err;
    char *copy = config_alloc_text(r->memory, str_of(v->text));
    if (!copy)
        return -ERR_NOMEM;
    *(const char **)config_member(k, base) = copy;
    return 0;
}

bool config_name_is_good(const char *name)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    return *name && name[0] != '-' && strspn(name, allowed) == strlen(name) &&
           strlen(name) <= VALUE_NAME_MAX;
}

/* Commands, filters and paths of changes name it: "pools[main].backends[b1]". */
static int value_set_name(const struct config_key *k, void *base, const struct config_value *v,
                          const struct config_reading *r)
{
    int err = value_text(k, v, r);
    if (err < 0)
        return err;
    if (strlen(v->text) > VALUE_NAME_MAX)
        return value_bad(r, "is longer than %d characters", VALUE_NAME_MAX);
    if (!config_name_is_good(v->text))
        return value_bad(r, "\"%s\" is no name: letters, digits, dots, hyphens and underscores",
                         v->text);
    return value_set_text(k, base, v, r);
}

static int value_set_path(const struct config_key *k, void *base, const struct config_value *v,
                          const struct config_reading *r)
{
    int err = value_text(k, v, r);
    if (err < 0)
        return err;
    AUTO_BUF path = BUF_INIT;
    if (v->text[0] != '/' && r->folder)
        err = buf_printf(&path, "%s/", r->folder);
    if (err == 0)
        err = buf_append_c(&path, v->text);
    char *copy = err == 0 ? config_alloc_text(r->memory, buf_str(&path)) : NULL;
    if (!copy)
        return -ERR_NOMEM;
    *(const char **)config_member(k, base) = copy;
    return 0;
}

/* Calls fn with each text of a list; a text alone is a list of one. */
static int value_each(const struct config_value *v, const struct config_reading *r,
                      int (*fn)(void *arg, size_t i, const char *text,
                                const struct config_reading *r),
                      void *arg)
{
    if (v->kind == VALUE_TEXT)
        return fn(arg, 0, v->text, r);
    if (v->kind != VALUE_ITEMS)
        return value_bad(r, "must be a text in quotes or a list of texts: [ \"...\", \"...\" ]");
    int err = 0;
    for (size_t i = 0; i < v->n_items && err == 0; i++)
        err = v->items[i].kind == VALUE_TEXT ? fn(arg, i, v->items[i].text, r)
                                             : value_bad(r, "must hold texts in quotes only");
    return err;
}

static size_t value_count(const struct config_value *v)
{
    return v->kind == VALUE_ITEMS ? v->n_items : 1;
}

static int value_add_text(void *arg, size_t i, const char *text, const struct config_reading *r)
{
    const char **texts = arg;
    int err = value_check_text(text, r);
    if (err < 0)
        return err;
    texts[i] = config_alloc_text(r->memory, str_of(text));
    return texts[i] ? 0 : -ERR_NOMEM;
}

static int value_set_texts(const struct config_key *k, void *base, const struct config_value *v,
                           const struct config_reading *r)
{
    size_t n = value_count(v);
    if (n == 0 && k->flags & CONFIG_KEY_NEEDED)
        return value_bad(r, "must not be empty");
    const char **texts = config_alloc(r->memory, (n + 1) * sizeof(*texts));
    if (!texts)
        return -ERR_NOMEM;
    int err = value_each(v, r, value_add_text, texts);
    if (err == 0)
        *(struct config_strings *)config_member(k, base) = (struct config_strings){texts, n};
    return err;
}

static int value_add_net(void *arg, size_t i, const char *text, const struct config_reading *r)
{
    struct addr_net *nets = arg;
    if (addr_net_parse(str_of(text), &nets[i]) == 0)
        return 0;
    return value_bad(r,
                     "\"%s\" is no network: an address, or address/bits with the rest of the "
                     "address 0, or \"unix:\"",
                     text);
}

static int value_set_nets(const struct config_key *k, void *base, const struct config_value *v,
                          const struct config_reading *r)
{
    size_t n = value_count(v);
    struct addr_net *nets = config_alloc(r->memory, (n + 1) * sizeof(*nets));
    if (!nets)
        return -ERR_NOMEM;
    int err = value_each(v, r, value_add_net, nets);
    if (err == 0)
        *(struct config_nets *)config_member(k, base) = (struct config_nets){nets, n};
    return err;
}

/* ---- numbers ---- */

static int value_set_bool(const struct config_key *k, void *base, const struct config_value *v,
                          const struct config_reading *r)
{
    if (v->kind != VALUE_BOOL)
        return value_bad(r, "must be true or false, without quotes");
    value_store(k, base, v->number != 0);
    return 0;
}

static int value_set_number(const struct config_key *k, void *base, uint64_t v,
                            const struct config_reading *r)
{
    char least[32], most[32];
    if (v < k->min || v > config_key_max(k)) {
        config_key_format(k, k->min, least);
        config_key_format(k, config_key_max(k), most);
        return value_bad(r, "must be from %s to %s", least, most);
    }
    value_store(k, base, v);
    return 0;
}

static int value_set_int(const struct config_key *k, void *base, const struct config_value *v,
                         const struct config_reading *r)
{
    if (v->kind != VALUE_INT)
        return value_bad(r, "must be a whole number, without quotes");
    return value_set_number(k, base, v->number < 0 ? UINT64_MAX : (uint64_t)v->number, r);
}

static int value_set_duration(const struct config_key *k, void *base, const struct config_value *v,
                              const struct config_reading *r)
{
    uint64_t ms = 0;
    bool is_zero = v->kind == VALUE_INT && v->number == 0;
    int err = v->kind == VALUE_TEXT ? units_parse_duration(str_of(v->text), &ms)
                                    : (is_zero ? 0 : -ERR_SYNTAX);
    if (err == -ERR_RANGE)
        ms = UINT64_MAX;
    else if (err < 0)
        return value_bad(r, "must be a duration with a unit, such as \"500ms\", \"10s\", \"5m\", "
                            "\"24h\"");
    return value_set_number(k, base, ms, r);
}

static int value_set_size(const struct config_key *k, void *base, const struct config_value *v,
                          const struct config_reading *r)
{
    uint64_t bytes = v->number < 0 ? UINT64_MAX : (uint64_t)v->number;
    int err = 0;
    if (v->kind == VALUE_TEXT)
        err = units_parse_size(str_of(v->text), &bytes);
    else if (v->kind != VALUE_INT)
        err = -ERR_SYNTAX;
    if (err == -ERR_RANGE)
        bytes = UINT64_MAX;
    else if (err < 0)
        return value_bad(r, "must be a size, such as \"4k\" or \"1m\"");
    return value_set_number(k, base, bytes, r);
}

/* In quotes: the file's own numbers are decimal even with a leading 0. */
static int value_set_mode(const struct config_key *k, void *base, const struct config_value *v,
                          const struct config_reading *r)
{
    if (v->kind != VALUE_TEXT || !*v->text || strlen(v->text) > 5 ||
        strspn(v->text, "01234567") != strlen(v->text))
        return value_bad(r, "must be a file mode in octal digits and quotes, such as \"0660\"");
    return value_set_number(k, base, strtoul(v->text, NULL, 8), r);
}

/* ---- words ---- */

/* Refuses a word with the list of those that there are. */
static int value_bad_word(const struct config_reading *r, const char *word,
                          const char *const *known, size_t n)
{
    int err = value_bad(r, "\"%s\" is not known: ", word);
    for (size_t i = 0; i < n && err == -ERR_CONFIG; i++) {
        int e = buf_printf(r->error, "%s%s", i == 0 ? "" : i + 1 < n ? ", " : " or ", known[i]);
        err = e < 0 ? e : err;
    }
    const char *near = str_nearest(word, known, n);
    return near && err == -ERR_CONFIG ? value_bad(r, "; did you mean \"%s\"?", near) : err;
}

static int value_find_word(const struct config_key *k, const char *word,
                           const struct config_reading *r, unsigned *ret)
{
    const char *known[16];
    size_t n = 0;
    for (const struct config_word *w = k->words; w->word && n < ARRAY_LEN(known); w++) {
        if (strcmp(w->word, word) == 0) {
            *ret = w->value;
            return 0;
        }
        known[n++] = w->word;
    }
    return value_bad_word(r, word, known, n);
}

/* Of words that have "on" and "off" true and false are two. */
static bool value_is_switch(const struct config_key *k)
{
    bool has_on = false, has_off = false;
    for (const struct config_word *w = k->words; w->word; w++) {
        has_on = has_on || strcmp(w->word, "on") == 0;
        has_off = has_off || strcmp(w->word, "off") == 0;
    }
    return has_on && has_off;
}

static int value_set_word(const struct config_key *k, void *base, const struct config_value *v,
                          const struct config_reading *r)
{
    unsigned value;
    bool is_switch = v->kind == VALUE_BOOL && value_is_switch(k);
    if (v->kind != VALUE_TEXT && !is_switch)
        return value_bad(r, "must be a word in quotes: %s", k->text);
    const char *word = !is_switch ? v->text : v->number ? "on" : "off";
    int err = value_find_word(k, word, r, &value);
    if (err == 0)
        value_store(k, base, value);
    return err;
}

/* The key whose words are added up, and their sum. */
struct value_mask {
    const struct config_key *key;
    unsigned mask;
};

static int value_add_word(void *arg, size_t i, const char *text, const struct config_reading *r)
{
    struct value_mask *m = arg;
    unsigned value;
    int err = value_find_word(m->key, text, r, &value);
    if (err < 0)
        return err;
    if (i > 0 && (value == 0 || m->mask == 0))
        return value_bad(r, "\"%s\" must stand alone", m->key->words[0].word);
    m->mask |= value;
    return 0;
}

static int value_add_mechanism(void *arg, size_t i, const char *text,
                               const struct config_reading *r)
{
    struct value_mask *m = arg;
    const char *known[SASL_MECH_COUNT + 1] = {[SASL_MECH_COUNT] = "COMMAND"};
    (void)i;
    for (int mech = 0; mech < SASL_MECH_COUNT; mech++)
        known[mech] = sasl_name((enum sasl_mech)mech);
    enum sasl_mech mech = sasl_find(str_of(text));
    if (mech < SASL_MECH_COUNT)
        m->mask |= SASL_BIT(mech);
    else if (str_ieq(str_of(text), STR("COMMAND")))
        m->mask |= SASL_BIT_COMMAND;
    else
        return value_bad_word(r, text, known, ARRAY_LEN(known));
    return 0;
}

static int value_set_mask(const struct config_key *k, void *base, const struct config_value *v,
                          const struct config_reading *r)
{
    struct value_mask m = {.key = k};
    if (value_count(v) == 0 && k->type != CONFIG_MECHS)
        return value_bad(r, "must not be empty");
    if (value_count(v) == 0)
        m.mask = SASL_BIT_NOTHING;
    int err = value_each(v, r, k->type == CONFIG_MECHS ? value_add_mechanism : value_add_word, &m);
    if (err == 0)
        value_store(k, base, m.mask);
    return err;
}

static int value_find_proto(const char *name, const struct config_reading *r,
                            const struct proto **ret)
{
    const char *known[PROTO_COUNT];
    for (int id = 0; id < PROTO_COUNT; id++)
        known[id] = proto_get((enum proto_id)id)->name;
    const struct proto *p = proto_find(str_of(name));
    if (!p)
        return value_bad_word(r, name, known, PROTO_COUNT);
    *ret = p;
    return 0;
}

static int value_set_proto(const struct config_key *k, void *base, const struct config_value *v,
                           const struct config_reading *r)
{
    if (v->kind != VALUE_TEXT)
        return value_bad(r, "must be a word in quotes: %s", k->text);
    return value_find_proto(v->text, r, config_member(k, base));
}

static int value_set_ports(const struct config_key *k, void *base, const struct config_value *v,
                           const struct config_reading *r)
{
    if (v->kind != VALUE_FIELDS)
        return value_bad(r, "must be a group such as %s", k->text);
    uint16_t *ports = config_member(k, base);
    int err = 0;
    for (size_t i = 0; i < v->n_items && err == 0; i++) {
        const struct config_value *f = &v->items[i];
        const struct proto *p = NULL;
        err = value_find_proto(f->name, r, &p);
        if (err == 0 && (f->kind != VALUE_INT || f->number < 1 || f->number > UINT16_MAX))
            err = value_bad(r, "%s must be a port number from 1 to 65535", f->name);
        if (err == 0)
            ports[p->id] = (uint16_t)f->number;
    }
    return err;
}

typedef int value_setter(const struct config_key *k, void *base, const struct config_value *v,
                         const struct config_reading *r);

static value_setter *const value_setters[CONFIG_TYPE_COUNT] = {
    [CONFIG_TEXT] = value_set_text,   [CONFIG_NAME] = value_set_name,
    [CONFIG_PATH] = value_set_path,   [CONFIG_BOOL] = value_set_bool,
    [CONFIG_NUMBER] = value_set_int,  [CONFIG_DURATION] = value_set_duration,
    [CONFIG_SIZE] = value_set_size,   [CONFIG_MODE] = value_set_mode,
    [CONFIG_TEXTS] = value_set_texts, [CONFIG_NETS] = value_set_nets,
    [CONFIG_PROTO] = value_set_proto, [CONFIG_MECHS] = value_set_mask,
    [CONFIG_PORTS] = value_set_ports, [CONFIG_WORD] = value_set_word,
    [CONFIG_WORDS] = value_set_mask,
};

int config_value_set(const struct config_key *k, void *base, const struct config_value *v,
                     const struct config_reading *r)
{
    return value_setters[k->type](k, base, v, r);
}

/* Networks of a default stand in one text with spaces between them. */
static int value_default_nets(const struct config_key *k, void *base,
                              const struct config_reading *r)
{
    char text[256];
    struct config_value items[16];
    struct config_value v = {.kind = VALUE_ITEMS, .items = items};
    struct str rest = str_of(k->fallback);
    char *at = text;
    while (rest.n > 0 && v.n_items < ARRAY_LEN(items)) {
        struct str word = str_cut(&rest, ' ');
        size_t room = sizeof(text) - (size_t)(at - text);
        if (!str_copy(at, room, word))
            return -ERR_TOO_LONG;
        items[v.n_items++] = (struct config_value){.kind = VALUE_TEXT, .text = at};
        at += word.n + 1;
    }
    return value_set_nets(k, base, &v, r);
}

int config_value_default(const struct config_key *k, void *base, const struct config_reading *r)
{
    if (!k->fallback)
        return 0;
    struct config_value v = {.kind = VALUE_TEXT, .text = k->fallback};
    if (k->type == CONFIG_BOOL)
        v = (struct config_value){.kind = VALUE_BOOL, .number = strcmp(k->fallback, "true") == 0};
    if (k->type == CONFIG_NETS)
        return value_default_nets(k, base, r);
    if (k->type == CONFIG_NUMBER)
        v = (struct config_value){.kind = VALUE_INT, .number = strtoll(k->fallback, NULL, 10)};
    return config_value_set(k, base, &v, r);
}

/* What the keys of the same names have there. */
static void value_inherit(const struct config_key *k, void *base, const struct config_origin *from)
{
    if (k->type != CONFIG_PART) {
        const struct config_key *o = config_key_find(from->group, k->name);
        memcpy(config_member(k, base), config_member_const(o, from->base), k->size);
        return;
    }
    const struct config_group *g = k->group();
    if (g == from->group) {
        memcpy(config_member(k, base), from->base, g->size);
        return;
    }
    for (size_t i = 0; i < g->n_keys; i++)
        value_inherit(&g->keys[i], config_member(k, base), from);
}

int config_group_default(const struct config_group *g, void *base, const struct config *top,
                         const struct config_reading *r)
{
    int err = 0;
    for (size_t i = 0; i < g->n_keys && err == 0; i++) {
        const struct config_key *k = &g->keys[i];
        struct config_origin from;
        if (top && config_key_origin(k, top, &from))
            value_inherit(k, base, &from);
        else if (k->type == CONFIG_PART)
            err = config_group_default(k->group(), config_member(k, base), top, r);
        else if (k->type != CONFIG_LIST)
            err = config_value_default(k, base, r);
    }
    return err;
}
