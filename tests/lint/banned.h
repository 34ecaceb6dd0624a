/* SPDX-License-Identifier: ISC */
/* Functions that must not be called: included before every file by the Makefile. */
#pragma once

/* The headers come first: they may declare what is poisoned here. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#pragma GCC poison strcpy strcat sprintf vsprintf strtok gets strncpy strncat atoi atol atoll
