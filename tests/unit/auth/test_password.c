/* SPDX-License-Identifier: ISC */
/* Password hashes and SCRAM keys against what others make of the same passwords. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "auth/auth.h"

#define PASS "pass w\xc3\xb6rd"

/* Made by `doveadm pw`, libcrypt and the authors of the schemes. */
static const struct {
    const char *password, *hash;
} vectors[] = {
    {PASS, "{PLAIN}" PASS},
    {PASS, "{CLEAR}" PASS},
    {PASS, "{CLEARTEXT}" PASS},
    {PASS, "{PLAIN.B64}cGFzcyB3w7ZyZA=="},
    {PASS, "{SSHA}J42SdkY1yxmWx9eeJqUWF363sGxkOF2G"},
    {PASS, "{ssha}J42SdkY1yxmWx9eeJqUWF363sGxkOF2G"},
    {PASS, "{SSHA.HEX}11f7d14ffece9fa1807b35b391a82007caac71bcbd3f1e69"},
    {PASS, "{SSHA256}t4jDOevZQEVfXTKaMdbJAzGMSqnm5Z0NN9DAcjxy5u1hyhWN"},
    {PASS, "{SSHA512}Fx5UKU6jj/gTffG0zuZb+j2f5OpLeEvzH8cxwV4F7oLbKipCyN9fTFth0e5RV9vsg3IdJo9RHzJn"
           "JspVNRON61GWik4="},
    {PASS, "{SHA}B/PcQHeAKywePq/ztWiCWf9lImE="},
    {PASS, "{SHA.HEX}07f3dc4077802b2c1e3eaff3b5688259ff652261"},
    {PASS, "{SHA1}B/PcQHeAKywePq/ztWiCWf9lImE="},
    {PASS, "{SHA256}OiJnkCVYiolCxym6OY5vSw4KcK5/4byVl4xwY92nKW4="},
    {PASS, "{SHA256}3a22679025588a8942c729ba398e6f4b0e0a70ae7fe1bc95978c7063dda7296e"},
    {PASS, "{SHA256.HEX}3a22679025588a8942c729ba398e6f4b0e0a70ae7fe1bc95978c7063dda7296e"},
    {PASS, "{SHA512}zNC2/6f2hn0TF9T9rZD547wrjHSb4QzAd6Ka2pPoW8SpdvPx3wCEucqGdC89XUEQapM6HFqXiGHAi"
           "bw6tmkzKg=="},
    {PASS, "{SHA512.HEX}ccd0b6ffa7f6867d1317d4fdad90f9e3bc2b8c749be10cc077a29ada93e85bc4a976f3f1d"
           "f0084b9ca86742f3d5d41106a933a1c5a978861c089bc3ab669332a"},
    {PASS, "{SMD5}e9S71M9+eDGz8xuPMBbHYlEra00="},
    {PASS, "{LDAP-MD5}UE0pZHdw/EbgVLgQ1HJWVw=="},
    {PASS, "{PLAIN-MD5}504d29647770fc46e054b810d4725657"},
    {PASS, "{PLAIN-MD5.B64}UE0pZHdw/EbgVLgQ1HJWVw=="},
    {PASS, "{PBKDF2}$1$Q/BVD/Skmivu/kWe$5000$3cf9428f6535eeccc372fd15627e0654eabe9c15"},
    {PASS, "{SHA512-CRYPT}$6$KQQzJeme6szuxaSE$jF6C7GNkpf.Wjd94CDsCe8SMM2wUKojSe7tJgUX3qCB2Y8zkKJm/"
           "N5Ly8z9Kfo5HUcg5qBs1Rwr0bqGthdUVk."},
    {PASS, "{SHA256-CRYPT}$5$dIy3cR.OlYRu.1An$rCAcKrBhuD2KZ/BtbNfSm73WZW3XUcZLYPV0tXBgMD6"},
    {PASS, "{BLF-CRYPT}$2y$05$hlwU7nObpnsgw2VdIjIX2Ovp3q4XCJgu2eOCf/GGlTBSPfllm.UY2"},
    {PASS, "{MD5-CRYPT}$1$LirWAHnt$uFVZNC3ZWLpyTfYNLpzYV."},
    {PASS, "{MD5}$1$85cbp8FD$wRFnqvPfHNvBEl.9VLBLX0"},
    {PASS, "{DES-CRYPT}tRe5kR7KxpP36"},
    {PASS, "tRe5kR7KxpP36"},
    {PASS, "{CRYPT}$2y$05$OdhEgq0kSpiiZzDKIeoPM.T0drIdqbG/YT.LHuHbH2M9KWq0CdR4."},
    {PASS, "{CRYPT.B64}JDJ5JDA1JERnbS45VDdvZ1c5OFdqNlNvaDA2RGVNNkhWNk9sWU1wb255QWU4YkhmQThDS3JLSk9"
           "QdGhl"},
    {PASS, "{SCRAM-SHA-256}4096,Mx7U3W+TNPLVY0Xej1LmzA==,VmwSOO/k/"
           "s9ZSZMm3pvM5cfqYGCOCDx9gIuUu3vvrOg=,eevf58TeYmscdxGwci5pqJNGSB67aniISaqOxy24QCk="},
    {PASS, "$y$j9T$oauHOhfBaldIe87yxOfWC.$N/kb9vPce83fpAQUu4vfoVjAUGDXSybLMyju62moky0"},
    {"correct horse", "$y$j9T$DtsLiyZs73PiGO4925QJ3/$Q9qbp16I.gCsq8R/qMv5NlZDsT0.U/jKZpaSQ7nBtf1"},
    {"Hello world!", "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"},
    {"Hello world!", "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnI"
                     "FNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"},
    {"U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"},
};

