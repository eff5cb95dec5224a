// The books of a window, over a VMM that behaves as QEMU does: it refuses what overlaps, and unmaps
// exactly what was mapped or nothing.
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "window_books_rig.hpp"

namespace pmemfs::test {
namespace {

using virtiofs::Window;

struct Mapped {
  std::uint64_t len = 0;
  std::uint64_t fd_off = 0;
};

class Vmm {
 public:
  Window::Vmm functions() {
    return {[this](int fd, std::uint64_t fd_off, std::uint64_t off, std::uint64_t len) {
              return map(fd, fd_off, off, len);
            },
            [this](std::uint64_t off, std::uint64_t len) {
              return unmap(off, len);
            }};
  }
  [[nodiscard]] std::uint64_t bytes() const {
    std::uint64_t sum = 0;
    for (const auto& [off, mapped] : now) {
      sum += mapped.len;
    }
    return sum;
  }

  std::map<std::uint64_t, Mapped> now;  // by offset in the window
  int map_error = 0;                    // of the next one
  int unmap_error = 0;
  bool done_all_the_same = false;  // what is answered with EAGAIN was done
  int calls = 0;

 private:
  Status map(int fd, std::uint64_t fd_off, std::uint64_t off, std::uint64_t len) {
    struct stat st {};
    REQUIRE(::fstat(fd, &st) == 0);
    calls++;
    const int error = std::exchange(map_error, 0);
    if (error != 0 && !(error == EAGAIN && done_all_the_same)) {
      return Error(error);
    }
    const auto behind = now.lower_bound(off);
    const bool overlaps =
        (behind != now.end() && behind->first < off + len) ||
        (behind != now.begin() && std::prev(behind)->first + std::prev(behind)->second.len > off);
    if (overlaps) {
      return Error(EIO);
    }
    now[off] = {len, fd_off};
    return error != 0 ? Status(Error(error)) : Status();
  }
  Status unmap(std::uint64_t off, std::uint64_t len) {
    calls++;
    const int error = std::exchange(unmap_error, 0);
    if (error != 0 && !(error == EAGAIN && done_all_the_same)) {
      return Error(error);
    }
    const auto found = now.find(off);
    if (found == now.end() || found->second.len != len) {
      return Error(EIO);
    }
    now.erase(found);
    return error != 0 ? Status(Error(error)) : Status();
  }
};

using Rig = WindowBooksRig<Vmm>;

}  // namespace

TEST_CASE("places are mapped and unmapped") {
  Rig rig;
  const InodeNo ino = rig.file("file", 3 * kPlace);
  REQUIRE(rig.window.map(ino, kPlace, 4 * kPlace, 2 * kPlace).ok());
  CHECK(rig.vmm.bytes() == 2 * kPlace);
  CHECK(rig.window.mapped() == 2 * kPlace);
  CHECK(rig.fs->status().window_bytes == 2 * kPlace);
  CHECK(rig.vmm.now.begin()->first == 4 * kPlace);
  REQUIRE(rig.window.unmap(4 * kPlace, kPlace).ok());
  CHECK(rig.vmm.bytes() == kPlace);
  REQUIRE(rig.window.unmap(0, 8 * kPlace).ok());
  CHECK(rig.vmm.now.empty());
  CHECK(rig.fs->status().window_bytes == 0);
}

TEST_CASE("a guest that comes to write has what it asks for") {
  Rig rig;
  const InodeNo ino = rig.file("file", kPlace);
  REQUIRE(rig.window.map(ino, 0, 0, kPlace).ok());
  const int calls = rig.vmm.calls;
  REQUIRE(rig.window.map(ino, 0, 0, kPlace).ok());
  CHECK(rig.vmm.calls == calls);
  CHECK(rig.fs->status().window_bytes == kPlace);
}

TEST_CASE("a place that is used again is unmapped first") {
  Rig rig;
  const InodeNo one = rig.file("one", kPlace);
  const InodeNo two = rig.file("two", 2 * kPlace);
  REQUIRE(rig.window.map(one, 0, 0, kPlace).ok());
  REQUIRE(rig.window.map(two, kPlace, 0, kPlace).ok());
  CHECK(rig.vmm.bytes() == kPlace);
  CHECK(rig.fs->status().window_bytes == kPlace);
}

TEST_CASE("beyond the window, and beyond the file, nothing is mapped") {
  Rig rig;
  const InodeNo ino = rig.file("file", kPlace);
  CHECK(rig.window.map(ino, 0, 8 * kPlace, kPlace).code() == EINVAL);
  CHECK(rig.window.map(ino, 0, 7 * kPlace, 2 * kPlace).code() == EINVAL);
  CHECK(rig.window.map(ino, 0, UINT64_MAX - kPlace + 1, kPlace).code() == EINVAL);
  CHECK(rig.window.map(ino, 0, 4096, kPlace).code() == EINVAL);
  CHECK(rig.window.unmap(UINT64_MAX - kPlace + 1, kPlace).code() == EINVAL);
  CHECK(rig.window.map(ino, kPlace, 0, kPlace).code() == ENXIO);
  CHECK(rig.vmm.calls == 0);
}

TEST_CASE("what is mapped only in part is taken back") {
  Rig rig;
  // Two files block by block in turns: a place of one has many pieces.
  const auto one = rig.fs->create(kCaller, kRootInode, "one", 0644, O_RDWR);
  const auto two = rig.fs->create(kCaller, kRootInode, "two", 0644, O_RDWR);
  const std::vector<std::byte> block(4096, std::byte{'x'});
  for (std::uint64_t i = 0; i < 4; i++) {
    REQUIRE(rig.fs->write(one->opened.handle, i * 4096, block, false, false).ok());
    REQUIRE(rig.fs->write(two->opened.handle, i * 4096, block, false, false).ok());
  }
  // Pinned, so that it stays where it is.
  rig.fs->release(one->opened.handle);
  REQUIRE(rig.fs
              ->setxattr(kCaller, one->attributes.ino, "user.pmemfs.mmap_durable",
                         std::as_bytes(std::span("1", 1)), 0, false)
              .ok());
  const InodeNo ino = one->attributes.ino;
  REQUIRE(rig.window.map(ino, 0, 0, kPlace).ok());
  CHECK(rig.vmm.now.size() > 1);
  CHECK(rig.vmm.bytes() == kPlace);
  REQUIRE(rig.window.unmap(0, kPlace).ok());
  CHECK(rig.vmm.now.empty());
  // In the way of the second piece lies what nobody knows of.
  rig.vmm.now[8192] = {8192, 0};
  CHECK(rig.window.map(ino, 0, 0, kPlace).code() == EIO);
  CHECK(rig.vmm.bytes() == 8192);
  CHECK(rig.fs->status().window_bytes == 0);
}

TEST_CASE("what an earlier daemon left in the window gives way") {
  Rig rig;
  const InodeNo ino = rig.file("file", kPlace);
  rig.vmm.now[0] = {kPlace, 0};
  REQUIRE(rig.window.map(ino, 0, 0, kPlace).ok());
  CHECK(rig.vmm.bytes() == kPlace);
}

TEST_CASE("a VMM that cannot answer now leaves doubt, which is cleared before the place is used") {
  Rig rig;
  const bool done = GENERATE(false, true);
  rig.vmm.done_all_the_same = done;
  const InodeNo ino = rig.file("file", 2 * kPlace);
  rig.vmm.map_error = EAGAIN;
  CHECK(rig.window.map(ino, 0, 0, kPlace).code() == EAGAIN);
  CHECK(rig.fs->status().window_bytes == 0);
  REQUIRE(rig.window.map(ino, kPlace, 0, kPlace).ok());
  CHECK(rig.vmm.bytes() == kPlace);
  REQUIRE(rig.window.unmap(0, kPlace).ok());
  rig.vmm.map_error = EAGAIN;
  CHECK(rig.window.map(ino, 0, 0, kPlace).code() == EAGAIN);
  REQUIRE(rig.window.unmap(0, kPlace).ok());
  CHECK(rig.vmm.now.empty());
  REQUIRE(rig.window.map(ino, 0, 0, kPlace).ok());
  rig.vmm.unmap_error = EAGAIN;
  CHECK(rig.window.unmap(0, kPlace).code() == EAGAIN);
  CHECK(rig.fs->status().window_bytes == 0);
  REQUIRE(rig.window.map(ino, 0, 0, kPlace).ok());
  CHECK(rig.vmm.bytes() == kPlace);
  CHECK(rig.fs->status().window_bytes == kPlace);
}

TEST_CASE("what lies beyond a new end goes, in whole places") {
  Rig rig;
  const InodeNo ino = rig.file("file", 4 * kPlace);
  const InodeNo other = rig.file("other", 4 * kPlace);
  REQUIRE(rig.window.map(ino, 0, 0, 4 * kPlace).ok());
  REQUIRE(rig.window.map(other, 0, 4 * kPlace, 4 * kPlace).ok());
  rig.window.unmap_beyond(ino, kPlace + 1);
  CHECK(rig.window.mapped() == 6 * kPlace);
  CHECK(rig.vmm.now.contains(kPlace));
  CHECK_FALSE(rig.vmm.now.contains(2 * kPlace));
  rig.window.unmap_beyond(ino, 0);
  CHECK(rig.window.mapped() == 4 * kPlace);
}

TEST_CASE("what was cut is mapped again where the guest has it, once the file reaches it") {
  Rig rig;
  const InodeNo ino = rig.file("file", 4 * kPlace);
  const InodeNo other = rig.file("other", kPlace);
  REQUIRE(rig.window.map(ino, 0, 4 * kPlace, 4 * kPlace).ok());
  rig.window.unmap_beyond(ino, kPlace);
  CHECK(rig.window.mapped() == kPlace);
  REQUIRE(rig.window.map_again(other, UINT64_MAX).ok());
  CHECK(rig.window.mapped() == kPlace);
  REQUIRE(rig.window.map_again(ino, kPlace + 1).ok());
  CHECK(rig.window.mapped() == 2 * kPlace);
  CHECK(rig.vmm.now.contains(5 * kPlace));

  // Of what is left the guest gives one place back and uses the other one for something else.
  REQUIRE(rig.window.unmap(6 * kPlace, kPlace).ok());
  REQUIRE(rig.window.map(other, 0, 7 * kPlace, kPlace).ok());
  const int before = rig.vmm.calls;
  REQUIRE(rig.window.map_again(ino, UINT64_MAX).ok());
  CHECK(rig.vmm.calls == before);
  CHECK(rig.window.mapped() == 3 * kPlace);
}

TEST_CASE(
    "what was cut waits while the file is shorter than the guest is told, or the VMM is held up") {
  Rig rig;
  const InodeNo ino = rig.file("file", 2 * kPlace);
  REQUIRE(rig.window.map(ino, 0, 0, 2 * kPlace).ok());
  rig.window.unmap_beyond(ino, 0);
  AttributeChange change;
  change.size = kPlace;
  REQUIRE(rig.fs->setattr(kCaller, ino, change).ok());
  rig.vmm.map_error = EAGAIN;
  REQUIRE(rig.window.map_again(ino, UINT64_MAX).ok());
  CHECK(rig.window.mapped() == 0);
  rig.vmm.map_error = EIO;
  rig.vmm.unmap_error = EIO;
  const Status refused = rig.window.map_again(ino, UINT64_MAX);
  CHECK(refused.code() == EIO);
  REQUIRE(rig.window.map_again(ino, UINT64_MAX).ok());
  CHECK(rig.window.mapped() == kPlace);
  change.size = 2 * kPlace;
  REQUIRE(rig.fs->setattr(kCaller, ino, change).ok());
  REQUIRE(rig.window.map_again(ino, 2 * kPlace).ok());
  CHECK(rig.window.mapped() == 2 * kPlace);
}

TEST_CASE("what was cut is not mapped again from another file that has got the number") {
  Rig rig;
  const InodeNo ino = rig.file("file", 2 * kPlace);
  REQUIRE(rig.window.map(ino, 0, 0, 2 * kPlace).ok());
  rig.window.unmap_beyond(ino, 0);
  rig.region.end_export(ino.value);
  REQUIRE(rig.fs->unlink(kRootInode, "file").ok());
  rig.fs->forget(ino, 1);
  REQUIRE(rig.fs->sync().ok());
  REQUIRE(rig.file("another", 2 * kPlace) == ino);
  REQUIRE(rig.window.map_again(ino, UINT64_MAX).ok());
  CHECK(rig.window.mapped() == 0);
  CHECK(rig.vmm.now.empty());
}

TEST_CASE("a guest that begins anew finds nothing mapped, whatever its monitor has kept") {
  Rig rig;
  const InodeNo ino = rig.file("file", 2 * kPlace);
  REQUIRE(rig.window.map(ino, 0, 0, 2 * kPlace).ok());
  if (GENERATE(false, true)) {
    rig.vmm.now.clear();  // a reset has emptied the window
  }
  rig.window.unmap_all();
  CHECK(rig.vmm.now.empty());
  CHECK(rig.window.mapped() == 0);
  CHECK(rig.fs->status().window_bytes == 0);
  REQUIRE(rig.window.map(ino, 0, 0, kPlace).ok());
  CHECK(rig.vmm.bytes() == kPlace);
}

TEST_CASE("a machine that is gone maps nothing") {
  Rig rig;
  const InodeNo ino = rig.file("file", 2 * kPlace);
  REQUIRE(rig.window.map(ino, 0, 0, 2 * kPlace).ok());
  const int calls = rig.vmm.calls;
  rig.window.clear();
  CHECK(rig.vmm.calls == calls);
  CHECK(rig.window.mapped() == 0);
  CHECK(rig.fs->status().window_bytes == 0);
}

}  // namespace pmemfs::test
