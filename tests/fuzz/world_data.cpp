#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#include <cerrno>

#include "world.hpp"

namespace pmemfs::fuzz {
namespace {

constexpr std::uint64_t kFarthest = 120'000;
constexpr std::size_t kLongest = 9000;

void same_code(int expected, int found, const char* what) {
  demand_equal(static_cast<std::uint64_t>(expected), static_cast<std::uint64_t>(found), what);
}

std::span<const std::byte> bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

// Block boundaries and their neighbours more often than others.
std::uint64_t offset(Input& input) {
  const std::uint64_t any = input.word();
  return (any % 4 != 0 ? any / 4 : any / 4 % 30 * 4096 + any / 120 % 3) % kFarthest;
}

}  // namespace

void World::keep_open(HandleId handle, const NodePtr& node) {
  if (open_.size() >= kMostOpen) {
    fs().release(handle);
    return;
  }
  ++node->opens;
  open_.push_back({handle, node});
}

void World::open() {
  const NodePtr n = node();
  if (!n->regular() || open_.size() >= kMostOpen) {
    return;
  }
  const bool empties = input_.byte() % 8 == 0;
  const int expected = empties ? Model::resize(*n, 0) : 0;
  const auto opened = fs().open_file(InodeNo(n->ino), O_RDWR | (empties ? O_TRUNC : 0), false);
  same_code(expected, opened.code(), "open");
  if (opened) {
    keep_open(opened->handle, n);
  }
}

void World::release() {
  if (open_.empty()) {
    return;
  }
  const auto at = open_.begin() + static_cast<std::ptrdiff_t>(input_.below(open_.size()));
  fs().release(at->handle);
  --at->node->opens;
  open_.erase(at);
}

void World::write() {
  const Open* o = file();
  if (o == nullptr) {
    return;
  }
  const bool append = input_.byte() % 4 == 0;
  const std::uint64_t off = append ? o->node->content.size() : offset(input_);
  const std::string content(1 + input_.word() % kLongest,
                            static_cast<char>('a' + input_.below(26)));
  if (off + content.size() > 2 * kFarthest) {
    return;
  }
  const auto n = fs().write(o->handle, off, bytes(content), append, false);
  same_code(0, n.code(), "write");
  demand_equal(content.size(), *n, "the length of a write");
  Model::write(*o->node, off, content);
}

void World::read() {
  const Open* o = file();
  if (o == nullptr) {
    return;
  }
  const std::uint64_t off = offset(input_);
  std::string buffer(input_.word() % kLongest, '?');
  const auto n = fs().read(o->handle, off, std::as_writable_bytes(std::span(buffer)));
  same_code(0, n.code(), "read");
  const std::string& content = o->node->content;
  const std::string expected =
      off < content.size() ? content.substr(off, buffer.size()) : std::string();
  demand_equal(expected.size(), *n, "the length of a read");
  buffer.resize(*n);
  demand(buffer == expected, "the bytes of a read");
}

void World::truncate() {
  const NodePtr n = node();
  const std::uint64_t size = offset(input_);
  const int expected = Model::resize(*n, size);
  AttributeChange change;
  change.size = size;
  const auto done = fs().setattr(kRoot, InodeNo(n->ino), change);
  same_code(expected, done.code(), "truncate");
}

void World::allocate() {
  const Open* o = file();
  if (o == nullptr) {
    return;
  }
  constexpr int kModes[] = {0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                            FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
  const int mode = kModes[input_.below(std::size(kModes))];
  const std::uint64_t off = offset(input_);
  const std::uint64_t len = 1 + input_.word() % 30'000U;
  const Status done = fs().fallocate(kRoot, o->handle, mode, off, len);
  std::string& content = o->node->content;
  const bool punch = (mode & FALLOC_FL_PUNCH_HOLE) != 0;
  if (punch && o->node->durable) {
    return same_code(EOPNOTSUPP, done.code(), "punching a hole into a durable file");
  }
  if (mode != 0 && rig_.backing() && done.code() == EOPNOTSUPP) {
    return;  // as the host has it
  }
  same_code(0, done.code(), "fallocate");
  if ((mode & FALLOC_FL_KEEP_SIZE) == 0 && off + len > content.size()) {
    content.resize(off + len);
  }
  if (mode != 0 && mode != FALLOC_FL_KEEP_SIZE) {
    for (std::uint64_t i = off; i < std::min<std::uint64_t>(off + len, content.size()); ++i) {
      content[i] = '\0';
    }
  }
}

void World::copy() {
  const Open* from = file();
  const Open* to = file();
  if (from == nullptr) {
    return;
  }
  const std::uint64_t at = offset(input_);
  const std::uint64_t to_at = offset(input_);
  const std::uint64_t len = 1 + input_.word() % kLongest;
  if (from->node == to->node && at < to_at + len && to_at < at + len) {
    return;  // the kernel refuses it
  }
  const std::string& content = from->node->content;
  const std::string part = at < content.size() ? content.substr(at, len) : std::string();
  const auto n = fs().copy_range(from->handle, at, to->handle, to_at, len);
  same_code(0, n.code(), "copy_file_range");
  demand_equal(part.size(), *n, "the length of a copy");
  if (!part.empty()) {
    Model::write(*to->node, to_at, part);
  }
}

// Between where it was asked and where it says that data begin there are zeros.
void World::seek() {
  const Open* o = file();
  if (o == nullptr) {
    return;
  }
  const std::uint64_t off = offset(input_);
  const std::string& content = o->node->content;
  const auto hole = fs().seek(o->handle, off, SEEK_HOLE);
  same_code(off < content.size() ? 0 : ENXIO, hole.code(), "SEEK_HOLE");
  const auto data = fs().seek(o->handle, off, SEEK_DATA);
  if (hole) {
    demand(*hole >= off && *hole <= content.size(), "the place of a hole");
    const std::uint64_t until = data ? *data : content.size();
    demand(until >= off && until <= content.size(), "the place of data");
    demand(content.find_first_not_of('\0', off) >= until, "data that SEEK_DATA passes over");
  } else {
    same_code(ENXIO, data.code(), "SEEK_DATA");
  }
}

void World::sync() {
  const Open* o = file();
  same_code(0, o != nullptr ? fs().fsync(o->handle, false).code() : fs().sync().code(), "fsync");
}

}  // namespace pmemfs::fuzz
