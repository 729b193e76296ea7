#define LC_IS_DOUBLE 1
#include "avx512.template.h"
