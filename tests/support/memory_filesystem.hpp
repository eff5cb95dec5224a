#pragma once

#include <fmt/format.h>

#include <memory>
#include <stdexcept>
#include <utility>

#include "pmemfs/filesystem.hpp"
#include "store/store.hpp"

namespace pmemfs::test {

// Formats `region` and opens it: data in extents, no background threads. Throws std::runtime_error.
// For what needs a filesystem and no crash; CoreRig (unit/core) has those.
inline std::unique_ptr<Filesystem> make_filesystem(Region& region) {
  const auto require = [](int code, const char* what) {
    if (code != 0) {
      throw std::runtime_error(fmt::format("{}: errno {}", what, code));
    }
  };
  store::FormatOptions format;
  format.kind = format::RegionKind::kFile;
  format.uuid.fill(7);
  require(store::Store::format(region, format).code(), "format");
  auto store = store::Store::open(region, nullptr);
  require(store.code(), "store");
  FilesystemOptions options;
  options.background = false;
  auto filesystem = Filesystem::open(std::move(*store), nullptr, options);
  require(filesystem.code(), "open");
  return std::move(*filesystem);
}

}  // namespace pmemfs::test
