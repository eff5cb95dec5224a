// File data in host files: one for each regular file, offset for offset.
#pragma once

#include <cstddef>
#include <span>

#include "core/context.hpp"
#include "core/parts.hpp"

namespace pmemfs::core::backing_data {

// A descriptor of an inode's host file: the node's own, or one opened for the occasion.
class File {
 public:
  explicit File(int borrowed) : fd_(borrowed) {}
  explicit File(base::UniqueFd own) : own_(std::move(own)), fd_(own_.get()) {}
  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] base::UniqueFd take() { return std::move(own_); }

 private:
  base::UniqueFd own_;
  int fd_;
};

// A host file that an inode is to own: removed again unless the change that says so was committed.
class NewFile {
 public:
  explicit NewFile(Context& c) : c_(c) {}
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;
  ~NewFile();

  // Once. Empty, of a name that was never used.
  Result<base::UniqueFd> create(BackingName name);
  void keep() { made_ = false; }

 private:
  Context& c_;
  BackingName name_;
  bool made_ = false;
};

// Opens the host file, or borrows the node's descriptor. Ends a move of it that is under way. A
// missing file is made anew (empty, with the inode's times) when it was never synced, else EUCLEAN.
// Lock: shared.
Result<File> open(Context& c, const Node& node, const InodeRecord& inode);

// What the host says; a missing file that was never synced is empty. EUCLEAN: missing though
// synced, or shorter than its durable length. Lock: shared.
Result<HostStat> stat(Context& c, const Node& node, const InodeRecord& inode);
// The same, with an `atime` or `mtime` that no later change leaves as it is: before Linux 6.13 the
// host stamps changes alike that are in one tick of its clock (some milliseconds), so such a time
// is put back by a nanosecond. Only what is asked for: the other one may be compared already. Lock:
// exclusive.
Result<HostStat> stat_to_compare(Context& c, Node& node, const InodeRecord& inode, bool atime,
                                 bool mtime);

// Makes [from, to) of the host file written and persistent: allocate, touch, fsync of file and,
// until the inode is `synced`, of directory. Gives a shorter file back on failure. Lock: exclusive.
Status fill(Context& c, const InodeRecord& inode, int fd, std::uint64_t from, std::uint64_t to);

// Brings the promise up to the host file's size: a tail that a crash or a plain write handle left
// is filled and committed. EUCLEAN when the file is shorter than promised. Lock: exclusive.
Status cover_tail(Context& c, Node& node, InodeRecord& inode);

// Commits that host file and name are on media. Lock: exclusive.
Status mark_synced(Context& c, InodeRecord& inode, int fd);

// `quietly`: the host's atime does not move.
Result<std::size_t> read(Context& c, Node& node, const InodeRecord& inode, std::uint64_t off,
                         std::span<const std::span<std::byte>> parts, bool quietly);
// Past the promise of a durable file: whole, or the file does not grow. Else as write(2), short
// counts included. Lock: exclusive when durable and past the promise, else shared.
Result<std::size_t> write(Context& c, Node& node, InodeRecord& inode, std::uint64_t off,
                          Parts parts);
// Zeros stored in place, exactly where asked.
Status write_zeros(Context& c, int fd, std::uint64_t off, std::uint64_t len);
// Lock: exclusive, for both. Durable files only grow (the caller asked).
Status resize(Context& c, Node& node, InodeRecord& inode, std::uint64_t size);
Status allocate(Context& c, Node& node, InodeRecord& inode, int mode, std::uint64_t off,
                std::uint64_t len);
Result<std::uint64_t> seek(Context& c, Node& node, const InodeRecord& inode, std::uint64_t off,
                           int whence);

// Runs `attempt` again when it ended in ENOSPC, after giving back what idle registrations with the
// kernel hold, and after what ends just now has.
template <typename Attempt>
auto with_space(Context& c, const Attempt& attempt) {
  auto first = attempt();
  if (first.code() != ENOSPC) {
    return first;
  }
  c.hooks.drop_all_idle_backing();
  c.endings.wait();
  return attempt();
}

}  // namespace pmemfs::core::backing_data
