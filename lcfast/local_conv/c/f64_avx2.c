#define LC_IS_DOUBLE 1
#include "avx2.template.h"
