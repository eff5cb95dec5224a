// A window over a filesystem in memory, and a VMM of the test's.
#pragma once

#include <memory>
#include <string>

#include "harness/catch.hpp"
#include "support/memory_filesystem.hpp"
#include "support/sim_region.hpp"
#include "virtiofs/window.hpp"

namespace pmemfs::test {

constexpr std::uint64_t kPlace = virtiofs::Window::kPlace;
constexpr std::uint64_t kPlaces = 8;
constexpr Caller kCaller{.uid = 0, .gid = 0, .pid = 1, .umask = 022};

// `Vmm::functions()` is what the window asks.
template <typename Vmm>
struct WindowBooksRig {
  WindowBooksRig() : fs(make_filesystem(region)), window(*fs, kPlaces * kPlace, vmm.functions()) {}

  // A file that lies in whole frames.
  [[nodiscard]] InodeNo file(const std::string& name, std::uint64_t size) const {
    const auto made = fs->create(kCaller, kRootInode, name, 0644, 0);
    REQUIRE(made.ok());
    AttributeChange change;
    change.size = size;
    REQUIRE(fs->setattr(kCaller, made->attributes.ino, change).ok());
    fs->release(made->opened.handle);
    return made->attributes.ino;
  }

  SimRegion region{64ULL << 20U};
  std::unique_ptr<Filesystem> fs;
  Vmm vmm;
  virtiofs::Window window;
};

}  // namespace pmemfs::test
