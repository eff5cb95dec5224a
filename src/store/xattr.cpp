#include "store/xattr.hpp"

#include <sys/xattr.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "store/blob.hpp"
#include "store/xattr_records.hpp"

namespace pmemfs::store {
namespace {

using Bytes = std::vector<std::byte>;

constexpr std::uint64_t kMostMoved = 512;  // blocks, and what the last blob has beyond them

// The record blob of an inode, decoded. The views point into `bytes`.
struct Records {
  Bytes bytes;
  std::vector<XattrView> views;

  [[nodiscard]] auto find(std::string_view name) {
    return std::find_if(views.begin(), views.end(),
                        [&](const XattrView& v) { return v.name == name; });
  }
};

InodeNo owner_of(const format::Inode& inode) {
  return InodeNo(inode.ino.load());
}

Result<Bytes> read_of(const Store& store, const format::Inode& inode, BlockNo first,
                      std::size_t limit) {
  return read_blob(store, owner_of(inode), inode.generation.load(), first, limit);
}

Result<Records> load(const Store& store, const format::Inode& inode) {
  Records records;
  const BlockNo first(inode.xattrs.load());
  if (!first) {
    return records;
  }
  PMEMFS_TRY(records.bytes, read_of(store, inode, first, kMaxBlob));
  XattrReader reader(records.bytes);
  while (const auto view = reader.next()) {
    records.views.push_back(*view);
  }
  if (reader.damaged()) {
    return Error(EUCLEAN);
  }
  return records;
}

void append(Bytes& out, const void* from, std::size_t n) {
  const auto* bytes = static_cast<const std::byte*>(from);
  out.insert(out.end(), bytes, bytes + n);
}

Bytes encode(const std::vector<XattrView>& views) {
  Bytes out;
  for (const XattrView& v : views) {
    format::XattrRecord record{};
    record.value_len.store(v.value_len);
    record.name_len.store(static_cast<std::uint16_t>(v.name.size()));
    record.value_blob.store(v.value_blob.value);
    append(out, &record, sizeof(record));
    append(out, v.name.data(), v.name.size());
    append(out, v.value.data(), v.value.size());
  }
  return out;
}

// The bytes that listxattr(2) would return.
std::size_t list_size(const std::vector<XattrView>& views) {
  std::size_t n = 0;
  for (const XattrView& v : views) {
    n += v.name.size() + 1;
  }
  return n;
}

// Blocks of blobs that a change stops to need, found before anything changes.
class Drops {
 public:
  Drops(Change& change, const format::Inode& inode) : change_(change), inode_(inode) {}

  // Reads the chain now, so that damage shows in time; 0 is nothing to drop.
  Status add(BlockNo first, std::size_t limit) {
    if (first) {
      PMEMFS_TRY([[maybe_unused]] const Bytes whole,
                 read_of(change_.store(), inode_, first, limit));
      firsts_.push_back(first);
    }
    return {};
  }
  Status release() {
    for (const BlockNo first : firsts_) {
      PMEMFS_CHECK(release_blob(change_, owner_of(inode_), inode_.generation.load(), first));
    }
    return {};
  }

