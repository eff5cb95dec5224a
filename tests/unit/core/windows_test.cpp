// Files that virtual machines map: what is mapped stays where it is and nobody else's, through
// truncation, unlinking, compaction and crashes.
#include <linux/falloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/unique_fd.hpp"
#include "support/memory_filesystem.hpp"
#include "support/memory_region.hpp"
#include "windows_rig.hpp"

namespace pmemfs::test {
namespace {

// As many files of 64 KiB as fit, each with its own letter.
int fill_region(CoreRig& rig) {
  for (int count = 0;; count++) {
    const std::string name = "fill" + std::to_string(count);
    auto made = rig.fs().create(kRoot, kRootInode, name, 0644, O_RDWR);
    if (!made) {
      return count;
    }
    const auto written =
        rig.fs().write(made->opened.handle, 0, bytes(std::string(64U << 10U, 'F')), false, false);
    rig.close(*made);
    if (!written) {
      REQUIRE(rig.fs().unlink(kRootInode, name).ok());
      return count;
    }
  }
}

void check_filled(CoreRig& rig, int count) {
  for (int i = 0; i < count; i++) {
    REQUIRE(rig.get("fill" + std::to_string(i)) == std::string(64U << 10U, 'F'));
  }
}

}  // namespace

TEST_CASE("a mapped range is the file, as a whole and in its place") {
  CoreRig rig(CoreRig::Data::kExtents);
  rig.put("file", content_of(kFrame + 5000, 'a'));
  REQUIRE(rig.set_durable("file") == 0);
  const InodeNo ino = rig.stat("file").ino;
  Machine machine(rig);
  REQUIRE(machine.map(ino, 0) == 0);
  REQUIRE(machine.pieces().size() == 1);
  CHECK(machine.pieces()[0].fd_off % kFrame == 0);
  REQUIRE(machine.map(ino, kFrame) == 0);
  std::uint64_t covered = kFrame;
  for (const WindowPiece& piece : machine.pieces()) {
    CHECK(piece.file_off == covered);
    covered += piece.len;
    const auto where = places(rig, ino);
    if (where.contains(piece.file_off)) {
      CHECK(where.at(piece.file_off) == piece.fd_off);
    }
  }
  CHECK(covered == 2 * kFrame);
  const std::string_view stored = "stored by a guest";
  machine.store(kFrame + 100, stored);
  CHECK(rig.get("file").size() == (1U << 20U));  // get() reads a MiB at most
  const auto opened = rig.fs().open_file(ino, O_RDONLY, false);
  REQUIRE(opened.ok());
  CHECK(rig.read_all(opened->handle, kFrame + 100).substr(0, stored.size()) == stored);
  rig.fs().release(opened->handle);
  CHECK(rig.fs().status().window_bytes == 2 * kFrame);
}

TEST_CASE("what cannot be mapped is refused") {
  CoreRig rig(CoreRig::Data::kExtents);
  rig.put("file", content_of(5000, 'a'));
  rig.mkdir("dir");
  const InodeNo ino = rig.stat("file").ino;
  Machine machine(rig);
  CHECK(machine.map(ino, kFrame) == ENXIO);
  CHECK(machine.map(rig.stat("dir").ino, 0) == EINVAL);
  CHECK(rig.fs().map_window(ino, 4096, kFrame).code() == EINVAL);
  CHECK(rig.fs().map_window(ino, 0, kFrame + 4096).code() == EINVAL);
  CHECK(rig.fs().map_window(ino, UINT64_MAX - kFrame + 1, kFrame).code() == EINVAL);
  CHECK(rig.fs().map_window(ino, 0, 0).code() == EINVAL);
  CHECK(machine.map(InodeNo(999), 0) == ENOENT);
  CHECK(rig.fs().status().window_bytes == 0);
}

TEST_CASE("a mapped file is not moved and keeps its flag") {
  CoreRig rig(CoreRig::Data::kExtents);
  rig.put("file", content_of(300000, 'a'));
  const InodeNo ino = rig.stat("file").ino;
  Machine machine(rig);
  REQUIRE(machine.map(ino, 0) == 0);
  const auto before = places(rig, ino);
  const auto moved = rig.fs().evacuate(before.begin()->second, kFrame, {});
  REQUIRE(moved.ok());
  REQUIRE(moved->left.size() == 1);
  CHECK(moved->left[0].reason == EBUSY);
  CHECK(places(rig, ino) == before);
  CHECK(rig.fs().stamp_to_move(ino).code() == EBUSY);
  REQUIRE(rig.set_durable("file") == 0);
  CHECK(rig.fs().removexattr(kRoot, ino, "user.pmemfs.mmap_durable").code() == EBUSY);
  machine.unmapped(ino, 0);
  // The machine has said so; the kernel has not yet.
  CHECK(rig.fs().removexattr(kRoot, ino, "user.pmemfs.mmap_durable").code() == EBUSY);
  machine.let_go(ino);
  CHECK(rig.fs().removexattr(kRoot, ino, "user.pmemfs.mmap_durable").code() == 0);
}

TEST_CASE("a file that is truncated or punched while it is mapped keeps its blocks") {
  CoreRig rig(CoreRig::Data::kExtents);
  rig.put("file", content_of(300000, 'a'));
  const InodeNo ino = rig.stat("file").ino;
  Machine machine(rig);
  REQUIRE(machine.map(ino, 0) == 0);
  const std::uint64_t place = machine.pieces()[0].fd_off;
  AttributeChange cut;
  cut.size = 10;
  REQUIRE(rig.fs().setattr(kRoot, ino, cut).ok());
  const int files = fill_region(rig);
  machine.store(200000, std::string(5000, 'X'));
  check_filled(rig, files);
  // Grown again it is the same memory, and zeros.
  for (int i = 0; i < 40; i++) {
    REQUIRE(rig.fs().unlink(kRootInode, "fill" + std::to_string(i)).ok());
  }
  cut.size = 300000;
  REQUIRE(rig.fs().setattr(kRoot, ino, cut).ok());
  CHECK(rig.get("file") == content_of(10, 'a') + std::string(299990, '\0'));
  CHECK(places(rig, ino).at(0) == place);
  const auto opened = rig.fs().open_file(ino, O_RDWR, false);
  REQUIRE(
      rig.fs()
          .fallocate(kRoot, opened->handle, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, kBlock)
          .ok());
  rig.fs().release(opened->handle);
  CHECK(places(rig, ino).at(0) == place);
  CHECK(rig.get("file").substr(0, 10) == std::string(10, '\0'));
}

TEST_CASE("an unlinked file is freed when nobody maps it any more, not before") {
  CoreRig rig(CoreRig::Data::kExtents);
  const std::uint64_t free = rig.fs().status().region_bytes_free;
  const Created file = rig.create("file");
  rig.write(file.opened.handle, 0, content_of(300000, 'a'));
  const InodeNo ino = file.attributes.ino;
  Machine machine(rig);
  REQUIRE(machine.map(ino, 0) == 0);
  REQUIRE(rig.fs().unlink(kRootInode, "file").ok());
  rig.close(file);
  const bool by_answer = GENERATE(false, true);
  if (by_answer) {
    machine.unmapped(ino, 0);
  }
  REQUIRE(rig.fs().sync().ok());
  const int files = fill_region(rig);
  machine.store(100, std::string(200000, 'X'));
  check_filled(rig, files);
  for (int i = 0; i < files; i++) {
    REQUIRE(rig.fs().unlink(kRootInode, "fill" + std::to_string(i)).ok());
  }
  CHECK(rig.fs().status().region_bytes_free < free - 300000);
  if (!by_answer) {
    machine.unmapped(ino, 0);
  }
  machine.let_go(ino);
  REQUIRE(rig.fs().sync().ok());
  CHECK(rig.fs().status().region_bytes_free + kFrame / 4 > free);
}

TEST_CASE("what a machine maps outlives the daemon: killed, or unmounted in order") {
  CoreRig rig(CoreRig::Data::kExtents);
  const std::uint64_t free = rig.fs().status().region_bytes_free;
  const Created file = rig.create("file");
  rig.write(file.opened.handle, 0, content_of(300000, 'a'));
  rig.put("other", content_of(300000, 'b'));
  const InodeNo ino = file.attributes.ino;
  const InodeNo other = rig.stat("other").ino;
  Machine machine(rig);
  REQUIRE(machine.map(other, 0) == 0);
  REQUIRE(machine.map(ino, 0) == 0);
  const std::uint64_t place = places(rig, other).at(0);
  REQUIRE(rig.fs().unlink(kRootInode, "file").ok());
  if (GENERATE(false, true)) {
    rig.remount();
  } else {
    rig.kill();
  }
  // Nobody has told this daemon of the mappings.
  AttributeChange cut;
  cut.size = 0;
  REQUIRE(rig.fs().setattr(kRoot, other, cut).ok());
  const auto moved = rig.fs().evacuate(place / kFrame * kFrame, kFrame, {});
  REQUIRE(moved.ok());
  const int files = fill_region(rig);
  machine.store(0, std::string(200000, 'X'));
  rig.region().stream(ByteOff(place), std::string(200000, 'Y').data(), 200000);
  check_filled(rig, files);
  for (int i = 0; i < files; i++) {
    REQUIRE(rig.fs().unlink(kRootInode, "fill" + std::to_string(i)).ok());
  }
  machine.let_go(ino);
  machine.let_go(other);
  REQUIRE(rig.fs().sync().ok());
  rig.remount();
  CHECK(rig.fs().unlink(kRootInode, "other").ok());
  CHECK(rig.fs().status().region_bytes_free + kFrame / 4 > free);
}

TEST_CASE("fsync makes persistent what a guest stored and did not flush") {
  CoreRig rig(CoreRig::Data::kExtents);
  rig.put("file", content_of(300000, 'a'));
  const InodeNo ino = rig.stat("file").ino;
  const bool sync = GENERATE(true, false);
  Machine machine(rig);
  REQUIRE(machine.map(ino, 0) == 0);
  const std::string stored(kBlock, 'S');
  rig.region().store(ByteOff(machine.pieces()[0].fd_off), stored.data(), stored.size());
  const auto opened = rig.fs().open_file(ino, O_RDONLY, false);
  REQUIRE(opened.ok());
  if (sync) {
    REQUIRE(rig.fs().fsync(opened->handle, false).ok());
  }
  KeepNone none;
  rig.crash(none);
  CHECK((rig.get("file").substr(0, kBlock) == stored) == sync);
}

TEST_CASE("a range is filled before it is mapped, beyond the end too, and trimmed later") {
  CoreRig rig(CoreRig::Data::kExtents);
  const Created file = rig.create("file");
  rig.write(file.opened.handle, 100000, "end");
  const InodeNo ino = file.attributes.ino;
  Machine machine(rig);
  REQUIRE(machine.map(ino, 0) == 0);
  // A write of the host beyond the end comes to lie where the guest has it mapped.
  rig.write(file.opened.handle, kFrame - 3, "far");
  const WindowPiece& last = machine.pieces().back();
  const std::byte* seen = rig.region().data() + last.fd_off + last.len - 3;
  CHECK(std::string_view(reinterpret_cast<const char*>(seen), 3) == "far");
  AttributeChange cut;
  cut.size = 5;
  REQUIRE(rig.fs().setattr(kRoot, ino, cut).ok());
  CHECK(rig.stat("file").blocks == kFrame / 512);
  machine.unmapped(ino, 0);
  machine.let_go(ino);
  REQUIRE(rig.fs().sync().ok());
  CHECK(rig.stat("file").blocks == kBlock / 512);
  rig.close(file);
}

TEST_CASE("a region that is mapped in frames alone gives durable files whole ones") {
  CoreRig rig(CoreRig::Data::kExtents);
  rig.region().set_mapping_alignment(kFrame);
  rig.put("file", content_of(kFrame + 5000, 'a'));
  REQUIRE(rig.set_durable("file") == 0);
  const InodeNo ino = rig.stat("file").ino;
  Machine machine(rig);
  for (const std::uint64_t off : {std::uint64_t{0}, kFrame}) {
    REQUIRE(machine.map(ino, off) == 0);
    REQUIRE(machine.pieces().size() == 1);
    CHECK(machine.pieces()[0].fd_off % kFrame == 0);
    CHECK(machine.pieces()[0].len == kFrame);
  }
  AttributeChange grow;
  grow.size = 2 * kFrame + 10;
  REQUIRE(rig.fs().setattr(kRoot, ino, grow).ok());
  REQUIRE(machine.map(ino, 2 * kFrame) == 0);
  CHECK(machine.pieces()[0].fd_off % kFrame == 0);
  // An ordinary file is brought there.
  rig.put("ordinary", content_of(5000, 'b'));
  REQUIRE(machine.map(rig.stat("ordinary").ino, 0) == 0);
  CHECK(rig.get("ordinary") == content_of(5000, 'b'));
}

TEST_CASE("a file that cannot be mapped for want of a frame keeps nothing of what was filled") {
  CoreRig rig(CoreRig::Data::kExtents);
  rig.region().set_mapping_alignment(kFrame);
  rig.put("file", "content");
  const int count = fill_region(rig);
  for (int i = 0; i < count; i += 2) {
    REQUIRE(rig.fs().unlink(kRootInode, "fill" + std::to_string(i)).ok());
  }
  const std::uint64_t free = rig.fs().status().region_bytes_free;
  REQUIRE(free > 2 * kFrame);
  const InodeNo ino = rig.stat("file").ino;
  Machine machine(rig);
  REQUIRE(machine.map(ino, 0) == EOPNOTSUPP);
  REQUIRE(rig.fs().sync().ok());
  CHECK(rig.stat("file").blocks == kBlock / 512);
  CHECK(rig.fs().status().region_bytes_free + 4 * kBlock >= free);  // a part of the extent map
  CHECK(rig.get("file") == "content");
}

TEST_CASE("what a mapping would be is told to the asker, whoever maps the file elsewhere") {
  for (const auto data : {CoreRig::Data::kExtents, CoreRig::Data::kBacking}) {
    CoreRig rig(data);
    const bool extents = data == CoreRig::Data::kExtents;
    rig.put("file", content_of(5000, 'a'));
    const InodeNo ino = rig.stat("file").ino;
    constexpr Asker kHost{};
    const auto guest = [](ByWindow by_window) {
      return Asker{Reach::kServed, by_window};
    };
    constexpr Asker kUncached{Reach::kDirect, ByWindow::kDurable};
    const auto mapping = [&](const Asker& asker) {
      const auto text = rig.fs().getxattr(ino, "user.pmemfs.mapping", asker);
      REQUIRE(text.ok());
      return std::string(reinterpret_cast<const char*>(text->data()), text->size());
    };
    Machine machine(rig);
    REQUIRE(machine.map(ino, 0) == 0);
    CHECK(mapping(kHost) == (extents ? "cached" : "passthrough"));
    CHECK(mapping(guest(ByWindow::kNone)) == "cached");
    CHECK(mapping(guest(ByWindow::kDurable)) == "cached");
    CHECK(mapping(guest(ByWindow::kAll)) == "window");
    CHECK(mapping(kUncached) == "refused");
    REQUIRE(rig.set_durable("file") == 0);
    CHECK(mapping(kUncached) == "window");
    CHECK(mapping(kHost) == (extents ? "refused" : "passthrough"));
    CHECK(mapping(guest(ByWindow::kNone)) == "refused");
    CHECK(mapping(guest(ByWindow::kDurable)) == "window");
  }
}

TEST_CASE("of a host file a machine gets a descriptor of its own") {
  CoreRig rig(CoreRig::Data::kBacking);
  rig.put("file", content_of(300000, 'a'));
  REQUIRE(rig.set_durable("file") == 0);
  const InodeNo ino = rig.stat("file").ino;
  CHECK(rig.fs().map_window(ino, kFrame, kFrame).code() == ENXIO);
  auto mapped = rig.fs().map_window(ino, 0, kFrame);
  REQUIRE(mapped.ok());
  REQUIRE(mapped->pieces.size() == 1);
  CHECK(mapped->pieces[0].fd_off == 0);
  CHECK(mapped->pieces[0].len == kFrame);
  const base::UniqueFd fd(mapped->fd);
  void* memory = ::mmap(nullptr, kFrame, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  REQUIRE(memory != MAP_FAILED);
  std::memcpy(memory, "guest", 5);
  CHECK(rig.get("file").substr(0, 5) == "guest");
  CHECK(rig.fs().removexattr(kRoot, ino, "user.pmemfs.mmap_durable").code() == EBUSY);
  ::munmap(memory, kFrame);
}

TEST_CASE("a host file is unmapped before it is cut, as far as it is beyond the end") {
  CoreRig rig(CoreRig::Data::kBacking);
  rig.put("file", content_of(300000, 'a'));
  const InodeNo ino = rig.stat("file").ino;
  std::vector<std::uint64_t> cuts;
  std::vector<std::uint64_t> sizes_after;
  rig.fs().set_window_hooks({[&](InodeNo which, std::uint64_t size) {
                               CHECK(which == ino);
                               CHECK(rig.stat("file").size == 300000);
                               const auto now = rig.fs().map_window(ino, 0, kFrame);
                               CHECK(now.code() == (size == 0 ? EAGAIN : 0));
                               if (now) {
                                 ::close(now->fd);
                               }
                               cuts.push_back(size);
                             },
                             [&](InodeNo which) {
                               CHECK(which == ino);
                               sizes_after.push_back(rig.stat("file").size);
                               const auto again = rig.fs().map_window(ino, 0, kFrame);
                               CHECK(again.code() == (sizes_after.back() == 0 ? ENXIO : 0));
                               if (again) {
                                 ::close(again->fd);
                               }
                             }});
  const auto cut_to = [&](std::uint64_t size) {
    AttributeChange cut;
    cut.size = size;
    REQUIRE(rig.fs().setattr(kRoot, ino, cut).ok());
    cut.size = 300000;
    REQUIRE(rig.fs().setattr(kRoot, ino, cut).ok());
  };
  cut_to(10);
  CHECK(cuts.empty());
  auto mapped = rig.fs().map_window(ino, 0, kFrame);
  REQUIRE(mapped.ok());
  ::close(mapped->fd);
  cuts.clear();
  AttributeChange cut;
  cut.size = 10;
  REQUIRE(rig.fs().setattr(kRoot, ino, cut).ok());
  CHECK(cuts == std::vector<std::uint64_t>{10});
  CHECK(sizes_after == std::vector<std::uint64_t>{10});
  cut.size = 300000;
  REQUIRE(rig.fs().setattr(kRoot, ino, cut).ok());
  cuts.clear();
  const auto opened = rig.fs().open_file(ino, O_RDWR | O_TRUNC, false);
  REQUIRE(opened.ok());
  rig.fs().release(opened->handle);
  CHECK(cuts == std::vector<std::uint64_t>{0});
  CHECK(sizes_after == std::vector<std::uint64_t>{10, 0});
}

TEST_CASE(
    "a durable host file, which is not cut, stays mapped; one that is being cut does not become "
    "durable") {
  CoreRig rig(CoreRig::Data::kBacking);
  rig.put("file", content_of(3 * kFrame, 'a'));
  const InodeNo ino = rig.stat("file").ino;
  auto mapped = rig.fs().map_window(ino, 0, kFrame);
  REQUIRE(mapped.ok());
  ::close(mapped->fd);
  int cuts = 0;
  rig.fs().set_window_hooks({[&](InodeNo, std::uint64_t) {
    cuts++;
    CHECK(rig.set_durable("file") == EBUSY);
  }});
  AttributeChange cut;
  cut.size = 2 * kFrame;
  REQUIRE(rig.fs().setattr(kRoot, ino, cut).ok());
  CHECK(cuts == 1);
  REQUIRE(rig.set_durable("file") == 0);
  cut.size = 10;
  CHECK(rig.fs().setattr(kRoot, ino, cut).code() == ETXTBSY);
  CHECK(rig.fs().open_file(ino, O_RDWR | O_TRUNC, false).code() == ETXTBSY);
  CHECK(cuts == 1);
}

TEST_CASE("the kernel knows what lives of a real region's memory") {
  MemoryRegion region(64ULL << 20U);
  auto fs = make_filesystem(*region);
  const auto made = fs->create(kRoot, kRootInode, "file", 0644, O_RDWR);
  REQUIRE(made.ok());
  REQUIRE(fs->write(made->opened.handle, 0, bytes("content"), false, false).ok());
  const InodeNo ino = made->attributes.ino;
  auto mapped = fs->map_window(ino, 0, kFrame);
  REQUIRE(mapped.ok());
  REQUIRE(mapped->pieces.size() == 1);
  base::UniqueFd fd(mapped->fd);
  void* memory = ::mmap(nullptr, kFrame, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(),
                        static_cast<off_t>(mapped->pieces[0].fd_off));
  REQUIRE(memory != MAP_FAILED);
  fd = {};
  fs->unmapped_window(ino, 0, kFrame);
  CHECK(std::memcmp(memory, "content", 7) == 0);
  std::memcpy(memory, "CONTENT", 7);
  std::array<std::byte, 7> read{};
  REQUIRE(fs->read(made->opened.handle, 0, read).ok());
  CHECK(std::memcmp(read.data(), "CONTENT", 7) == 0);
  CHECK(region->exported(ino.value));
  CHECK_FALSE(region->exported(ino.value + 1));
  CHECK(fs->stamp_to_move(ino).code() == EBUSY);
  ::munmap(memory, kFrame);
  CHECK_FALSE(region->any_exported());
}

}  // namespace pmemfs::test
