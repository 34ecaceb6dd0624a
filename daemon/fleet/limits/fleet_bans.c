/* SPDX-License-Identifier: ISC */
/* Bans of a fleet in a stream of their own, so that an attack pushes no command out of it: a
 * message a second at most of each node, of some hundred bans. A ban is named by its subject and
 * its beginning: one that was lifted does not come back with a message that is older. */
#include "fleet/limits/fleet_bans.h"

#include "base/clock.h"
#include "base/zalloc.h"
#include "fleet/limits/ban_queue.h"
#include "runtime/rules/limit_service.h"
#include "runtime/state.h"

#define BANS_PAUSE_MS 1000 /* between two messages */
#define BANS_FIRST_MS 20   /* what comes together goes together */
#define BANS_AT_ONCE 200   /* of a message */
#define BANS_KEPT 1000     /* messages that the stream keeps */
#define BANS_LIFETIME_MS (7 * 24 * 3600 * UINT64_C(1000))
#define BANS_LIFTED_MAX 4096 /* that are remembered */
#define BANS_SCHEMA 1

struct fleet_bans {
    struct fleet_watch watch;
    struct control *control;
    struct fleet *fleet;
    struct loop *loop;
    char *key, *node;
    uint8_t secret[FLEET_SECRET_BYTES];
    struct ban_queue queue; /* what waits for a message */
    json_t *sent;           /* rows of the message that the store is asked to take; NULL = none */
    struct loop_timer timer;
    bool is_due;
    uint64_t sent_ms, number;
    json_t *seen;   /* see fleet_message_take */
    json_t *lifted; /* subject -> beginning of the ban that was lifted */
    struct fleet_bans_facts facts;
};

/* ---- telling ---- */

static void bans_due(struct fleet_bans *b)
{
    uint64_t now = loop_now_ms(b->loop), next = b->sent_ms + BANS_PAUSE_MS;
    if (b->is_due)
        return;
    b->is_due = true;
    loop_timer_set(b->loop, &b->timer,
                   b->sent_ms && next > now + BANS_FIRST_MS ? next - now : BANS_FIRST_MS);
}

static struct rules *bans_of(const struct fleet_bans *b)
{
    return &limit_service_limits(b->control->limit_service)->bans;
}

static void bans_queue(struct fleet_bans *b, const struct rule *r, bool is_lifted)
{
    ban_queue_add(&b->queue, r, is_lifted);
    bans_due(b);
}

static void bans_note_lifted(struct fleet_bans *b, const char *subject, uint64_t created_ms)
{
    if (json_object_size(b->lifted) >= BANS_LIFTED_MAX)
        (void)json_object_clear(b->lifted);
    (void)json_object_set_new(b->lifted, subject, json_integer((json_int_t)created_ms));
}

void fleet_bans_made(struct fleet_bans *b, const struct rule *ban)
{
    if (b && !ban->by)
        bans_queue(b, ban, false);
}

void fleet_bans_lifted(struct fleet_bans *b, const struct rule *ban)
{
    struct limit_target target;
    char name[LIMIT_TARGET_TEXT_MAX];
    if (!b)
        return;
    rule_subject(ban, &target);
    limit_target_format(name, &target);
    bans_note_lifted(b, name, ban->created_ms);
    bans_queue(b, ban, true);
}

/* The message was taken, or its rows are told again later: a ban that is told twice is one. */
static void bans_over(struct fleet_bans *b, bool is_taken)
{
    json_t *rows = STEAL(b->sent);
    if (is_taken)
        b->facts.told += json_array_size(rows);
    else
        ban_queue_return(&b->queue, rows);
    b->facts.failed_open += !is_taken;
    json_decref(rows);
    if (ban_queue_has_more(&b->queue))
        bans_due(b);
}

static void on_bans_sent(void *arg, const struct redis_result *r)
{
    struct fleet_bans *b = arg;
    bans_over(b, r->err == 0);
}

static void on_bans_timer(struct loop_timer *t)
{
    struct fleet_bans *b = CONTAINER_OF(t, struct fleet_bans, timer);
    const struct fleet_stream_to to = {.writer = fleet_redis(b->fleet),
                                       .key = b->key,
                                       .secret = b->secret,
                                       .kept = BANS_KEPT,
                                       .lifetime_ms = BANS_LIFETIME_MS};
    b->is_due = false;
    if (b->sent || !redis_is_up(to.writer))
        return; /* when it is answered; when it is back, and all is told again */
    json_t *rows = ban_queue_take(&b->queue, bans_of(b), BANS_AT_ONCE);
    size_t n = json_array_size(rows);
    b->number = fleet_message_number(b->number, clock_wall_ms());
    json_t *m = n > 0 ? json_pack("{s:i, s:s, s:I, s:O}", "schema", BANS_SCHEMA, "from", b->node,
                                  "number", (json_int_t)b->number, "bans", rows)
                      : NULL;
    b->sent_ms = loop_now_ms(b->loop);
    int err = m ? fleet_stream_append(&to, m, on_bans_sent, b) : -ERR_NOMEM;
    json_decref(m);
    b->sent = n > 0 ? json_incref(rows) : NULL;
    json_decref(rows);
    if (n > 0 && err < 0)
        bans_over(b, false);
    else if (n == 0 && ban_queue_has_more(&b->queue))
        bans_due(b);
}

