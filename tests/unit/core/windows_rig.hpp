// A machine that maps files, for tests of core/windows.
#pragma once

#include <unistd.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core_rig.hpp"
#include "support/extent_text.hpp"

namespace pmemfs::test {

inline constexpr std::uint64_t kBlock = 4096;
inline constexpr std::uint64_t kFrame = 2U << 20U;

inline std::string content_of(std::uint64_t size, char first) {
  std::string text(size, first);
  for (std::uint64_t i = 0; i < size; i++) {
    text[i] = static_cast<char>(first + static_cast<int>(i / kBlock % 7));
  }
  return text;
}

// Where each byte of [0, size) of the file lies, block by block.
inline std::map<std::uint64_t, std::uint64_t> places(CoreRig& rig, InodeNo ino) {
  const auto text = rig.fs().getxattr(ino, "user.pmemfs.extents");
  REQUIRE(text.ok());
  std::map<std::uint64_t, std::uint64_t> result;
  for (const ExtentLine& line :
       parse_extents({reinterpret_cast<const char*>(text->data()), text->size()})) {
    for (std::uint64_t at = 0; at < line.length; at += kBlock) {
      result[line.offset + at] = line.at + at;
    }
  }
  return result;
}

// A machine that maps a range, as the kernel sees it: the export in SimRegion lives until it is let
// go.
class Machine {
 public:
  explicit Machine(CoreRig& rig) : rig_(rig) {}

  int map(InodeNo ino, std::uint64_t off) {
    auto mapped = rig_.fs().map_window(ino, off, kFrame);
    if (!mapped) {
      return mapped.code();
    }
    ::close(mapped->fd);
    pieces_ = std::move(mapped->pieces);
    return 0;
  }
  // The VMM has answered; the kernel may know of the mapping still.
  void unmapped(InodeNo ino, std::uint64_t off) { rig_.fs().unmapped_window(ino, off, kFrame); }
  void let_go(InodeNo ino) { rig_.region().end_export(ino.value); }
  // A store of the guest to offset `off` of what was mapped last.
  void store(std::uint64_t off, std::string_view bytes) {
    for (const WindowPiece& piece : pieces_) {
      if (off >= piece.file_off && off - piece.file_off < piece.len) {
        rig_.region().stream(ByteOff(piece.fd_off + off - piece.file_off), bytes.data(),
                             bytes.size());
        rig_.region().fence();
        return;
      }
    }
    FAIL("not mapped");
  }
  [[nodiscard]] const std::vector<WindowPiece>& pieces() const { return pieces_; }

 private:
  CoreRig& rig_;
  std::vector<WindowPiece> pieces_;
};

}  // namespace pmemfs::test
