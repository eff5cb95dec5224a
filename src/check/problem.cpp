#include <array>

#include "check/check.hpp"

namespace pmemfs::check {

std::string_view to_string(Problem problem) {
  static constexpr std::array<std::string_view, kProblems> kNames{
      "superblock copy",
      "superblocks",
      "region size",
      "feature",
      "next generation",
      "journal lane",
      "journal content",
      "media lost",
      "index block",
      "index pointer",
      "inode damaged",
      "inode mode",
      "inode flags",
      "inode time",
      "inode size",
      "stray data",
      "durable length",
      "durable data",
      "extent place",
      "extent overlap",
      "extent block",
      "extent slot",
      "block shared",
      "data blocks",
      "xattr blob",
      "xattr name",
      "xattr duplicate",
      "xattr value",
      "acl",
      "symlink target",
      "directory map",
      "directory block",
      "entry damaged",
      "entry name",
      "entry hash",
      "entry duplicate",
      "entry target",
      "entry type",
      "entry count",
      "directory parent",
      "directory names",
      "root",
      "unreachable",
      "link count",
      "snapshot",
      "host missing",
      "host short",
      "host strange",
      "host owner",
      "host unclaimed",
  };
  return kNames[static_cast<std::size_t>(problem)];
}

std::string_view to_string(Phase phase) {
  static constexpr std::array<std::string_view, 5> kNames{"inodes", "directories", "links", "space",
                                                          "host files"};
  return kNames[static_cast<std::size_t>(phase)];
}

}  // namespace pmemfs::check
