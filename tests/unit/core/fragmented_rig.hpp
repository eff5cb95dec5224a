// A directory region with two files that the host laid out in as many pieces as they have blocks.
#pragma once

#include "core_rig.hpp"
#include "support/extent_text.hpp"

namespace pmemfs::test {

inline constexpr std::uint64_t kBlock = 4096;
inline constexpr std::uint64_t kBlocks = 20;

inline std::string pattern_of(std::uint64_t size, unsigned seed) {
  std::string text(size, '\0');
  for (std::uint64_t i = 0; i < size; i++) {
    text[i] = static_cast<char>('a' + (i / 100 + seed) % 26);
  }
  return text;
}

inline const std::string& one() {
  static const std::string kText = pattern_of(kBlocks * kBlock, 1);
  return kText;
}

// A rig whose host tells where data lie, with two files whose blocks alternate.
struct Fragmented : CoreRig {
  explicit Fragmented(std::uint64_t blocks = kBlocks) : CoreRig(Data::kBacking) {
    backing().tell_extents();
    const Created a = create("one");
    const Created b = create("two");
    const std::string content_a = pattern_of(blocks * kBlock, 1);
    const std::string content_b = pattern_of(blocks * kBlock, 2);
    for (std::uint64_t i = 0; i < blocks; i++) {
      const std::uint64_t at = i * kBlock;
      write(a.opened.handle, at, std::string_view(content_a).substr(at, kBlock));
      write(b.opened.handle, at, std::string_view(content_b).substr(at, kBlock));
    }
    close(a);
    close(b);
  }

  InodeNo ino() { return stat("one").ino; }
  BackingName host() {
    const auto names = host_files(ino());
    REQUIRE(names.size() == 1);
    return names.front();
  }
  void sync(std::string_view name) {
    const auto opened = fs().open_file(stat(name).ino, O_RDWR, false);
    REQUIRE(opened.ok());
    REQUIRE(fs().fsync(opened->handle, false).ok());
    fs().release(opened->handle);
  }
  std::vector<ExtentLine> extents(std::string_view name) {
    const auto text = fs().getxattr(stat(name).ino, "user.pmemfs.extents");
    REQUIRE(text.ok());
    return parse_extents({reinterpret_cast<const char*>(text->data()), text->size()});
  }
};

}  // namespace pmemfs::test
