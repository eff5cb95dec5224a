#include "backing/names.hpp"

#include "harness/catch.hpp"

using pmemfs::BackingName;
using pmemfs::InodeNo;
namespace backing = pmemfs::backing;

TEST_CASE("names: low byte of the inode, inode, generation, in hex") {
  CHECK(backing::full_name({InodeNo(0x12ab), 7}) == "ab/12ab.7");
  CHECK(backing::full_name({InodeNo(1), 0}) == "01/1.0");
  const BackingName longest{InodeNo(~0ULL), ~0ULL};
  CHECK(backing::full_name(longest) == "ff/ffffffffffffffff.ffffffffffffffff");
  CHECK(backing::Leaf(longest).view().size() == backing::kMaxLeaf);
  CHECK(backing::Leaf(longest).c_str()[backing::kMaxLeaf] == '\0');
}

TEST_CASE("names: what was formatted parses to itself") {
  for (std::uint64_t ino = 1; ino != 0; ino = ino << 1U) {
    for (const std::uint64_t gen : {std::uint64_t{0}, ino - 1, ino, ~ino}) {
      const BackingName name{InodeNo(ino | 1U), gen};
      const unsigned directory = backing::directory_of(name);
      CHECK(backing::parse_leaf(directory, backing::Leaf(name).view()) == name);
      CHECK(backing::parse_directory(backing::directory_name(directory)) == directory);
    }
  }
}

TEST_CASE("names: anything spelled otherwise is foreign") {
  for (const char* text :
       {"", ".", "12ab", "12ab.", ".7", "12AB.7", "012ab.7", "12ab.07", "12ab.7.", "12ab.7 ",
        " 12ab.7", "0x12ab.7", "12ab.-7", "+12ab.7", "12ab.7\n", "112abffffffffffff.7ab",
        "100000000000000ab.1", "ab.10000000000000000"}) {
    INFO(text);
    CHECK_FALSE(backing::parse_leaf(0xab, text));
  }
  CHECK_FALSE(backing::parse_leaf(0xac, "12ab.7"));  // in the wrong directory
  CHECK_FALSE(backing::parse_leaf(0, "0.7"));        // no such inode
  CHECK(backing::parse_leaf(0, "100.0"));
  for (const char* text : {"", "a", "AB", "abc", "0x", "g0", ".."}) {
    INFO(text);
    CHECK_FALSE(backing::parse_directory(text));
  }
}
