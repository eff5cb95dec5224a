#include "store/xattr.hpp"

#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "format/checks.hpp"
#include "harness/catch.hpp"
#include "small_fs.hpp"
#include "store/blob.hpp"
#include "store/impl.hpp"
#include "store/xattr_records.hpp"
#include "support/sim_region.hpp"

using namespace pmemfs;
using store::Change;
using test::must;
using test::SimRegion;
using test::SmallFs;

namespace {

using Bytes = std::vector<std::byte>;

Bytes bytes_of(std::size_t n, unsigned char seed = 1) {
  Bytes bytes(n);
  for (std::size_t i = 0; i < n; ++i) {
    bytes[i] = static_cast<std::byte>(seed + i * 7);
  }
  return bytes;
}

class Fixture {
 public:
  Fixture() : region(32U << 20U) {
    SmallFs::format(region, format::RegionKind::kFile);
    fs.emplace(region);
    ino = must(fs->create("file"));
  }
  Status set(std::string_view name, const Bytes& value, int flags = 0) {
    Change change(fs->store());
    format::Inode inode = fs->inode(ino);
    PMEMFS_CHECK(store::set_xattr(change, inode, name, value, flags));
    change.put_inode(inode);
    return change.commit();
  }
  Status remove(std::string_view name) {
    Change change(fs->store());
    format::Inode inode = fs->inode(ino);
    PMEMFS_CHECK(store::remove_xattr(change, inode, name));
    change.put_inode(inode);
    return change.commit();
  }
  Result<Bytes> get(std::string_view name) {
    return store::get_xattr(fs->store(), fs->inode(ino), name);
  }
  [[nodiscard]] std::vector<std::string> list() {
    return must(store::list_xattrs(fs->store(), fs->inode(ino)));
  }
  [[nodiscard]] std::uint64_t free() { return fs->store().space().blocks_free; }

  SimRegion region;
  std::optional<SmallFs> fs;
  InodeNo ino;
};

}  // namespace

TEST_CASE("blobs of all sizes come back, and give their blocks back") {
  Fixture f;
  const std::uint64_t free = f.free();
  for (const std::size_t size : {0U, 1U, 4031U, 4032U, 4033U, 8064U, 65536U, 300000U}) {
    CAPTURE(size);
    const Bytes bytes = bytes_of(size);
    Change change(f.fs->store());
    const BlockNo first = must(store::write_blob(change, InodeNo(5), 7, bytes));
    REQUIRE(change.commit());
    CHECK(f.free() == free - std::max<std::size_t>(1, (size + 4031) / 4032));
    CHECK(must(store::read_blob(f.fs->store(), InodeNo(5), 7, first, size)) == bytes);
    CHECK(store::read_blob(f.fs->store(), InodeNo(6), 7, first, size).code() == EUCLEAN);
    CHECK(store::read_blob(f.fs->store(), InodeNo(5), 8, first, size).code() == EUCLEAN);
    if (size > 0) {
      CHECK(store::read_blob(f.fs->store(), InodeNo(5), 7, first, size - 1).code() == EUCLEAN);
    }
    Change drop(f.fs->store());
    CHECK(store::release_blob(drop, InodeNo(6), 7, first).code() == EUCLEAN);
    REQUIRE(store::release_blob(drop, InodeNo(5), 7, first));
    REQUIRE(drop.commit());
    CHECK(f.free() == free);
  }
}

TEST_CASE("a blob that bites its tail is EUCLEAN") {
  Fixture f;
  Change change(f.fs->store());
  const BlockNo first = must(store::write_blob(change, InodeNo(5), 7, bytes_of(3 * 4032)));
  REQUIRE(change.commit());
  format::BlobBlock block{};
  std::memcpy(&block, f.region.data() + format::byte_off(first).value, sizeof(block));
  for (const std::uint64_t total : {3 * 4032ULL, 1ULL << 60U}) {
    block.next.store(first.value);
    block.total.store(total);
    format::seal(block);
    f.region.poke(format::byte_off(first), &block, sizeof(block));
    CHECK(store::read_blob(f.fs->store(), InodeNo(5), 7, first, 1U << 20U).code() == EUCLEAN);
    CHECK(store::read_blob(f.fs->store(), InodeNo(5), 7, BlockNo(1), 1U << 20U).code() == EUCLEAN);
    Change drop(f.fs->store());
    CHECK(store::release_blob(drop, InodeNo(5), 7, first).code() == EUCLEAN);
  }
}

