#include "format/checks.hpp"

#include <cstddef>

#include "base/crc32c.hpp"

namespace pmemfs::format {
namespace {

using base::crc32c;

// The crc of a structure whose crc is its last member and covers nothing else.
template <typename T>
std::uint32_t head_crc(const T& t) {
  return crc32c(0, &t, offsetof(T, crc));
}

std::uint32_t crc_of(const IndexBlock& b) {
  return crc32c(head_crc(b), b.child, sizeof(b.child));
}

std::uint32_t crc_of(const Dentry& d, std::string_view name) {
  constexpr std::size_t kCovered = offsetof(Dentry, hash);
  const auto* fixed = reinterpret_cast<const std::byte*>(&d) + kCovered;
  return crc32c(crc32c(0, fixed, sizeof(Dentry) - kCovered), name.data(), name.size());
}

}  // namespace

void seal(Superblock& s) {
  s.crc.store(head_crc(s));
}
bool valid(const Superblock& s) {
  return s.crc.load() == head_crc(s);
}

void seal(Inode& i) {
  i.crc.store(head_crc(i));
}
bool valid(const Inode& i) {
  return i.crc.load() == head_crc(i);
}

void seal(IndexBlock& b) {
  b.crc.store(crc_of(b));
}
bool valid(const IndexBlock& b) {
  return b.crc.load() == crc_of(b);
}

void seal(ExtentSlot& s) {
  s.crc.store(head_crc(s));
}
bool valid(const ExtentSlot& s) {
  return s.crc.load() == head_crc(s);
}

void seal(ExtentBlock& b) {
  b.crc.store(head_crc(b));
}
bool valid(const ExtentBlock& b) {
  return b.crc.load() == head_crc(b);
}

void seal(DirHeader& h) {
  h.crc.store(head_crc(h));
}
bool valid(const DirHeader& h) {
  return h.crc.load() == head_crc(h);
}

void seal(Dentry& d, std::string_view name) {
  d.crc.store(crc_of(d, name));
}
bool valid(const Dentry& d, std::string_view name) {
  return d.crc.load() == crc_of(d, name);
}

void seal(BlobBlock& b) {
  b.crc.store(crc32c(head_crc(b), b.data, b.length.load()));
}
bool valid(const BlobBlock& b) {
  const std::uint32_t length = b.length.load();
  return length <= kBlobPayload && b.crc.load() == crc32c(head_crc(b), b.data, length);
}

void seal(LaneHeader& h, const void* records, std::size_t bytes) {
  h.crc.store(crc32c(head_crc(h), records, bytes));
}
bool valid(const LaneHeader& h, const void* records, std::size_t bytes) {
  return h.crc.load() == crc32c(head_crc(h), records, bytes);
}

void seal(SnapshotHeader& h, const void* runs, std::size_t bytes) {
  h.crc.store(crc32c(head_crc(h), runs, bytes));
}
bool valid(const SnapshotHeader& h, const void* runs, std::size_t bytes) {
  return h.crc.load() == crc32c(head_crc(h), runs, bytes);
}

std::uint32_t name_hash(std::string_view name) {
  return crc32c(0, name.data(), name.size());
}

}  // namespace pmemfs::format
