// The one include of libfuse. Everything in this folder but session.hpp may use it.
#pragma once

#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION 317
#endif
#include <fuse_lowlevel.h>
