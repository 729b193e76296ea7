#define LC_IS_DOUBLE 0
#include "avx512.template.h"