static void test_vectors(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
        const char *hash = vectors[i].hash;
        struct str password = str_of(vectors[i].password);
        int right = password_verify(hash, password);
        int wrong = password_verify(hash, str_n(password.p + 1, password.n - 1));
        if (!password_is_known(hash) || right != 0 || wrong != -ERR_AUTH)
            fail_msg("%s: right %s, wrong %s", hash, err_name(right), err_name(wrong));
        assert_int_equal(password_verify(hash, STR("")), -ERR_AUTH);
    }
}

/* What nobody could ever check must not pass for a hash, nor for a wrong password. */
static void test_unknown(void **state)
{
    static const char *const hashes[] = {
        "",
        "x",
        "*",
        "!",
        "!$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjlO",
        "secret",
        "$9$what$ever",
        "$6",
        "{PLAIN}",
        "{PLAIN",
        "{}x",
        "{NEW}x",
        "{PLAIN.ROT13}x",
        "{PLAIN.B64}x",
        "{CRYPT}secret",
        "{SHA512-CRYPT}*",
        "{SSHA}????",
        "{SSHA}B/PcQHeAKywePq8=",                /* shorter than a digest */
        "{SHA}J42SdkY1yxmWx9eeJqUWF363sGxkOF2G", /* longer than one */
        "{SHA256}zz22679025588a8942c729ba398e6f4b0e0a70ae7fe1bc95978c7063dda7296e",
        "{SHA.HEX}07f3dc4077802b2c1e3eaff3b5688259ff65226",
        "{PBKDF2}$2$salt$5000$3cf9428f6535eeccc372fd15627e0654eabe9c15",
        "{PBKDF2}$1$salt$0$3cf9428f6535eeccc372fd15627e0654eabe9c15",
        "{PBKDF2}$1$salt$99999999999$3cf9428f6535eeccc372fd15627e0654eabe9c15",
        "{PBKDF2}$1$salt$5000$3cf9",
        "{PBKDF2}$1$salt",
        "{SCRAM-SHA-256}4096,Mx7U3W+TNPLVY0Xej1LmzA==",
        "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$5/AIHGmw96yryCv6wwuUGw$Wa5m48fki4jGTCYT4Kdl56",
    };
    for (size_t i = 0; i < ARRAY_LEN(hashes); i++) {
        int err = password_verify(hashes[i], STR("secret"));
        if (password_is_known(hashes[i]) || err != -ERR_UNSUPPORTED)
            fail_msg("\"%s\": %s", hashes[i], err_name(err));
    }
}

/* crypt(3) takes C strings: a password must not be cut at a NUL. */
static void test_nul(void **state)
{
    assert_int_equal(password_verify("{DES-CRYPT}tRe5kR7KxpP36", str_n(PASS "\0x", 12)), -ERR_AUTH);
    assert_int_equal(password_verify("{PLAIN}a", STR("a\n")), -ERR_AUTH);
}

