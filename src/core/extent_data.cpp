#include "core/extent_data.hpp"

#include <linux/falloc.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "base/media_faults.hpp"
#include "core/extent_edit.hpp"
#include "core/extent_fill.hpp"
#include "core/extent_heal.hpp"
#include "core/gate.hpp"
#include "core/quota.hpp"
#include "store/extent_map.hpp"
#include "store/store.hpp"

namespace pmemfs::core::extent_data {

namespace {

using store::Mapping;

constexpr int kTries = 3;  // of a write that meets media errors

// Makes every block that [range) touches mapped and written.
Status make_written(Edit& edit, InodeRecord& inode, Range range) {
  const std::uint64_t end = blocks_for(range.end);
  for (std::uint64_t at = range.begin / kBlock; at < end;) {
    const Mapping m = piece(edit.map(), at, end);
    if (!m.physical) {
      PMEMFS_TRY(const std::uint64_t n, map_hole(edit, inode, at, m.count, false, range));
      at += n;
      continue;
    }
    if (m.unwritten) {
      PMEMFS_CHECK(use_unwritten(edit, inode, m, range));
    }
    at += m.count;
  }
  return {};
}

// What lies mapped beyond the size is left over from a truncation: of its last block, or of one
// that a crash cut short (shrink). Zeros before growth to `until` shows it. Nobody can see it yet,
// so this needs no journal.
void zero_leftovers(Edit& edit, const InodeRecord& inode, std::uint64_t until) {
  zero_written(edit, {inode.size.load(), until});
}

void stream_piece(Edit& edit, std::uint64_t off, std::span<const std::byte> src) {
  while (!src.empty()) {
    const Mapping m = edit.map().at(off / kBlock);
    const std::uint64_t in_block = off % kBlock;
    const auto n =
        static_cast<std::size_t>(std::min<std::uint64_t>(src.size(), m.count * kBlock - in_block));
    edit.change().region().stream(format::byte_off(m.physical, in_block), src.data(), n);
    src = src.subspan(n);
    off += n;
  }
}

// A piece may be memory that is lost: then the commit fails.
void stream_data(Edit& edit, std::uint64_t off, Parts parts) {
  for (const std::span<const std::byte> part : parts) {
    stream_piece(edit, off, part);
    off += part.size();
  }
  edit.change().needs_fence();
}

void stamp(InodeRecord& inode) {
  const Timestamp t = now();
  store::set_mtime(inode, t);
  store::set_ctime(inode, t);
}

void set_size(InodeRecord& inode, std::uint64_t size) {
  inode.size.store(size);
  if (is_durable(inode)) {
    inode.durable_len.store(size);
  }
}

}  // namespace

Result<std::size_t> read(Context& c, const Node& node, const InodeRecord& inode, std::uint64_t off,
                         std::span<std::byte> dst) {
  const std::uint64_t size = inode.size.load();
  if (off >= size) {
    return std::size_t{0};
  }
  const std::size_t total =
      static_cast<std::size_t>(std::min<std::uint64_t>(dst.size(), size - off));
  for (std::size_t done = 0; done < total;) {
    const std::uint64_t in_block = (off + done) % kBlock;
    const Mapping m = node.extents->at((off + done) / kBlock);
    const auto n = static_cast<std::size_t>(
        std::min<std::uint64_t>(total - done, m.count * kBlock - in_block));
    if (!m.physical || m.unwritten) {
      std::memset(dst.data() + done, 0, n);
    } else {
      const ByteOff from = format::byte_off(m.physical, in_block);
      if (c.store->region().lost(from, n)) {
        return Error(EIO);
      }
      std::memcpy(dst.data() + done, c.store->region().data() + from.value, n);
      if (c.store->region().lost(from, n)) {
        return Error(EIO);
      }
    }
    done += n;
  }
  return total;
}

Result<std::uint64_t> seek(const Node& node, const InodeRecord& inode, std::uint64_t off,
                           int whence) {
  const std::uint64_t size = inode.size.load();
  if (off >= size) {
    return Error(ENXIO);
  }
  for (std::uint64_t at = off; at < size;) {
    const Mapping m = node.extents->at(at / kBlock);
    const bool data = m.physical && !m.unwritten;
    if (data == (whence == SEEK_DATA)) {
      return at;
    }
    at = (m.logical + m.count) * kBlock;
  }
  if (whence == SEEK_DATA) {
    return Error(ENXIO);
  }
  return size;
}

// What a durable file needs to grow, but for its size.
static Status fill_growth(Context& c, Node& node, InodeRecord& inode, std::uint64_t size) {
  const std::uint64_t old_size = inode.size.load();
  {
    Edit edit(c, node);  // before the filling, whose blocks are zeros already
    zero_leftovers(edit, inode, size);
    PMEMFS_CHECK(edit.commit(inode));
  }
  return fill(c, node, inode, old_size, size);
}

// The size moves with the data, for a durable file, too.
static Result<std::size_t> write_once(Context& c, Node& node, InodeRecord& inode, std::uint64_t off,
                                      Parts parts) {
  const std::size_t total = size_of(parts);
  const std::uint64_t end = off + total;
  const std::uint64_t old_size = inode.size.load();
  std::optional<DurableReservation> growth;
  PMEMFS_CHECK(load(c, node, inode));
  if (is_durable(inode) && end > old_size) {
    if (!growth.emplace(c, end - old_size).granted()) {
      return Error(EDQUOT);
    }
    PMEMFS_CHECK(fill_growth(c, node, inode, end));
    PMEMFS_CHECK(load(c, node, inode));
  }
  InodeRecord changed = inode;
  Edit edit(c, node);
  LostBlocks lost(c, edit);
  PMEMFS_CHECK(lost.replace(changed, {off, end}));
  if (!growth) {
    zero_leftovers(edit, changed, off);
  }
  PMEMFS_CHECK(make_written(edit, changed, {off, end}));
  stream_data(edit, off, parts);
  if (end > old_size) {
    set_size(changed, end);
  }
  stamp(changed);
  PMEMFS_CHECK(edit.commit(changed));
  lost.settle();
  inode = changed;
  return total;
}

// A write that meets an error knows then where it is, and may go around it.
Result<std::size_t> write(Context& c, Node& node, InodeRecord& inode, std::uint64_t off,
                          Parts parts) {
  const Region& region = c.store->region();
  for (int tries = kTries;; --tries) {
    const base::MediaErrorsForgiven told_by_the_result;
    const std::uint64_t events = region.media_events();
    const auto written = write_once(c, node, inode, off, parts);
    if (written.code() != EIO || region.media_events() == events || tries == 1) {
      return written;
    }
  }
}

// The size is set by the first change, so that no crash shows a part of it.
static Status shrink(Context& c, Node& node, InodeRecord& inode, std::uint64_t size) {
  inode.size.store(size);
  stamp(inode);
  if (exported(c, inode)) {
    return commit_inode(c, inode);  // its blocks go when nobody maps them: core/windows.cpp
  }
  return trim(c, node, inode);
}

Status trim(Context& c, Node& node, InodeRecord& inode) {
  const std::uint64_t keep = blocks_for(inode.size.load());
  for (bool more = true; more;) {
    PMEMFS_CHECK(load(c, node, inode));
    Edit edit(c, node);
    const std::vector<Mapping> all = edit.map().all();
    auto last = all.rbegin();
    while (last != all.rend() && last->logical + last->count > keep && !edit.full()) {
      const std::uint64_t from = std::max(last->logical, keep);
      PMEMFS_CHECK(
          edit.map().remove(edit.change(), inode, from, last->logical + last->count - from));
      ++last;
    }
    more = last != all.rend() && last->logical + last->count > keep;
    PMEMFS_CHECK(edit.commit(inode));
  }
  return {};
}

static Status grow_durable(Context& c, Node& node, InodeRecord& inode, std::uint64_t size) {
  const DurableReservation room(c, size - inode.durable_len.load());
  if (!room.granted()) {
    return Error(EDQUOT);
  }
  PMEMFS_CHECK(fill_growth(c, node, inode, size));
  Edit edit(c, node);
  set_size(inode, size);
  stamp(inode);
  return edit.commit(inode);
}

Status resize(Context& c, Node& node, InodeRecord& inode, std::uint64_t size) {
  PMEMFS_CHECK(load(c, node, inode));
  const std::uint64_t old_size = inode.size.load();
  if (size < old_size) {
    return shrink(c, node, inode, size);
  }
  if (is_durable(inode) && size > old_size) {
    return grow_durable(c, node, inode, size);
  }
  Edit edit(c, node);
  zero_leftovers(edit, inode, size);
  set_size(inode, size);
  stamp(inode);
  return edit.commit(inode);
}

static Status punch(Context& c, Node& node, InodeRecord& inode, Range range) {
  const std::uint64_t first = blocks_for(range.begin);
  const std::uint64_t last = range.end / kBlock;
  stamp(inode);
  if (first >= last || exported(c, inode)) {
    Edit edit(c, node);
    zero_written(edit, range);
    return edit.commit(inode);
  }
  {
    Edit edit(c, node);
    zero_written(edit, {range.begin, first * kBlock});
    zero_written(edit, {last * kBlock, range.end});
    PMEMFS_CHECK(edit.commit(inode));
  }
  for (std::uint64_t at = first; at < last;) {
    PMEMFS_CHECK(load(c, node, inode));
    Edit edit(c, node);
    while (at < last && !edit.full()) {
      const Mapping m = edit.map().next(at);
      if (m.count == 0 || m.logical >= last) {
        at = last;
        break;
      }
      const std::uint64_t from = std::max(at, m.logical);
      const std::uint64_t to = std::min(last, m.logical + m.count);
      PMEMFS_CHECK(edit.map().remove(edit.change(), inode, from, to - from));
      at = to;
    }
    PMEMFS_CHECK(edit.commit(inode));
  }
  return {};
}

// Reserves unwritten blocks for the holes of the range; a durable file gets written ones.
static Status reserve(Context& c, Node& node, InodeRecord& inode, Range range) {
  const std::uint64_t end = blocks_for(range.end);
  for (std::uint64_t at = range.begin / kBlock; at < end;) {
    PMEMFS_CHECK(load(c, node, inode));
    Edit edit(c, node);
    while (at < end && !edit.full()) {
      const Mapping m = piece(edit.map(), at, end);
      std::uint64_t n = m.count;
      if (!m.physical) {
        PMEMFS_TRY(n, map_hole(edit, inode, at, m.count, !is_durable(inode), {}));
      }
      at += n;
    }
    PMEMFS_CHECK(edit.commit(inode));
  }
  return {};
}

Status allocate(Context& c, Node& node, InodeRecord& inode, int mode, std::uint64_t off,
                std::uint64_t len) {
  const bool keep_size = (mode & FALLOC_FL_KEEP_SIZE) != 0;
  const std::uint64_t end = off + len;
  if ((mode & FALLOC_FL_PUNCH_HOLE) != 0) {
    if (is_durable(inode)) {
      return Error(EOPNOTSUPP);
    }
    PMEMFS_CHECK(load(c, node, inode));
    return punch(c, node, inode, {off, end});
  }
  if (!keep_size && is_durable(inode) && end > inode.size.load()) {
    PMEMFS_CHECK(resize(c, node, inode, end));
  }
  PMEMFS_CHECK(reserve(c, node, inode, {off, end}));
  PMEMFS_CHECK(load(c, node, inode));
  Edit edit(c, node);
  if ((mode & FALLOC_FL_ZERO_RANGE) != 0) {
    zero_written(edit, {off, end});
  }
  if (!keep_size && end > inode.size.load()) {
    zero_leftovers(edit, inode, end);
    set_size(inode, end);
  }
  stamp(inode);
  return edit.commit(inode);
}

}  // namespace pmemfs::core::extent_data
