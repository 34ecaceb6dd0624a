/* SPDX-License-Identifier: ISC */
/* Values that people write: addresses, networks, durations, sizes, numbers, base64. What is
 * understood can be printed and is understood the same again. */
#include "base/addr.h"
#include "base/log/log_line.h"
#include "base/units.h"
#include "fuzz.h"

static void addresses(struct str in)
{
    char text[ADDR_TEXT_MAX];
    struct addr a, again;
    struct addr_net net, net_again;
    if (addr_parse(in, &a) == 0) {
        addr_format(text, &a);
        FUZZ_CHECK(addr_parse(str_of(text), &again) == 0 && addr_eq(&a, &again));
    }
    if (addr_net_parse(in, &net) == 0) {
        addr_net_format(text, &net);
        FUZZ_CHECK(addr_net_parse(str_of(text), &net_again) == 0);
        FUZZ_CHECK(net.bits == net_again.bits && net.family == net_again.family);
        FUZZ_CHECK(memcmp(net.ip, net_again.ip, sizeof(net.ip)) == 0);
    }
}

static void units(struct str in)
{
    char text[32];
    uint64_t value, again;
    if (units_parse_duration(in, &value) == 0) {
        units_format_duration(text, value);
        FUZZ_CHECK(units_parse_duration(str_of(text), &again) == 0 && again == value);
        units_human_duration(text, value);
    }
    if (units_parse_size(in, &value) == 0) {
        units_format_size(text, value);
        FUZZ_CHECK(units_parse_size(str_of(text), &again) == 0 && again == value);
        units_human_size(text, value);
    }
    if (str_to_u64(in, UINT64_MAX, &value) == 0)
        FUZZ_CHECK(in.n > 0);
}

static void base64(struct str in)
{
    AUTO_BUF coded = BUF_INIT;
    AUTO_BUF plain = BUF_INIT;
    FUZZ_CHECK(str_base64_encode(in, &coded) == 0);
    FUZZ_CHECK(coded.len == (in.n + 2) / 3 * 4);
    FUZZ_CHECK(str_base64_decode(buf_str(&coded), &plain) == 0);
    FUZZ_CHECK(str_eq(buf_str(&plain), in));
    buf_clear(&plain);
    buf_clear(&coded);
    if (str_base64_decode(in, &plain) == 0) {
        FUZZ_CHECK(str_base64_encode(buf_str(&plain), &coded) == 0);
        FUZZ_CHECK(coded.len == in.n);
    }
}

/* Nobody can forge a line of the log. */
static void log_lines(struct str in)
{
    struct log_line line;
    const struct log_field fields[] = {KV_STRN("user", in), KV_U64("n", in.n), KV_STRN("x", in)};
    for (int format = LOG_FORMAT_TEXT; format <= LOG_FORMAT_JSON; format++) {
        log_line_make(&line, (enum log_format)format, 1, LOG_LEVEL_INFO, "event", fields, 3);
        FUZZ_CHECK(line.n > 0 && line.n <= sizeof(line.text) && line.text[line.n - 1] == '\n');
        FUZZ_CHECK(str_index(str_n(line.text, line.n - 1), '\n') < 0);
        FUZZ_CHECK(str_is_utf8(str_n(line.text, line.n)));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = str_n(data, size);
    addresses(in);
    units(in);
    base64(in);
    log_lines(in);
    struct str pattern = fuzz_cut(&in, STR("\n"));
    FUZZ_CHECK(!str_eq(pattern, in) || str_index(in, '*') >= 0 || str_index(in, '?') >= 0 ||
               str_glob(pattern, in));
    return 0;
}