/* Those of this node are told again: the store may have lost them. */
static void on_bans_back(struct fleet_watch *w, bool is_other)
{
    struct fleet_bans *b = CONTAINER_OF(w, struct fleet_bans, watch);
    (void)is_other;
    ban_queue_again(&b->queue, bans_of(b));
    bans_due(b);
}

/* ---- hearing ---- */

static void bans_take(struct fleet_bans *b, const char *node, const json_t *row)
{
    const char *subject = json_string_value(json_array_get(row, 0));
    const json_t *created = json_array_get(row, 1), *until = json_array_get(row, 2);
    struct limit_ban ban = {.node = node};
    bool is_own = strcmp(node, b->node) == 0;
    if (!subject || json_integer_value(created) <= 0 || json_integer_value(until) < 0 ||
        limit_target_parse(str_of(subject), &ban.subject) < 0)
        return;
    ban.created_ms = (uint64_t)json_integer_value(created);
    ban.until_ms = (uint64_t)json_integer_value(until);
    if (!until) {
        bans_note_lifted(b, subject, ban.created_ms);
        (void)limit_service_take_lift(b->control->limit_service, &ban);
        return;
    }
    const json_t *lifted = json_object_get(b->lifted, subject);
    if (!is_own && (!lifted || (uint64_t)json_integer_value(lifted) < ban.created_ms) &&
        limit_service_take_ban(b->control->limit_service, &ban))
        b->facts.taken++;
}

static void on_bans_heard(void *arg, const char *position, const json_t *m)
{
    struct fleet_bans *b = arg;
    const struct engine_api *h = b->control->host;
    const char *from = json_string_value(json_object_get(m, "from"));
    const json_t *rows = json_object_get(m, "bans"), *row;
    uint64_t number = fleet_message_number_of(m);
    size_t i;
    (void)position;
    if (h->is_retired(h->arg) || !from || number == 0 ||
        json_integer_value(json_object_get(m, "schema")) > BANS_SCHEMA ||
        json_array_size(rows) > BANS_AT_ONCE || fleet_message_take(b->seen, from, number) < 0)
        return;
    if (strcmp(from, b->node) == 0 && number > b->number)
        b->number = number; /* also where the clock was set back */
    json_array_foreach (rows, i, row)
        bans_take(b, from, row);
}

void fleet_bans_look(const struct fleet_bans *b, struct fleet_bans_facts *ret)
{
    *ret = b->facts;
    ret->left_out = b->queue.left_out;
}

/* ---- life ---- */

int fleet_bans_new(const struct fleet_bans_spec *spec, struct fleet_bans **ret)
{
    struct fleet_bans *b = zalloc(sizeof(*b));
    if (!b)
        return -ERR_NOMEM;
    b->watch.back = on_bans_back;
    list_init(&b->watch.link);
    b->control = spec->control;
    b->fleet = spec->fleet;
    b->loop = spec->control->host->loop;
    b->key = str_printf("%sbans", fleet_prefix(spec->fleet));
    b->node = str_dup_c(spec->node);
    b->seen = json_object();
    b->lifted = json_object();
    memcpy(b->secret, spec->secret, sizeof(b->secret));
    loop_timer_init(&b->timer, on_bans_timer);
    const struct fleet_stream_source source = {
        .key = b->key, .position = "0", .heard = on_bans_heard, .arg = b};
    bool is_whole = ban_queue_init(&b->queue) == 0 && b->key && b->node && b->seen && b->lifted;
    int err = is_whole ? fleet_stream_add(spec->stream, &source) : -ERR_NOMEM;
    if (err < 0) {
        fleet_bans_free(b);
        return err;
    }
    fleet_watch(b->fleet, &b->watch);
    *ret = b;
    return 0;
}

void fleet_bans_free(struct fleet_bans *b)
{
    if (!b)
        return;
    list_del(&b->watch.link);
    loop_timer_cancel(b->loop, &b->timer);
    ban_queue_fini(&b->queue);
    json_decref(b->sent);
    json_decref(b->seen);
    json_decref(b->lifted);
    explicit_bzero(b->secret, sizeof(b->secret));
    free(b->key);
    free(b->node);
    free(b);
}
