/* SPDX-License-Identifier: ISC */
/* Which sinks there are, and what they get. */
#include "base/log/log_set.h"

#include "base/clock.h"

struct log_set log_set = {
    .admin = PTHREAD_MUTEX_INITIALIZER,
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .max_level = {[LOG_FORMAT_TEXT] = LOG_LEVEL_NOTICE, [LOG_FORMAT_JSON] = -1}};

static void set_make_stderr(void)
{
    const struct log_sink_spec spec = {.target = LOG_TARGET_STDERR, .level = LOG_LEVEL_NOTICE};
    if (log_sink_new(&spec, &log_set.sinks[0]) == 0)
        log_set.n = 1;
}

void log_set_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, set_make_stderr);
}

void log_set_find_max(void)
{
    int max[2] = {-1, -1};
    for (size_t i = 0; i < log_set.n; i++) {
        const struct log_sink *s = log_set.sinks[i];
        int level = atomic_load(&s->level);
        max[s->format] = level > max[s->format] ? level : max[s->format];
    }
    for (size_t i = 0; i < ARRAY_LEN(max); i++)
        atomic_store(&log_set.max_level[i], max[i]);
}

static bool set_is_named(const struct log_sink *s, const char *const *names)
{
    for (; s->name && *names; names++)
        if (strcmp(s->name, *names) == 0)
            return true;
    return false;
}

bool log_set_put(const char *const *names, enum log_level level, const char *event,
                 const struct log_field *fields, size_t n)
{
    struct log_line lines[2];
    uint64_t now = clock_wall_ms();
    bool is_urgent = level == LOG_LEVEL_ERROR;
    log_set_init();
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        lines[i].n = 0;
        if ((int)level <= atomic_load_explicit(&log_set.max_level[i], memory_order_relaxed))
            log_line_make(&lines[i], (enum log_format)i, now, level, event, fields, n);
    }
    pthread_mutex_lock(&log_set.lock);
    bool is_by_name = false; /* a name may be of a sink that a reload has taken away */
    for (size_t i = 0; names && i < log_set.n; i++)
        is_by_name = is_by_name || set_is_named(log_set.sinks[i], names);
    for (size_t i = 0; i < log_set.n; i++) {
        struct log_sink *s = log_set.sinks[i];
        if (is_by_name ? !set_is_named(s, names) : s->is_named_only)
            continue;
        const struct log_line *line = &lines[s->format];
        if ((int)level > atomic_load_explicit(&s->level, memory_order_relaxed) || line->n == 0)
            continue;
        if (!log_sink_put(s, level, line) && s->trouble_wall_ms == 0)
            s->trouble_wall_ms = now;
        is_urgent |= s->queue.fill_n > s->queue.cap / 2;
    }
    pthread_mutex_unlock(&log_set.lock);
    return is_urgent;
}
