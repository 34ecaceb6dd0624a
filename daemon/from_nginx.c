/* SPDX-License-Identifier: ISC */
/* Files and messages around the importer. */
#include "from_nginx.h"

#include <stdio.h>
#include <sysexits.h>

#include "base/cleanup.h"
#include "base/os/output.h"
#include "nginx/nginx_import.h"

int from_nginx(const char *path, const char *output, bool is_forced)
{
    struct nginx_result r = {0};
    AUTO_FREE char *whole = realpath(path, NULL);
    int err = nginx_import(whole ? whole : path, &nginx_source_disk, &r);
    if (err < 0) {
        fprintf(stderr, "mailproxyd: %.*s\n",
                STR_ARG(r.error.len > 0 ? buf_str(&r.error) : str_of(err_text(err))));
        nginx_result_fini(&r);
        return err == -ERR_CONFIG ? EX_CONFIG : EX_OSERR;
    }
    fprintf(stderr, "%.*s", STR_ARG(buf_str(&r.report)));
    int status = r.n_no_equal > 0 ? 1 : 0;
    if (!output && (fwrite(r.conf.data + r.conf.start, 1, r.conf.len, stdout) != r.conf.len ||
                    fflush(stdout) != 0))
        status = EX_OSERR;
    err = output ? output_write(output, is_forced, buf_str(&r.conf)) : 0;
    if (err < 0) {
        fprintf(stderr, "mailproxyd: %s: %s%s\n", output, err_text(err), output_hint(output, err));
        status = EX_CANTCREAT;
    }
    nginx_result_fini(&r);
    return status;
}

static void print_row(void *arg, const char *name, const char *keys, const char *verdict,
                      const char *words)
{
    (void)arg;
    printf("%s\t%s\t%s\t%s\n", name, keys, verdict, words);
}

int from_nginx_print_table(void)
{
    return nginx_each_directive(print_row, NULL) < 0 ? EX_OSERR : 0;
}
