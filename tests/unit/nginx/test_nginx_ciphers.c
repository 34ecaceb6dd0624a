/* SPDX-License-Identifier: ISC */
/* Cipher strings: what OpenSSL makes of them (its own lists, without what GnuTLS lacks), and the
 * priority strings that GnuTLS understands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nginx/nginx_ciphers.h"

static void test_lists(void **state)
{
    /* openssl ciphers -s -tls1_2 'STRING:@SECLEVEL=0' */
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"ECDHE+AESGCM:ECDHE+CHACHA20",
         "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256:"
         "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"},
        {"EECDH+AESGCM:EDH+AESGCM",
         "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256:"
         "ECDHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384:DHE-RSA-AES128-GCM-SHA256"},
        {"DEFAULT:-SHA1",
         "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:DHE-RSA-AES256-GCM-SHA384:"
         "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:DHE-RSA-CHACHA20-POLY1305:"
         "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES128-GCM-SHA256:"
         "ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES256-SHA384:DHE-RSA-AES256-SHA256:"
         "ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256:DHE-RSA-AES128-SHA256:"
         "AES256-GCM-SHA384:AES128-GCM-SHA256:AES256-SHA256:AES128-SHA256"},
        {"HIGH:!aNULL:!MD5:!AESCCM",
         "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:DHE-RSA-AES256-GCM-SHA384:"
         "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:DHE-RSA-CHACHA20-POLY1305:"
         "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES128-GCM-SHA256:"
         "ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES256-SHA384:DHE-RSA-AES256-SHA256:"
         "ECDHE-ECDSA-CAMELLIA256-SHA384:ECDHE-RSA-CAMELLIA256-SHA384:"
         "DHE-RSA-CAMELLIA256-SHA256:ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256:"
         "DHE-RSA-AES128-SHA256:ECDHE-ECDSA-CAMELLIA128-SHA256:ECDHE-RSA-CAMELLIA128-SHA256:"
         "DHE-RSA-CAMELLIA128-SHA256:ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA:"
         "DHE-RSA-AES256-SHA:DHE-RSA-CAMELLIA256-SHA:ECDHE-ECDSA-AES128-SHA:"
         "ECDHE-RSA-AES128-SHA:DHE-RSA-AES128-SHA:DHE-RSA-CAMELLIA128-SHA:AES256-GCM-SHA384:"
         "AES128-GCM-SHA256:AES256-SHA256:CAMELLIA256-SHA256:AES128-SHA256:CAMELLIA128-SHA256:"
         "AES256-SHA:CAMELLIA256-SHA:AES128-SHA:CAMELLIA128-SHA"},
        {"AES256-SHA AES128-SHA,@STRENGTH", "AES256-SHA:AES128-SHA"},
        {"AES128-SHA:AES256-SHA:@STRENGTH", "AES256-SHA:AES128-SHA"},
        {"AES128-SHA:AES256-SHA:+AES128", "AES256-SHA:AES128-SHA"},
        /* once killed, for good; taken out, it may come again */
        {"!AES128-SHA:AES128-SHA:AES256-SHA", "AES256-SHA"},
        {"AES128-SHA:-AES128-SHA:AES128-SHA", "AES128-SHA"},
        {"RC4:3DES:eNULL:NONSENSE", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_BUF out = BUF_INIT;
        assert_int_equal(nginx_ciphers_list(str_of(cases[i].text), &out), 0);
        assert_string_equal(buf_cstr(&out), cases[i].want);
    }
}

#define MODERN                                                                                     \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"     \
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define TAIL ":+COMP-NULL:+CTYPE-X509:+SIGN-ALL"

static void test_priorities(void **state)
{
    enum { V12 = NGINX_TLS_1_2, V13 = NGINX_TLS_1_3 };
    static const struct {
        struct nginx_tls_wish wish;
        const char *want, *why; /* want NULL = nothing is left */
    } cases[] = {
        {{.versions = V12 | V13, .ciphers = {MODERN, sizeof(MODERN) - 1}},
         "NONE:+VERS-TLS1.3:+VERS-TLS1.2:+ECDHE-ECDSA:+ECDHE-RSA:+AES-128-GCM:+AES-256-GCM:"
         "+CHACHA20-POLY1305:+AEAD" TAIL ":+GROUP-ALL",
         ""},
        {{.versions = V12 | V13,
          .ciphers = {"ECDHE-RSA-AES128-SHA:AES256-GCM-SHA384", 38},
          .groups = {"X25519:prime256v1", 17},
          .is_server_choosing = true},
         "NONE:+VERS-TLS1.3:+VERS-TLS1.2:+ECDHE-RSA:+RSA:+AES-128-CBC:+AES-256-GCM:+AEAD:+SHA1" TAIL
         ":+GROUP-X25519:+GROUP-SECP256R1:%SERVER_PRECEDENCE",
         "TLS 1.3 has fewer cipher suites: those of ssl_ciphers only; allows also "
         "ECDHE-RSA-AES256-GCM-SHA384 AES128-SHA"},
        {{.versions = V12 | V13, .ciphers = {"AES128-SHA", 10}, .groups = {"sect571r1", 9}},
         "NONE:+VERS-TLS1.3:+VERS-TLS1.2:+RSA:+AES-128-CBC:+AES-256-GCM:+CHACHA20-POLY1305:"
         "+AES-128-GCM:+AEAD:+SHA1" TAIL ":+GROUP-ALL",
         "the cipher suites of TLS 1.3 are allowed for TLS 1.2, too; allows also "
         "AES256-GCM-SHA384 AES128-GCM-SHA256; the group sect571r1 is left out"},
        {{.versions = V13, .suites = {"TLS_AES_256_GCM_SHA384", 22}, .ciphers = {"HIGH", 4}},
         "NONE:+VERS-TLS1.3:+AES-256-GCM:+AEAD" TAIL ":+GROUP-ALL",
         ""},
        /* DHE needs parameters */
        {{.versions = V12, .ciphers = {"DHE+AESGCM", 10}},
         NULL,
         "GnuTLS has none of the cipher suites of ssl_ciphers"},
        {{.versions = V12, .ciphers = {"DHE-RSA-AES128-SHA", 18}, .has_dh_params = true},
         "NONE:+VERS-TLS1.2:+DHE-RSA:+AES-128-CBC:+SHA1" TAIL ":+GROUP-ALL",
         ""},
        {{.versions = V12, .ciphers = {"RC4-SHA", 7}},
         NULL,
         "GnuTLS has none of the cipher suites of ssl_ciphers"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_BUF priority = BUF_INIT;
        AUTO_BUF why = BUF_INIT;
        int err = nginx_ciphers_priority(&cases[i].wish, &priority, &why);
        assert_int_equal(err, cases[i].want ? 0 : -ERR_INVAL);
        assert_string_equal(buf_cstr(&why), cases[i].why);
        if (cases[i].want)
            assert_string_equal(buf_cstr(&priority), cases[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lists),
                                       cmocka_unit_test(test_priorities)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
