/* SPDX-License-Identifier: ISC */
/* What an import hands out: our file, and the report. */
#pragma once

#include "nginx/nginx_import.h"
#include "nginx/nginx_server.h"

/* path: of nginx's file, for the head. -ERR_NOMEM. */
int nginx_write_conf(const struct nginx_import *im, const char *path, struct buf *out) NODISCARD;
/* Fills report and numbers. -ERR_NOMEM. */
int nginx_write_report(const struct nginx_import *im, struct nginx_result *ret) NODISCARD;
