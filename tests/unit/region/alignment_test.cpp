// When an xfs or ext4 gives page faults of 2 MiB. That its geometry is read right is for tests/vm.
#include "region/alignment.hpp"

#include <fcntl.h>

#include "base/unique_fd.hpp"
#include "harness/catch.hpp"
#include "support/temp_dir.hpp"

using namespace pmemfs;

TEST_CASE("alignment: whole frames of 2 MiB, and nothing less") {
  CHECK(region::aligns_to_huge_pages({.block_size = 4096, .stripe_unit = 512}));
  CHECK(region::aligns_to_huge_pages({.block_size = 1024, .stripe_unit = 4096}));
  CHECK_FALSE(region::aligns_to_huge_pages({.block_size = 4096, .stripe_unit = 0}));
  CHECK_FALSE(region::aligns_to_huge_pages({.block_size = 4096, .stripe_unit = 256}));
  CHECK_FALSE(region::aligns_to_huge_pages({.block_size = 4096, .stripe_unit = 768}));
}

TEST_CASE("alignment: ext4 by its stripe, wherever that stands among the options") {
  CHECK(region::ext4_aligns_to_huge_pages("rw,commit=60,stripe=512,dax=always"));
  CHECK(region::ext4_aligns_to_huge_pages("stripe=1024"));
  for (const char* options : {"", "rw", "rw,stripe=0", "rw,stripe=256",
                              "rw,stripe=", "rw,stripe=768,", "rw,xstripe=512", ",,,"}) {
    INFO(options);
    CHECK_FALSE(region::ext4_aligns_to_huge_pages(options));
  }
}

TEST_CASE("alignment: what is not xfs has no geometry") {
  const test::TempDir dir(test::kTmpfs);
  const base::UniqueFd fd(::open(dir.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  CHECK_FALSE(region::xfs_geometry(fd.get()));
}