 private:
  Change& change_;
  const format::Inode& inode_;
  std::vector<BlockNo> firsts_;
};

// Writes the records in place of the inode's present ones, whose blocks `drops` releases.
Status replace_records(Change& change, format::Inode& inode, const std::vector<XattrView>& views,
                       Drops& drops) {
  PMEMFS_CHECK(drops.add(BlockNo(inode.xattrs.load()), kMaxBlob));
  BlockNo first;
  if (!views.empty()) {
    PMEMFS_TRY(first, write_blob(change, owner_of(inode), inode.generation.load(), encode(views)));
  }
  PMEMFS_CHECK(drops.release());
  inode.xattrs.store(first.value);
  return {};
}

Status check_limits(std::string_view name, std::span<const std::byte> value) {
  if (name.empty() || name.size() > format::kMaxName) {
    return Error(ERANGE);
  }
  if (value.size() > format::kMaxXattrValue) {
    return Error(E2BIG);
  }
  return {};
}

}  // namespace

Result<Bytes> get_xattr(const Store& store, const format::Inode& inode, std::string_view name) {
  PMEMFS_TRY(Records records, load(store, inode));
  const auto found = records.find(name);
  if (found == records.views.end()) {
    return Error(ENODATA);
  }
  if (!found->value_blob) {
    return Bytes(found->value.begin(), found->value.end());
  }
  PMEMFS_TRY(Bytes value, read_of(store, inode, found->value_blob, format::kMaxXattrValue));
  if (value.size() != found->value_len) {
    return Error(EUCLEAN);
  }
  return value;
}

Result<std::vector<std::string>> list_xattrs(const Store& store, const format::Inode& inode) {
  PMEMFS_TRY(const Records records, load(store, inode));
  std::vector<std::string> names;
  names.reserve(records.views.size());
  for (const XattrView& v : records.views) {
    names.emplace_back(v.name);
  }
  return names;
}

Status set_xattr(Change& change, format::Inode& inode, std::string_view name,
                 std::span<const std::byte> value, int flags) {
  PMEMFS_CHECK(check_limits(name, value));
  PMEMFS_TRY(Records records, load(change.store(), inode));
  auto found = records.find(name);
  const bool exists = found != records.views.end();
  if (exists && (flags & XATTR_CREATE) != 0) {
    return Error(EEXIST);
  }
  if (!exists && (flags & XATTR_REPLACE) != 0) {
    return Error(ENODATA);
  }
  if (!exists && list_size(records.views) + name.size() + 1 > format::kMaxXattrTotal) {
    return Error(ENOSPC);
  }
  Drops drops(change, inode);
  PMEMFS_CHECK(drops.add(exists ? found->value_blob : BlockNo(), format::kMaxXattrValue));
  const std::size_t mark = change.mark();
  XattrView now{name, static_cast<std::uint32_t>(value.size()), BlockNo(), value};
  if (value.size() > format::kXattrInlineMax) {
    PMEMFS_TRY(now.value_blob, write_blob(change, owner_of(inode), inode.generation.load(), value));
    now.value = {};
  }
  if (exists) {
    *found = now;
  } else {
    records.views.push_back(now);
  }
  const Status done = replace_records(change, inode, records.views, drops);
  if (!done) {
    change.give_back_since(mark);
  }
  return done;
}

Status remove_xattr(Change& change, format::Inode& inode, std::string_view name) {
  PMEMFS_TRY(Records records, load(change.store(), inode));
  const auto found = records.find(name);
  if (found == records.views.end()) {
    return Error(ENODATA);
  }
  Drops drops(change, inode);
  PMEMFS_CHECK(drops.add(found->value_blob, format::kMaxXattrValue));
  records.views.erase(found);
  return replace_records(change, inode, records.views, drops);
}

Result<std::uint64_t> xattr_blocks_in(const Store& store, const format::Inode& inode,
                                      BlockRun range) {
  const BlockNo first(inode.xattrs.load());
  if (!first) {
    return std::uint64_t{0};
  }
  const auto count = [&](BlockNo blob) {
    return blob_blocks_in(store, owner_of(inode), inode.generation.load(), blob, range);
  };
  PMEMFS_TRY(std::uint64_t n, count(first));
  PMEMFS_TRY(const Records records, load(store, inode));
  for (const XattrView& v : records.views) {
    if (v.value_blob) {
      PMEMFS_TRY(const std::uint64_t more, count(v.value_blob));
      n += more;
    }
  }
  return n;
}

Result<std::uint64_t> move_xattrs(Change& change, format::Inode& inode, BlockRun range) {
  const BlockNo first(inode.xattrs.load());
  std::uint64_t moved = 0;
  const auto moved_blob = [&](BlockNo blob) {
    return move_blob(change, owner_of(inode), inode.generation.load(), blob, range, moved);
  };
  if (!first) {
    return moved;
  }
  PMEMFS_TRY(Records records, load(change.store(), inode));
  for (XattrView& v : records.views) {
    if (v.value_blob && moved < kMostMoved) {
      PMEMFS_TRY(v.value_blob, moved_blob(v.value_blob));
    }
  }
  if (moved > 0) {
    Drops drops(change, inode);
    PMEMFS_CHECK(replace_records(change, inode, records.views, drops));
    return moved;
  }
  PMEMFS_TRY(const BlockNo to, moved_blob(first));
  inode.xattrs.store(to.value);
  return moved;
}

Status release_xattrs(Change& change, const format::Inode& inode) {
  const BlockNo first(inode.xattrs.load());
  if (!first) {
    return {};
  }
  PMEMFS_TRY(const Records records, load(change.store(), inode));
  Drops drops(change, inode);
  for (const XattrView& v : records.views) {
    PMEMFS_CHECK(drops.add(v.value_blob, format::kMaxXattrValue));
  }
  PMEMFS_CHECK(drops.add(first, kMaxBlob));
  return drops.release();
}

}  // namespace pmemfs::store
