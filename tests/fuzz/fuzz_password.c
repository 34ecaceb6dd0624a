/* SPDX-License-Identifier: ISC */
/* Password hashes. Input: the text of a hash, LF, a password. What is known can be judged, what is
 * not cannot, and the keys that are made of a password prove it. */
#include "auth/provider.h"
#include "base/cleanup.h"
#include "fuzz.h"

#define ROUNDS_MAX 2000 /* of what is really computed here */

/* Dear hashes are for attackers and for job threads, not for this: whatever has a cost to choose.
 */
static bool is_cheap(const char *hash)
{
    static const char *const cheap[] = {"{PLAIN",    "{CLEAR",     "{SHA}",    "{SHA1", "{SHA256.",
                                        "{SHA256}",  "{SHA512.",   "{SHA512}", "{SSHA", "{SMD5",
                                        "{LDAP-MD5", "{PLAIN-MD5", "$1$"};
    for (size_t i = 0; i < ARRAY_LEN(cheap); i++)
        if (str_is_iprefix(str_of(hash), str_of(cheap[i])))
            return true;
    return false;
}

static bool has_few_rounds(const char *hash)
{
    struct str rest = str_of(hash);
    uint64_t rounds;
    if (!str_is_iprefix(rest, STR("{PBKDF2")))
        return false;
    for (int i = 0; i < 3; i++)
        (void)str_cut(&rest, '$');
    return str_to_u64(str_cut(&rest, '$'), ROUNDS_MAX, &rounds) == 0;
}

static void check_hash(const char *hash, struct str password)
{
    bool is_known = password_is_known(hash);
    if (!is_known) {
        FUZZ_CHECK(password_verify(hash, password) == -ERR_UNSUPPORTED);
        return;
    }
    if (!is_cheap(hash) && !has_few_rounds(hash))
        return;
    int err = password_verify(hash, password);
    FUZZ_CHECK(err == 0 || err == -ERR_AUTH);
    FUZZ_CHECK(err < 0 || !str_has_crlf_nul(password));
    FUZZ_CHECK(password_verify(hash, password) == err);
}

/* What was read of a text proves the same as what is written of it. */
static void check_keys(const char *text, struct str password)
{
    struct sasl_scram_keys keys, own;
    if (password_scram_parse(text, &keys) == 0) {
        FUZZ_CHECK(keys.iterations > 0);
        FUZZ_CHECK(keys.salt_len > 0 && keys.salt_len <= sizeof(keys.salt));
        if (keys.iterations <= ROUNDS_MAX) {
            int err = password_scram_verify(&keys, password);
            FUZZ_CHECK(err == 0 || err == -ERR_AUTH);
        }
    }
    AUTO_FREE char *made = NULL;
    if (password.n > 64 || (hash_stable(password) & 63) != 0) /* it takes a millisecond */
        return;
    int err = password_scram(password, &made);
    FUZZ_CHECK(err == (str_has_crlf_nul(password) ? -ERR_INVAL : 0));
    if (err < 0)
        return;
    FUZZ_CHECK(password_scram_parse(made, &own) == 0);
    FUZZ_CHECK(password_scram_verify(&own, password) == 0);
    FUZZ_CHECK(password_is_known(made) == false); /* it needs its {SCRAM-SHA-256} */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str password = str_n(data, size);
    AUTO_FREE char *hash = str_dup(str_cut(&password, '\n'));
    FUZZ_CHECK(hash);
    check_hash(hash, password);
    check_keys(hash, password);
    return 0;
}
