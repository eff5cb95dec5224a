#pragma once

// The one Catch2 include of all tests; works with version 2 (Debian 12) and 3.
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif

#include <string>

namespace pmemfs::test {

// Ends the running test case as skipped; `reason` says what it needs ("needs /dev/fuse"). Version 2
// has no such thing.
[[noreturn]] void skip(const std::string& reason);

}  // namespace pmemfs::test

#define PMEMFS_SKIP(reason) ::pmemfs::test::skip(reason)
