#pragma once

#include <cerrno>
#include <string>
#include <string_view>
#include <utility>

#include "base/log.hpp"
#include "harness/catch.hpp"
#include "pmemfs/durable.h"
#include "support/guest.hpp"
#include "support/memory_filesystem.hpp"
#include "support/memory_region.hpp"

namespace pmemfs::test {

inline constexpr Caller kRoot{.uid = 0, .gid = 0, .pid = 0, .umask = 022};

// A filesystem in memory for guests to share.
struct GuestRig {
  GuestRig() : fs(make_filesystem(*region)) {
    base::log::init_callback([](base::log::Level, const std::string&) {});
    if (fuse::GuestSession::create(*fs, {}).code() == ENOTSUP) {
      PMEMFS_SKIP("needs a libfuse with custom I/O: scripts/setup");
    }
  }

  InodeNo make_file(std::string_view name, std::string_view content = {}) const {
    const auto made = fs->create(kRoot, kRootInode, name, 0644, 2);
    REQUIRE(made.code() == 0);
    const auto bytes = std::as_bytes(std::span(content));
    REQUIRE(fs->write(made->opened.handle, 0, bytes, false, false).code() == 0);
    fs->release(made->opened.handle);
    fs->forget(made->attributes.ino, 1);
    return made->attributes.ino;
  }
  void set_durable(InodeNo ino) const {
    const auto one = std::as_bytes(std::span(std::string_view("1")));
    REQUIRE(fs->setxattr(kRoot, ino, PMEMFS_XATTR_DURABLE, one, 0, false).code() == 0);
  }
  void clear_durable(InodeNo ino) const {
    REQUIRE(fs->removexattr(kRoot, ino, PMEMFS_XATTR_DURABLE).code() == 0);
  }

  MemoryRegion region{64ULL << 20U};
  std::unique_ptr<Filesystem> fs;
};

// One whose guest has mounted.
struct OneGuest : GuestRig {
  explicit OneGuest(fuse::GuestOptions options = {}, std::uint64_t flags = Guest::kAllFlags)
      : guest(*fs, std::move(options)) {
    REQUIRE(guest.init(flags).error == 0);
  }

  Guest guest;
};

}  // namespace pmemfs::test
