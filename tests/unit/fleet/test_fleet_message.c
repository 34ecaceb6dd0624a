/* SPDX-License-Identifier: ISC */
/* Messages between nodes: whose they are, and that each is taken once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "fleet/fleet_message.h"

static const uint8_t secret[FLEET_SECRET_BYTES] = "one secret of 32 bytes, and more";
static const uint8_t other[FLEET_SECRET_BYTES] = "one secret of 32 bytes, and none";

static bool opens(const uint8_t *key, const char *stream, const char *text, struct str signature)
{
    json_t *m = fleet_message_open(key, str_of(stream), str_of(text), signature);
    bool is_open = m != NULL;
    json_decref(m);
    return is_open;
}

static void test_signature(void **state)
{
    char signature[FLEET_SIGNATURE_BYTES + 1];
    const char *text = "{\"method\": \"user.lock\"}";
    fleet_message_sign(secret, STR("cmd"), str_of(text), signature);
    assert_int_equal(strlen(signature), FLEET_SIGNATURE_BYTES);
    assert_true(opens(secret, "cmd", text, str_of(signature)));
    /* neither with another secret nor in another stream, of another text or in part */
    assert_false(opens(other, "cmd", text, str_of(signature)));
    assert_false(opens(secret, "in:px1", text, str_of(signature)));
    assert_false(opens(secret, "cm", "d{}", str_of(signature)));
    assert_false(opens(secret, "cmd", "{\"method\": \"user.kick\"}", str_of(signature)));
    assert_false(opens(secret, "cmd", text, STR_NULL));
    assert_false(opens(secret, "cmd", text, str_n(signature, FLEET_SIGNATURE_BYTES - 1)));
    for (size_t i = 0; i < FLEET_SIGNATURE_BYTES; i++) {
        signature[i] ^= 1;
        assert_false(opens(secret, "cmd", text, str_of(signature)));
        signature[i] ^= 1;
    }
}

static void test_text(void **state)
{
    static const char *const texts[] = {
        "", "[]", "1", "\"a\"", "{", "{} {}", "{\"a\":1,\"a\":2}", "\xff", "null"};
    char signature[FLEET_SIGNATURE_BYTES + 1];
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        fleet_message_sign(secret, STR("cmd"), str_of(texts[i]), signature);
        if (opens(secret, "cmd", texts[i], str_of(signature)))
            fail_msg("%s is no message", texts[i]);
    }
}

static void test_once(void **state)
{
    json_t *seen = json_object();
    char name[16];
    assert_int_equal(fleet_message_take(seen, "px1", 5), 0);
    assert_int_equal(fleet_message_take(seen, "px1", 5), -ERR_EXISTS);
    assert_int_equal(fleet_message_take(seen, "px1", 4), -ERR_EXISTS);
    assert_int_equal(fleet_message_take(seen, "px2", 4), 0);
    assert_int_equal(fleet_message_take(seen, "px1", 6), 0);
    assert_int_equal(fleet_message_take(seen, "px3", 0), -ERR_EXISTS);
    assert_int_equal(fleet_message_take(seen, "px3", UINT64_MAX), -ERR_EXISTS);
    for (int i = 0; i < FLEET_ORIGINS_MAX - 2; i++) {
        (void)snprintf(name, sizeof(name), "n%d", i);
        assert_int_equal(fleet_message_take(seen, name, 1), 0);
    }
    assert_int_equal(fleet_message_take(seen, "one too many", 1), -ERR_TOO_MANY);
    assert_int_equal(fleet_message_take(seen, "px1", 7), 0);
    json_decref(seen);
}

/* Numbers grow, whatever the clock does. */
static void test_number(void **state)
{
    uint64_t n = fleet_message_number(0, 1700000000000);
    assert_int_equal(n, UINT64_C(1700000000000000));
    assert_int_equal(fleet_message_number(n, 1700000000000), n + 1);
    assert_int_equal(fleet_message_number(n, 1600000000000), n + 1);
    assert_true(fleet_message_number(n, 1700000000001) > n + 1);
}

/* The shares of all nodes are the rate, also where it is less than one a second for each. */
static void test_share(void **state)
{
    for (uint64_t rate = 1; rate < 60; rate++)
        for (uint64_t n = 1; n < 60; n++) {
            struct fleet_share s = fleet_share(rate, n);
            assert_int_equal(s.rate * n, rate * s.per);
            assert_true(s.rate > 0 && s.per > 0 && s.per <= n);
        }
    struct fleet_share whole = fleet_share(6, 3);
    assert_int_equal(whole.rate, 2);
    assert_int_equal(whole.per, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_signature),
                                       cmocka_unit_test(test_text), cmocka_unit_test(test_once),
                                       cmocka_unit_test(test_number), cmocka_unit_test(test_share)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
