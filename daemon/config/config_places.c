/* SPDX-License-Identifier: ISC */
/* Where each key of a config stands: its file and line. */
#include "config/config_places.h"

#include "base/cleanup.h"

struct config_place {
    const char *file;
    unsigned line;
};

int config_places_add(struct config_places *p, const char *key, const char *file, unsigned line)
{
    AUTO_FREE struct config_place *place = calloc(1, sizeof(*place));
    if (!place)
        return -ERR_NOMEM;
    *place = (struct config_place){file, line};
    int err = map_put(&p->by_key, str_of(key), place, NULL);
    if (err == 0)
        place = NULL;
    return err;
}

void config_places_fini(struct config_places *p)
{
    size_t pos = 0;
    struct str key;
    void *place;
    while (map_next(&p->by_key, &pos, &key, &place))
        free(place);
    map_fini(&p->by_key);
}

bool config_place_has(const struct config_places *p, const char *key)
{
    return p && map_get(&p->by_key, str_of(key));
}

unsigned config_place_line(const struct config_places *p, const char *key, const char **ret_file)
{
    struct str part = str_of(key);
    for (; part.n > 0; part.n--) {
        bool is_part = part.n == strlen(key) || key[part.n] == '.' || key[part.n] == '[';
        const struct config_place *place = is_part ? map_get(&p->by_key, part) : NULL;
        if (place) {
            *ret_file = place->file;
            return place->line;
        }
    }
    *ret_file = p->file;
    return 0;
}
