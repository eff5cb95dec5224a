#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "base/log.hpp"
#include "core_rig.hpp"
#include "harness/catch.hpp"
#include "pmemfs/filesystem.hpp"
#include "store/store.hpp"
#include "support/extent_text.hpp"
#include "support/memory_filesystem.hpp"
#include "support/memory_region.hpp"

namespace pmemfs::test {

inline constexpr std::uint64_t kSize = 32U << 20U;
inline constexpr std::uint64_t kBlock = 4096;

// Data in extents, over memory that can be lost.
struct MediaRig {
  MediaRig() {
    base::log::init_callback([](base::log::Level, const std::string&) {});
    fs = make_filesystem(*memory);
  }

  Created put(const char* name, char content, std::uint64_t blocks) const {
    const auto made = fs->create(kRoot, kRootInode, name, 0644, 2);
    REQUIRE(made);
    const std::vector<std::byte> bytes(blocks * kBlock, static_cast<std::byte>(content));
    REQUIRE(fs->write(made->opened.handle, 0, bytes, false, false).code() == 0);
    return *made;
  }
  // Where the file's block lies.
  [[nodiscard]] ByteOff place(const Created& file, std::uint64_t block) const {
    const auto text = fs->getxattr(file.attributes.ino, "user.pmemfs.extents");
    REQUIRE(text);
    const std::string lines(reinterpret_cast<const char*>(text->data()), text->size());
    for (const ExtentLine& line : parse_extents(lines)) {
      if (block * kBlock >= line.offset && block * kBlock < line.offset + line.length) {
        return ByteOff(line.at + block * kBlock - line.offset);
      }
    }
    return ByteOff(0);
  }
  // 0 when all of it is `content`, else the errno, or -1.
  [[nodiscard]] int read(const Created& file, std::uint64_t block, std::uint64_t blocks,
                         char content) const {
    std::vector<std::byte> bytes(blocks * kBlock);
    const auto n = fs->read(file.opened.handle, block * kBlock, bytes);
    const bool whole =
        n && *n == bytes.size() && std::all_of(bytes.begin(), bytes.end(), [&](std::byte b) {
          return b == static_cast<std::byte>(content);
        });
    return n ? whole ? 0 : -1 : n.code();
  }
  [[nodiscard]] int write(const Created& file, std::uint64_t off, std::size_t n) const {
    const std::vector<std::byte> bytes(n, std::byte{'w'});
    return fs->write(file.opened.handle, off, bytes, false, false).code();
  }

  // Unmounted in order, and mounted again on memory without any bad page.
  void remount() {
    REQUIRE(fs->close());
    fs.reset();
    memory.map_again();
    auto store = store::Store::open(*memory, &report);
    REQUIRE(store);
    FilesystemOptions options;
    options.background = false;
    auto opened = Filesystem::open(std::move(*store), nullptr, options);
    REQUIRE(opened);
    fs = std::move(*opened);
  }
  // The same file with a new handle.
  [[nodiscard]] Created reopen(const Created& file, int flags = 2) const {
    const auto opened = fs->open_file(file.attributes.ino, flags, false);
    REQUIRE(opened);
    return {file.attributes, *opened};
  }

  MemoryRegion memory{kSize};
  store::OpenReport report;
  std::unique_ptr<Filesystem> fs;
};

}  // namespace pmemfs::test
