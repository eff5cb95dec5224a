#include "check/blobs.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <set>
#include <span>
#include <string_view>

#include "check/text.hpp"
#include "format/checks.hpp"
#include "store/acl.hpp"
#include "store/blob.hpp"
#include "store/xattr_records.hpp"

namespace pmemfs::check {
namespace {

using format::BlobBlock;
using format::Inode;
using format::kBlobPayload;
using store::XattrView;

using Bytes = std::vector<std::byte>;

struct Blob {
  Bytes bytes;
  std::vector<BlockNo> blocks;
  bool whole = false;
};

// Reads chains of one inode and claims their blocks.
class Blobs {
 public:
  Blobs(Pass& p, const Inode& inode)
      : p_(p), ino_(inode.ino.load()), generation_(inode.generation.load()) {}

  // At most `limit` bytes. Not whole: said, as `problem`, of `what`.
  Blob read(BlockNo first, std::size_t limit, Problem problem, std::string_view what) {
    Blob blob;
    for (BlockNo at = first;;) {
      const ByteOff off = format::byte_off(at);
      const char* fault = fault_of(at, blob, limit);
      if (fault != nullptr) {
        const bool lost = p_.layout.usable(at) && p_.is_lost<BlobBlock>(off);
        p_.out.add(lost ? Problem::kMediaLost : problem, InodeNo(ino_), at,
                   "{} cannot be read: block {} {}", what, at.value,
                   lost ? "is lost to a media error" : fault);
        return blob;
      }
      const auto block = p_.load<BlobBlock>(off);
      const auto* data = reinterpret_cast<const std::byte*>(block.data);
      blob.bytes.insert(blob.bytes.end(), data, data + block.length.load());
      blob.blocks.push_back(at);
      if (block.next.load() == 0) {
        blob.whole = true;
        return blob;
      }
      at = BlockNo(block.next.load());
    }
  }

 private:
  // Why the block cannot be the next of the blob; null: it is, and it is claimed.
  const char* fault_of(BlockNo at, const Blob& blob, std::size_t limit) {
    if (!p_.layout.usable(at)) {
      return "cannot be";
    }
    const auto block = p_.load<BlobBlock>(format::byte_off(at));
    if (!store::blob_block_ok(block, ino_, generation_)) {
      return "is damaged or another's";
    }
    const std::uint64_t seen = blob.bytes.size();
    const std::uint64_t total = block.total.load();
    const std::uint64_t length = block.length.load();
    const bool last = block.next.load() == 0;
    if (total > limit || length > total - std::min(total, seen) ||
        (!last && length != kBlobPayload) || (last && seen + length != total)) {
      return "has another length than it should";
    }
    return p_.claim({at, 1}) ? nullptr : "is used twice";
  }

  Pass& p_;
  std::uint64_t ino_;
  std::uint64_t generation_;
};

constexpr std::string_view kSpaces[] = {"user.", "trusted.", "security."};

bool in_known_namespace(std::string_view name) {
  if (name == store::kAclAccess || name == store::kAclDefault) {
    return true;
  }
  return std::any_of(std::begin(kSpaces), std::end(kSpaces), [name](std::string_view space) {
    return name.starts_with(space) && name.size() > space.size();
  });
}

void append(Bytes& out, const void* from, std::size_t n) {
  const auto* bytes = static_cast<const std::byte*>(from);
  out.insert(out.end(), bytes, bytes + n);
}

void append(Bytes& out, const XattrView& v) {
  format::XattrRecord record{};
  record.value_len.store(v.value_len);
  record.name_len.store(static_cast<std::uint16_t>(v.name.size()));
  record.value_blob.store(v.value_blob.value);
  append(out, &record, sizeof(record));
  append(out, v.name.data(), v.name.size());
  append(out, v.value.data(), v.value.size());
}

class XattrCheck {
 public:
  XattrCheck(Pass& p, Inode& inode) : p_(p), inode_(inode), blobs_(p, inode) {}

  void run() {
    const Blob blob = blobs_.read(BlockNo(inode_.xattrs.load()), store::kMaxBlob,
                                  Problem::kXattrBlob, "the list of its extended attributes");
    if (!blob.whole) {
      inode_.xattrs.store(0);
      return;
    }
    const auto mark = p_.out.mark();
    store::XattrReader reader(blob.bytes);
    Bytes kept;
    while (const auto view = reader.next()) {
      if (keep(*view)) {
        append(kept, *view);
      }
    }
    if (reader.damaged()) {
      say(Problem::kXattrBlob, "the list of its extended attributes makes no sense from byte {} on",
          kept.size());
    }
    if (p_.out.since(mark) && p_.repairing()) {
      rewrite(blob, kept);
    }
  }

