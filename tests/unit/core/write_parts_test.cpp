// Writes from several places, of which some cannot be read: what a guest gives may be gone when it
// is copied.
#include <sys/mman.h>

#include <algorithm>
#include <array>

#include "base/media_faults.hpp"
#include "core_rig.hpp"
#include "media_rig.hpp"
#include "support/broken_host.hpp"

namespace pmemfs::test {
namespace {

using Part = std::span<const std::byte>;

// Where it begins nothing can be read: the host's write(2) is EFAULT.
const std::string kLost(100, 'L');

class LosingHost final : public Passing {
 public:
  using Passing::Passing;
  Result<std::size_t> write(int fd, std::uint64_t o, const void* s, std::size_t n) override {
    return s == kLost.data() ? Result<std::size_t>(Error(EFAULT)) : Passing::write(fd, o, s, n);
  }
};

// On a host that loses what is to be lost.
struct LosingRig : CoreRig {
  explicit LosingRig(bool durable) : CoreRig(Data::kBacking), host(backing()) {
    interpose(&host);
    remount();
    if (durable) {
      mkdir("db");
      REQUIRE(set_durable("db") == 0);
    }
    file = create("file", O_RDWR, durable ? stat("db").ino : kRootInode);
    CoreRig::write(file.opened.handle, 0, std::string(50, 'a'));
  }
  ~LosingRig() { fs().release(file.opened.handle); }

  Result<std::size_t> write(std::uint64_t off, std::vector<Part> parts, bool append = false) {
    return fs().write_parts(file.opened.handle, off, parts, append, false);
  }
  std::string content() { return read_all(file.opened.handle); }
  std::uint64_t host_size() {
    return backing().stat({file.attributes.ino, file.attributes.generation})->size;
  }

  LosingHost host;
  Created file;
};

std::string some(std::size_t n) {
  std::string text(n, '\0');
  for (std::size_t i = 0; i < n; ++i) {
    text[i] = static_cast<char>('b' + i / 3 % 20);
  }
  return text;
}

// A piece of memory of a guest's, watched as virtiofs does, whose second half is gone.
class HalfLost {
 public:
  HalfLost()
      : memory_(
            ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    REQUIRE(memory_ != MAP_FAILED);
    auto* const begin = static_cast<std::byte*>(memory_);
    std::fill_n(begin, kBytes, std::byte{'w'});
    REQUIRE(watch_.start(begin, kBytes, kBlock));
    lose_memory(begin + kBytes / 2, kBytes / 2);
  }
  HalfLost(const HalfLost&) = delete;
  HalfLost& operator=(const HalfLost&) = delete;
  ~HalfLost() {
    watch_.stop();
    ::munmap(memory_, kBytes);
  }

  [[nodiscard]] Part half(bool lost) const {
    return {static_cast<const std::byte*>(memory_) + (lost ? kBytes / 2 : 0), kBytes / 2};
  }
  [[nodiscard]] bool met() const { return watch_.events() != 0; }

