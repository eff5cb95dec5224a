#include "core/ahead.hpp"

#include <linux/falloc.h>

#include <algorithm>
#include <utility>

#include "base/log.hpp"
#include "core/backing_data.hpp"
#include "core/gate.hpp"

namespace pmemfs::core::ahead {

namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kStepShare = 8;
constexpr std::uint64_t kMostAhead = 64ULL << 20U;
// Blocks of the host's own for a file's map, which count as the file's.
constexpr std::uint64_t kMapSlack = 64ULL << 10U;

std::uint64_t round_up(std::uint64_t n, std::uint64_t unit) {
  return (n + unit - 1) / unit * unit;
}

void release_charge(Context& c, Node& node) {
  c.ahead_bytes -= std::exchange(node.ahead.held, 0);
  node.ahead.end = 0;
}

std::uint64_t budget_of(Context& c, const Node& node) {
  const auto space = c.backing->space();
  if (!space) {
    return 0;
  }
  const std::uint64_t most = space->blocks_available * space->block_size / kShare;
  const std::uint64_t others = c.ahead_bytes.load() - node.ahead.held;
  return most > others ? most - others : 0;
}

bool allocated_beyond_end(Context& c, int fd) {
  const auto host = c.backing->stat_fd(fd);
  return !host || host->blocks * 512 > round_up(host->size, kPage) + kMapSlack;
}

// A daemon that died may have left handles that append without us, and a truncation would cut what
// they do.
bool nobody_appends(Context& c, Node& node, const InodeRecord& inode) {
  return !c.store->mappings_suspected() || prove_unmapped(c, node, inode).ok();
}

}  // namespace

std::uint64_t end_for(std::uint64_t to, bool again, std::uint64_t budget) {
  const std::uint64_t near = round_up(to, format::kFrameSize);
  const std::uint64_t far =
      round_up(to + std::min(to / kStepShare, kMostAhead), format::kFrameSize);
  if (again && far - to <= budget) {
    return far;
  }
  return near - to <= budget ? near : to;
}

void allocate(Context& c, Node& node, int fd, std::uint64_t from, std::uint64_t to) {
  Ahead& ahead = node.ahead;
  if (node.writers == 0 || ahead.not_ours || to <= ahead.end) {
    return;  // without a writer nobody would close and give it back
  }
  const bool again = ahead.end != 0;
  if (!again && allocated_beyond_end(c, fd)) {
    ahead.not_ours = true;
    return;
  }
  const std::uint64_t end = end_for(to, again, budget_of(c, node));
  if (end == to) {
    return;
  }
  const std::uint64_t held = end - to;
  c.ahead_bytes += held - ahead.held;
  ahead = {.end = end, .held = held};
  // In one piece with the growth, or the host would look for a place for each. What fails here is
  // seen by the growth itself, if that needs the space.
  (void)c.backing->allocate(fd, FALLOC_FL_KEEP_SIZE, from, end - from);
}

void leave_to_program(Context& c, Node& node) {
  release_charge(c, node);
  node.ahead.not_ours = true;
}

void give_back(Context& c, Node& node) {
  const std::uint64_t end = node.ahead.end;
  release_charge(c, node);
  node.ahead.not_ours = false;
  if (end == 0 || node.unlinked) {
    return;
  }
  const auto inode = read_inode(c, node);
  if (!inode || !nobody_appends(c, node, *inode)) {
    return;
  }
  const auto file = backing_data::open(c, node, *inode);
  const auto host = file ? c.backing->stat_fd(file->fd()) : Result<HostStat>(file.error());
  if (!host || host->size >= end) {
    return;
  }
  // To the size that it has: ext4, xfs and tmpfs free what lies beyond, and touch nothing before
  // it.
  const Status cut = c.backing->truncate(file->fd(), host->size);
  if (!cut) {
    base::log::warn("inode {}: blocks allocated ahead stay with its file: error {}", node.ino.value,
                    cut.code());
    return;
  }
  (void)c.backing->set_times(file->fd(), host->atime, host->mtime);
}

}  // namespace pmemfs::core::ahead