 private:
  template <typename... Args>
  void say(Problem problem, fmt::format_string<Args...> format, Args&&... args) {
    p_.out.add(problem, InodeNo(inode_.ino.load()), BlockNo(inode_.xattrs.load()), format,
               std::forward<Args>(args)...);
  }

  bool keep(const XattrView& v) {
    const std::string shown = printable(v.name);
    names_ += v.name.size() + 1;
    if (!in_known_namespace(v.name) || v.name.find('\0') != std::string_view::npos ||
        names_ > format::kMaxXattrTotal) {
      say(Problem::kXattrName, "has an extended attribute '{}', which cannot be", shown);
      return false;
    }
    if (!seen_.emplace(v.name).second) {
      say(Problem::kXattrDuplicate, "has the extended attribute '{}' twice", shown);
      return false;
    }
    Bytes value(v.value.begin(), v.value.end());
    if (v.value_blob) {
      Blob blob = blobs_.read(v.value_blob, format::kMaxXattrValue, Problem::kXattrValue,
                              "the value of '" + shown + "'");
      if (!blob.whole) {
        return false;
      }
      value = std::move(blob.bytes);
    }
    if (value.size() != v.value_len) {
      say(Problem::kXattrValue, "the value of '{}' has {} bytes instead of {}", shown, value.size(),
          v.value_len);
      return false;
    }
    return keep_acl(v.name, value);
  }

  // Without its list, the bits of the group say what the list allowed to anybody of it: too much.
  bool keep_acl(std::string_view name, const Bytes& value) {
    const bool access = name == store::kAclAccess;
    if (!access && name != store::kAclDefault) {
      return true;
    }
    const bool fits = access || S_ISDIR(inode_.mode.load());
    if (fits && store::Acl::parse(value).ok()) {
      return true;
    }
    say(Problem::kAcl, "'{}' is no valid access list{}", name,
        access ? "; without it the group has no rights" : "");
    if (access) {
      inode_.mode.store(inode_.mode.load() & ~static_cast<std::uint32_t>(S_IRWXG));
    }
    return false;
  }

  // In place, in the same change as the inode; what would be too much for one goes as a whole.
  void rewrite(const Blob& old, const Bytes& kept) {
    constexpr std::size_t kMost = 8;  // blocks, half of a lane
    const std::size_t n = (kept.size() + kBlobPayload - 1) / kBlobPayload;
    if (kept.empty() || n > kMost) {
      inode_.xattrs.store(0);
      return;
    }
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t length =
          std::min<std::size_t>(kBlobPayload, kept.size() - i * kBlobPayload);
      auto block = p_.load<BlobBlock>(format::byte_off(old.blocks[i]));
      block.length.store(static_cast<std::uint32_t>(length));
      block.total.store(kept.size());
      block.next.store(i + 1 < n ? old.blocks[i + 1].value : 0);
      std::memcpy(block.data, kept.data() + i * kBlobPayload, length);
      format::seal(block);
      p_.fixer->write(format::byte_off(old.blocks[i]), &block, sizeof(block));
    }
  }

  Pass& p_;
  Inode& inode_;
  Blobs blobs_;
  std::set<std::string, std::less<>> seen_;
  std::size_t names_ = 0;
};

// Characters of an inline target before the first zero.
std::size_t inline_length(const Inode& inode) {
  const char* end = std::find(std::begin(inode.target), std::end(inode.target), '\0');
  return static_cast<std::size_t>(end - std::begin(inode.target));
}

}  // namespace

void check_xattrs(Pass& p, Inode& inode) {
  if (inode.xattrs.load() != 0 && inode.mode.load() != 0) {
    XattrCheck(p, inode).run();
  }
}

void check_target(Pass& p, Inode& inode) {
  const InodeNo ino(inode.ino.load());
  const auto mark = p.out.mark();
  std::size_t length = 0;
  if ((inode.flags.load() & format::kInodeInlineTarget) != 0) {
    length = inline_length(inode);
  } else {
    const Blob blob = Blobs(p, inode).read(BlockNo(inode.data.load()), format::kMaxSymlink,
                                           Problem::kSymlinkTarget, "the target of the link");
    const auto zero = std::find(blob.bytes.begin(), blob.bytes.end(), std::byte{0});
    length = blob.whole && zero == blob.bytes.end() ? blob.bytes.size() : 0;
  }
  if (length == inode.size.load() && length > 0) {
    return;
  }
  if (!p.out.since(mark)) {
    p.out.add(Problem::kSymlinkTarget, ino, BlockNo(), "its target has {} bytes instead of {}",
              length, inode.size.load());
  }
  if (length > 0) {
    inode.size.store(length);
  } else {
    inode.mode.store(0);
    inode.nlink.store(0);
  }
}

}  // namespace pmemfs::check
