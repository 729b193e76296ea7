#define LC_IS_DOUBLE 0
#include "avx2.template.h"
