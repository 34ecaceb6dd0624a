/* SPDX-License-Identifier: ISC */
/* For targets whose parser is libconfig: it loses a string when a syntax error follows, which is
 * not what is looked for here. */
#pragma once

const char *__lsan_default_suppressions(void);
const char *__lsan_default_options(void);

const char *__lsan_default_suppressions(void)
{
    return "leak:libconfig.so\n";
}

const char *__lsan_default_options(void)
{
    return "print_suppressions=0";
}
