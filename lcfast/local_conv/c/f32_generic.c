#define LC_IS_DOUBLE 0
#include "generic.template.h"