static void test_hash(void **state)
{
    char *hash = NULL, *other = NULL;
    assert_int_equal(password_hash(STR(PASS), &hash), 0);
    assert_int_equal(password_hash(STR(PASS), &other), 0);
    assert_int_equal(strncmp(hash, "$y$", 3), 0);
    assert_string_not_equal(hash, other);
    assert_int_equal(password_verify(hash, STR(PASS)), 0);
    assert_int_equal(password_verify(hash, STR("pass word")), -ERR_AUTH);
    free(hash);
    free(other);
}

static void test_hash_refuses(void **state)
{
    char *hash = NULL;
    AUTO_BUF longest = BUF_INIT;
    for (int i = 0; i < 600; i++)
        assert_int_equal(buf_append_char(&longest, 'x'), 0);
    assert_int_equal(password_hash(buf_str(&longest), &hash), -ERR_INVAL);
    assert_int_equal(password_hash(STR("a\nb"), &hash), -ERR_INVAL);
    assert_int_equal(password_hash(STR("a\0b"), &hash), -ERR_INVAL);
    assert_null(hash);
}

/* ---- SCRAM ---- */

/* Salt and password of RFC 7677 section 3. */
#define RFC_KEYS                                                                                   \
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"    \
    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

static void test_scram_parse(void **state)
{
    struct sasl_scram_keys rfc, dovecot;
    assert_int_equal(password_scram_parse(RFC_KEYS, &rfc), 0);
    assert_int_equal(rfc.iterations, 4096);
    assert_int_equal(rfc.salt_len, 16);
    assert_int_equal(
        password_scram_parse("4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmt"
                             "bsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
                             &dovecot),
        0);
    assert_memory_equal(rfc.stored_key, dovecot.stored_key, sizeof(rfc.stored_key));
    assert_memory_equal(rfc.server_key, dovecot.server_key, sizeof(rfc.server_key));
    assert_memory_equal(rfc.salt, dovecot.salt, rfc.salt_len);
    assert_int_equal(password_verify("{SCRAM-SHA-256}" RFC_KEYS, STR("pencil")), 0);
    assert_int_equal(password_verify("{SCRAM-SHA-256}" RFC_KEYS, STR("pen")), -ERR_AUTH);
}

static void test_scram_refuses(void **state)
{
    static const char *const texts[] = {
        "",
        "SCRAM-SHA-256$",
        "SCRAM-SHA-1$4096:W22ZaJ0SNY7soEsUEjb6gQ==$AAAA:AAAA",
        "SCRAM-SHA-256$0:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
        "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
        "SCRAM-SHA-256$99999999:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4q"
        "Y=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
        "SCRAM-SHA-256$4096:$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
        "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d:"
        "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct sasl_scram_keys keys = {.iterations = 7};
        if (password_scram_parse(texts[i], &keys) == 0)
            fail_msg("\"%s\" passed", texts[i]);
        assert_int_equal(keys.iterations, 7);
    }
}

static void test_scram_make(void **state)
{
    struct sasl_scram_keys keys;
    char *text = NULL, *other = NULL;
    AUTO_BUF hash = BUF_INIT;
    assert_int_equal(password_scram(STR(PASS), &text), 0);
    assert_int_equal(password_scram(STR(PASS), &other), 0);
    assert_string_not_equal(text, other);
    assert_int_equal(password_scram_parse(text, &keys), 0);
    /* what unknown users are shown (sasl_scram.c) */
    assert_int_equal(keys.iterations, 4096);
    assert_int_equal(keys.salt_len, 16);
    assert_int_equal(buf_printf(&hash, "{SCRAM-SHA-256}%s", text), 0);
    assert_int_equal(password_verify(buf_cstr(&hash), STR(PASS)), 0);
    assert_int_equal(password_verify(buf_cstr(&hash), STR("x")), -ERR_AUTH);
    free(text);
    free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),       cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_nul),           cmocka_unit_test(test_hash),
        cmocka_unit_test(test_hash_refuses),  cmocka_unit_test(test_scram_parse),
        cmocka_unit_test(test_scram_refuses), cmocka_unit_test(test_scram_make),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
