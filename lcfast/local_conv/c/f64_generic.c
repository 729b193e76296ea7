#define LC_IS_DOUBLE 1
#include "generic.template.h"
