#include "harness/precompiled.hpp"