TEST_CASE("xattrs: set, get, list, replace, remove, and their errors") {
  Fixture f;
  const std::uint64_t free = f.free();
  CHECK(f.get("user.a").code() == ENODATA);
  CHECK(f.remove("user.a").code() == ENODATA);
  CHECK(f.list().empty());
  CHECK(f.set("user.a", bytes_of(5), XATTR_REPLACE).code() == ENODATA);
  REQUIRE(f.set("user.a", bytes_of(5), XATTR_CREATE));
  CHECK(f.set("user.a", bytes_of(6), XATTR_CREATE).code() == EEXIST);
  CHECK(must(f.get("user.a")) == bytes_of(5));
  REQUIRE(f.set("user.b", bytes_of(0)));
  REQUIRE(f.set("user.a", bytes_of(2000, 9), XATTR_REPLACE));
  CHECK(must(f.get("user.a")) == bytes_of(2000, 9));
  CHECK(must(f.get("user.b")).empty());
  CHECK(f.list() == std::vector<std::string>{"user.a", "user.b"});
  REQUIRE(f.remove("user.a"));
  CHECK(f.list() == std::vector<std::string>{"user.b"});
  REQUIRE(f.remove("user.b"));
  CHECK(f.fs->inode(f.ino).xattrs.load() == 0);
  CHECK(f.free() == free);
}

TEST_CASE("xattr limits") {
  Fixture f;
  CHECK(f.set("", bytes_of(1)).code() == ERANGE);
  CHECK(f.set(std::string(256, 'n'), bytes_of(1)).code() == ERANGE);
  CHECK(f.set(std::string(255, 'n'), bytes_of(1)));
  CHECK(f.set("user.big", bytes_of(format::kMaxXattrValue + 1)).code() == E2BIG);
  for (const std::size_t size : {1024U, 1025U, 65535U, 65536U}) {
    REQUIRE(f.set("user.big", bytes_of(size)));
    CHECK(must(f.get("user.big")) == bytes_of(size));
  }
}

TEST_CASE("the names of all xattrs together fit a listxattr, and no more") {
  Fixture f;
  std::size_t total = 0;
  for (int i = 0; total + 256 <= format::kMaxXattrTotal; ++i) {
    std::string name = "user." + std::to_string(i);
    name.resize(255, 'x');
    REQUIRE(f.set(name, {}));
    total += name.size() + 1;
  }
  CHECK(total == format::kMaxXattrTotal);
  CHECK(f.set("user.y", {}).code() == ENOSPC);
  std::string last = "user.255";
  last.resize(255, 'x');
  CHECK(f.set(last, bytes_of(3)));
  CHECK(f.list().size() == 256);
  REQUIRE(f.remove(last));
  CHECK(f.set("user.y", {}));
}

TEST_CASE("random xattrs match a model and give everything back") {
  Fixture f;
  const std::uint64_t free = f.free();
  std::map<std::string, Bytes> model;
  std::mt19937_64 rng(17);
  for (int i = 0; i < 600; ++i) {
    const std::string name = "user." + std::to_string(rng() % 12);
    if (rng() % 3 == 0) {
      REQUIRE(f.remove(name).code() == (model.erase(name) == 1 ? 0 : ENODATA));
    } else {
      const Bytes value =
          bytes_of(rng() % (rng() % 2 == 0 ? 1200 : 20000), static_cast<unsigned char>(i));
      REQUIRE(f.set(name, value));
      model[name] = value;
    }
    for (const auto& [key, value] : model) {
      REQUIRE(must(f.get(key)) == value);
    }
    REQUIRE(f.list().size() == model.size());
  }
  REQUIRE(f.fs->unlink("file"));
  CHECK(f.free() == free);
}

TEST_CASE("a change that fails for want of space loses no xattr and no block") {
  Fixture f;
  REQUIRE(f.set("user.a", bytes_of(100)));
  Change hog(f.fs->store());
  while (f.free() > 5) {
    must(hog.allocate(f.free() - 5));
  }
  CHECK(f.set("user.b", bytes_of(65536)).code() == ENOSPC);
  CHECK(f.free() == 5);
  CHECK(must(f.get("user.a")) == bytes_of(100));
  Change change(f.fs->store());
  format::Inode inode = f.fs->inode(f.ino);
  while (f.free() > 4) {
    must(hog.allocate(1));
  }
  // Room for the value, none for the records: the value's blocks come back at once.
  CHECK(store::set_xattr(change, inode, "user.b", bytes_of(4 * 4032), 0).code() == ENOSPC);
  CHECK(f.free() == 4);
}

TEST_CASE("records that make no sense stop the reader") {
  Bytes bytes(100);
  const auto read = [&](std::uint32_t value_len, std::uint16_t name_len, std::size_t size) {
    format::XattrRecord record{};
    record.value_len.store(value_len);
    record.name_len.store(name_len);
    std::memcpy(bytes.data(), &record, sizeof(record));
    store::XattrReader reader(std::span<const std::byte>(bytes).first(size));
    const bool any = reader.next().has_value();
    CHECK(reader.damaged() != any);
  };
  read(10, 10, 36);
  read(10, 10, 35);
  read(10, 0, 36);
  read(10, 256, 100);
  read(0xFFFFFFFF, 1, 100);
  read(0, 1, 15);
}
