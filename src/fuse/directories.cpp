// READDIR, READDIRPLUS, FSYNCDIR.
#include <dirent.h>

#include <array>
#include <vector>

#include "fuse/buffers.hpp"
#include "fuse/convert.hpp"
#include "fuse/operations.hpp"
#include "fuse/reply.hpp"

namespace pmemfs::fuse {
namespace {

// Packs entries into the worker's answer buffer as the kernel wants them.
class Listing {
 public:
  Listing(fuse_req_t req, std::size_t size, bool plus)
      : req_(req), plus_(plus), buffer_(this_thread().buffers->answer(size)) {}

  // False when the entry does not fit.
  bool add(const ListedEntry& entry) {
    if (entry.name.size() >= name_.size()) {
      return true;  // no name of ours; the kernel would refuse the whole answer
    }
    name_[entry.name.copy(name_.data(), name_.size() - 1)] = '\0';
    const std::size_t room = buffer_.size() - used_;
    const std::size_t size = plus_ ? encode_plus(entry, room) : encode(entry, room);
    if (size > room) {
      return false;
    }
    used_ += size;
    if (plus_ && entry.attributes != nullptr) {
      referenced_.push_back(entry.ino);
    }
    return true;
  }

  [[nodiscard]] bool empty() const { return used_ == 0; }
  [[nodiscard]] std::span<const std::byte> bytes() const { return buffer_.first(used_); }
  // Inodes of which the kernel holds a reference once it took the answer.
  [[nodiscard]] const std::vector<InodeNo>& referenced() const { return referenced_; }

 private:
  char* position() { return reinterpret_cast<char*>(buffer_.data() + used_); }

  std::size_t encode(const ListedEntry& entry, std::size_t room) {
    struct stat st {};
    st.st_ino = entry.ino.value;
    st.st_mode = DTTOIF(static_cast<mode_t>(entry.type));
    return fuse_add_direntry(req_, position(), room, name_.data(), &st,
                             static_cast<off_t>(entry.next));
  }

  std::size_t encode_plus(const ListedEntry& entry, std::size_t room) {
    fuse_entry_param param{};  // node id 0: the kernel takes the name alone, for "." and ".."
    if (entry.attributes != nullptr) {
      param = to_entry(*entry.attributes, edge_of(req_).view);
    } else {
      param.attr.st_ino = entry.ino.value;
      param.attr.st_mode = DTTOIF(static_cast<mode_t>(entry.type));
    }
    return fuse_add_direntry_plus(req_, position(), room, name_.data(), &param,
                                  static_cast<off_t>(entry.next));
  }

  fuse_req_t req_;
  bool plus_;
  std::span<std::byte> buffer_;
  std::size_t used_ = 0;
  std::array<char, 256> name_{};  // NUL-terminated, as libfuse wants it
  std::vector<InodeNo> referenced_;
};

void list(fuse_req_t req, fuse_ino_t ino, std::size_t size, off_t offset, bool plus) {
  Edge& edge = edge_of(req);
  Listing listing(req, size, plus);
  const auto status = guarded([&] {
    return edge.fs.list(
        InodeNo(ino), static_cast<std::uint64_t>(offset), plus,
        [&](const ListedEntry& entry) { return listing.add(entry); }, edge.touch_atime);
  });
  // What was packed before an error is handed over: the error comes back with the next request.
  const bool taken =
      !status && listing.empty() ? reply::status(req, status) : reply::bytes(req, listing.bytes());
  if (!taken) {
    for (const InodeNo referenced : listing.referenced()) {
      forget_inode(edge, referenced, 1);
    }
  }
}

void readdir(fuse_req_t req, fuse_ino_t ino, std::size_t size, off_t offset,
             fuse_file_info* /*info*/) {
  list(req, ino, size, offset, false);
}

void readdirplus(fuse_req_t req, fuse_ino_t ino, std::size_t size, off_t offset,
                 fuse_file_info* /*info*/) {
  list(req, ino, size, offset, true);
}

void fsyncdir(fuse_req_t req, fuse_ino_t ino, int /*data_only*/, fuse_file_info* /*info*/) {
  reply::status(req, guarded([&] { return edge_of(req).fs.fsync_dir(InodeNo(ino)); }));
}

}  // namespace

void add_directory_operations(fuse_lowlevel_ops& ops) {
  ops.readdir = readdir;
  ops.readdirplus = readdirplus;
  ops.fsyncdir = fsyncdir;
}

}  // namespace pmemfs::fuse
