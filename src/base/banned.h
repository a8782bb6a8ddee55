/* Calls this code base does not use (STYLE: strings). Included by the compiler's command line, after the system's headers. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h> /* has parameters named rand: must come before the ban */

#pragma GCC poison strcpy strcat sprintf vsprintf strncpy strtok atoi atol gets gmtime localtime system popen rand srand