 private:
  static constexpr std::size_t kBytes = 4 * kBlock;
  void* memory_;
  base::MediaWatch watch_;
};

}  // namespace

TEST_CASE("a write from many places is a write of what they hold, one after the other") {
  const auto data = GENERATE(CoreRig::Data::kBacking, CoreRig::Data::kExtents);
  const bool durable = GENERATE(false, true);
  CoreRig rig(data);
  const InodeNo dir = rig.mkdir("db");
  if (durable) {
    REQUIRE(rig.set_durable("db") == 0);
  }
  const Created file = rig.create("file", O_RDWR, dir);
  std::string expected;
  for (const std::size_t off :
       {std::size_t{0}, std::size_t{9'999}, std::size_t{30'000}, std::size_t{50'000}}) {
    const std::string text = some(20'001);
    std::vector<Part> parts;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t n = std::min(text.size() - at, parts.size() * parts.size() % 5000);
      parts.push_back(bytes(text).subspan(at, n));
      at += n;
    }
    const bool append = off == 50'000;
    const std::size_t where = append ? expected.size() : off;
    REQUIRE(
        rig.fs().write_parts(file.opened.handle, append ? 1 : off, parts, append, false).value() ==
        text.size());
    expected.resize(std::max(expected.size(), where + text.size()), '\0');
    expected.replace(where, text.size(), text);
    CHECK(rig.read_all(file.opened.handle) == expected);
  }
  rig.close(file);
}

TEST_CASE(
    "of an ordinary file's write that loses a place on a host, what comes before is written") {
  LosingRig rig(false);
  const std::string text = some(30);
  CHECK(rig.write(50, {bytes(kLost), bytes(text)}).code() == EFAULT);
  CHECK(rig.content() == std::string(50, 'a'));
  CHECK(rig.write(50, {bytes(text), bytes(kLost), bytes(text)}).value() == 30);
  CHECK(rig.content() == std::string(50, 'a') + text);
}

TEST_CASE("a durable file does not grow by a write that loses a place on a host") {
  LosingRig rig(true);
  const std::string text = some(30);
  const std::uint64_t off = GENERATE(50U, 40U, 70U, 10'000U);  // at its end, across it, beyond
  std::vector<Part> parts{bytes(text), bytes(kLost), bytes(text)};
  if (GENERATE(false, true)) {
    std::swap(parts[0], parts[1]);
  }
  CHECK(rig.write(off, parts).code() == EFAULT);
  CHECK(rig.host_size() == 50);
  CHECK(rig.content().substr(0, 40) == std::string(40, 'a'));
  CHECK(rig.content().size() == 50);
  REQUIRE(rig.write(off, {bytes(text)}).value() == 30);
  CHECK(rig.host_size() == off + 30);
  CHECK(rig.content().substr(off) == text);
  if (off > 50) {
    CHECK(rig.content().substr(50, off - 50) == std::string(off - 50, '\0'));
  }
}

TEST_CASE("what a durable file grows by is on media when it has grown, wherever it came from") {
  std::size_t turn = 0;
  const auto scenario = [&turn](bool control, RandomChooser& chooser) {
    const std::uint64_t off = std::array{50U, 40U, 70U}[turn++ % 3];
    CoreRig rig(CoreRig::Data::kBacking);
    NoSync no_sync(rig.backing());
    if (control) {
      rig.interpose(&no_sync);
      rig.remount();
    }
    const InodeNo dir = rig.mkdir("db");
    REQUIRE(rig.set_durable("db") == 0);
    const Created file = rig.create("file", O_RDWR, dir);
    rig.write(file.opened.handle, 0, std::string(50, 'a'));
    const std::string text = some(30);
    const std::array parts{bytes(text).first(7), bytes(text).subspan(7)};
    REQUIRE(rig.fs().write_parts(file.opened.handle, off, parts, false, false).value() == 30);
    rig.crash(chooser);
    const auto found = rig.fs().lookup(dir, "file");
    if (!found) {
      return false;
    }
    const auto opened = rig.fs().open_file(found->ino, O_RDONLY, false);
    const std::string content = opened ? rig.read_all(opened->handle) : "";
    return content.size() == off + 30 && content.substr(off) == text;
  };
  CHECK(broken([&](RandomChooser& chooser) { return scenario(false, chooser); }) == 0);
  CHECK(broken([&](RandomChooser& chooser) { return scenario(true, chooser); }) > 0);
}

TEST_CASE("a file in extents does not grow by a write that loses a place, nor shows any of it") {
  const MediaRig rig;
  const bool durable = GENERATE(false, true);
  Created file = rig.put("file", 'a', 3);
  if (durable) {
    rig.fs->release(file.opened.handle);
    const auto one = bytes("1");
    REQUIRE(
        rig.fs->setxattr(kRoot, file.attributes.ino, "user.pmemfs.mmap_durable", one, 0, false));
    file = rig.reopen(file);
  }
  const std::uint64_t free = rig.fs->status().region_bytes_free;
  const HalfLost memory;
  const std::array parts{memory.half(false), memory.half(true), memory.half(false)};
  const std::uint64_t off = GENERATE(2U, 3U, 7U) * kBlock;
  const std::uint64_t errors = base::media_errors_met();
  CHECK(rig.fs->write_parts(file.opened.handle, off, parts, false, false).code() == EIO);
  CHECK(base::media_errors_met() == errors);  // the result has told
  CHECK(memory.met());
  CHECK(rig.fs->getattr(file.attributes.ino)->size == 3 * kBlock);
  CHECK(rig.read(file, 0, 2, 'a') == 0);
  CHECK((durable || rig.fs->status().region_bytes_free == free));
  CHECK(rig.fs->status().media_errors == 0);  // of the region
  CHECK_FALSE(rig.fs->status().read_only);
  AttributeChange grown;
  grown.size = 20 * kBlock;
  REQUIRE(rig.fs->setattr(kRoot, file.attributes.ino, grown));
  CHECK(rig.read(file, 3, 17, '\0') == 0);
  CHECK(rig.write(file, off, 5 * kBlock) == 0);
  CHECK(rig.read(file, off / kBlock, 5, 'w') == 0);
}

TEST_CASE("a write that loses a place changes nothing but what it was to write over") {
  const MediaRig rig;
  const Created file = rig.put("file", 'a', 10);
  const HalfLost memory;
  const std::array parts{memory.half(false), memory.half(true), memory.half(false)};
  CHECK(rig.fs->write_parts(file.opened.handle, kBlock, parts, false, false).code() == EIO);
  CHECK(rig.read(file, 0, 1, 'a') == 0);
  CHECK(rig.read(file, 7, 3, 'a') == 0);
}

}  // namespace pmemfs::test
