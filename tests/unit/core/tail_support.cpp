#include "tail_support.hpp"

namespace pmemfs::test {

namespace {

std::string long_name(int i) {
  return std::string(100, 'n') + std::to_string(i);
}

bool holds_names(CoreRig& rig, std::string_view dir, int count) {
  const InodeNo ino = rig.stat(dir).ino;
  bool whole = true;
  for (int i = 0; i < count; i++) {
    whole = whole && rig.exists(long_name(i), ino);
  }
  int listed = 0;
  const Status done = rig.fs().list(ino, 0, false, [&](const ListedEntry&) {
    listed++;
    return true;
  });
  return whole && done && listed == count + 2;
}

void add_name(CoreRig& rig, std::string_view dir, int i) {
  const auto made = rig.fs().link(rig.stat("target").ino, rig.stat(dir).ino, long_name(i));
  REQUIRE(made.ok());
  rig.fs().forget(made->ino, 1);
}

void make_target(CoreRig& rig) {
  if (!rig.exists("target")) {
    rig.put("target", "x");
  }
}

void make_directory(CoreRig& rig) {
  make_target(rig);
  rig.mkdir("dir");
  for (int i = 0; i < 200; i++) {
    add_name(rig, "dir", i);
  }
}
bool directory_whole(CoreRig& rig) {
  return holds_names(rig, "dir", 200);
}

// Two that grow in turns: their blocks alternate, and their extents need chains.
void make_split_directories(CoreRig& rig) {
  make_target(rig);
  rig.mkdir("left");
  rig.mkdir("right");
  for (int i = 0; i < 150; i++) {
    add_name(rig, "left", i);
    add_name(rig, "right", i);
  }
}
bool split_directories_whole(CoreRig& rig) {
  return holds_names(rig, "left", 150) && holds_names(rig, "right", 150);
}

// Blocks with holes between them: one extent each, in three extent blocks.
constexpr std::uint64_t kPieces = 300;
void make_chain(CoreRig& rig) {
  const Created file = rig.create("pieces");
  for (std::uint64_t i = 0; i < kPieces; i++) {
    rig.write(file.opened.handle, 2 * i * kBlock, std::string(10, static_cast<char>('a' + i % 26)));
  }
  rig.close(file);
}
bool chain_whole(CoreRig& rig) {
  const auto opened = rig.fs().open_file(rig.stat("pieces").ino, O_RDONLY, false);
  bool whole = opened.ok();
  std::vector<std::byte> read(11);
  for (std::uint64_t i = 0; whole && i < kPieces; i++) {
    const auto n = rig.fs().read(opened->handle, 2 * i * kBlock, read);
    const std::string expected = std::string(10, static_cast<char>('a' + i % 26)) + '\0';
    whole = n && *n == (i + 1 < kPieces ? 11U : 10U) &&
            std::ranges::equal(std::span(read).first(*n), bytes(expected).first(*n));
  }
  rig.fs().release(opened->handle);
  return whole;
}

std::string value_of(int i) {
  return pattern_of(i == 0 ? 500 : 9000U * static_cast<unsigned>(i), static_cast<unsigned>(i));
}
void make_xattrs(CoreRig& rig) {
  rig.put("attributed", "x");
  for (int i = 0; i < 4; i++) {
    REQUIRE(rig.fs()
                .setxattr(kRoot, rig.stat("attributed").ino, "user.a" + std::to_string(i),
                          bytes(value_of(i)), 0, false)
                .ok());
  }
}
bool xattrs_whole(CoreRig& rig) {
  bool whole = true;
  for (int i = 0; i < 4; i++) {
    const auto value = rig.fs().getxattr(rig.stat("attributed").ino, "user.a" + std::to_string(i));
    whole = whole && value && std::ranges::equal(*value, bytes(value_of(i)));
  }
  return whole;
}

void make_symlink(CoreRig& rig) {
  const auto made = rig.fs().symlink(kRoot, kRootInode, "link", pattern_of(3000, 9));
  REQUIRE(made.ok());
  rig.fs().forget(made->ino, 1);
}
bool symlink_whole(CoreRig& rig) {
  const auto target = rig.fs().readlink(rig.stat("link").ino);
  return target && *target == pattern_of(3000, 9);
}

// Two chunks of the inode table.
constexpr int kInodes = 600;
void make_inodes(CoreRig& rig) {
  for (int i = 0; i < kInodes; i++) {
    rig.close(rig.create("inode" + std::to_string(i)));
  }
}
bool inodes_whole(CoreRig& rig) {
  bool whole = true;
  for (int i = 0; i < kInodes; i++) {
    whole = whole && rig.exists("inode" + std::to_string(i));
  }
  return whole;
}

void make_data(CoreRig& rig) {
  rig.put("data", pattern_of(600'000, 5));
}
bool data_whole(CoreRig& rig) {
  return rig.get("data") == pattern_of(600'000, 5);
}

}  // namespace

const std::vector<Sample>& samples() {
  static const std::vector<Sample> kAll = {
      {"a directory", make_directory, directory_whole},
      {"directories in many pieces", make_split_directories, split_directories_whole},
      {"extent blocks", make_chain, chain_whole},
      {"xattrs", make_xattrs, xattrs_whole},
      {"a long symlink", make_symlink, symlink_whole},
      {"inodes", make_inodes, inodes_whole},
      {"data", make_data, data_whole},
  };
  return kAll;
}

}  // namespace pmemfs::test
