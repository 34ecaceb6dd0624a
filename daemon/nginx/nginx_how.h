/* SPDX-License-Identifier: ISC */
/* The functions that rows name: struct nginx_row says what they promise. */
#pragma once

#include "nginx/nginx_put.h"

#define ROW(name_, where_, least_, most_, proto_, standard_, fn_, ...) nginx_how how_##fn_;
#include "nginx/nginx_rows.def"
#undef ROW
