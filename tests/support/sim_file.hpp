#pragma once

#include <sys/types.h>

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "base/unique_fd.hpp"
#include "pmemfs/backing_dir.hpp"
#include "support/chooser.hpp"

namespace pmemfs::test {

// One host file as ext4 or xfs with DAX keeps it: a memfd holds what programs see now, and beside
// it stands what media would give after a crash.
//
// Model, by 4 KiB page. A page is a hole, unwritten (allocated, reads as zeros) or written. Changes
// of kind and of size are metadata: not on media before sync(), and a crash keeps or loses each by
// itself. So what was stored in a page that was not *written* at the last sync may turn into zeros.
//   write()        kind and bytes new; a crash may undo it page by page, to the bytes that it
//   replaced touch()        makes a page written; bytes unchanged allocate()     makes holes
//   unwritten; punching and zeroing discard pages truncate()     a crash may give the old size and
//   the discarded pages back mapped stores  go straight to a page that was written at the last
//   sync: they survive, as flushed stores do. A mapped
//                  store elsewhere makes the page written first, which needs a sync to last.
// Not modelled: order between lost changes (a journal keeps more), stores that were not flushed,
// stale data of others. Not thread-safe: SimBackingDir's lock covers it.
class SimFile {
 public:
  explicit SimFile(BackingName name);  // empty, nothing on media; throws std::system_error

  [[nodiscard]] BackingName name() const { return name_; }
  [[nodiscard]] ino_t inode() const { return inode_; }  // of the memfd
  [[nodiscard]] std::uint64_t size() const { return sizes_.back(); }
  // The one that this object holds.
  [[nodiscard]] int descriptor() const { return fd_.get(); }
  // A descriptor with an open file description of its own.
  [[nodiscard]] Result<int> open(bool read_only) const;

  Result<std::size_t> write(std::uint64_t off, const void* src, std::size_t n);
  Status truncate(std::uint64_t size);
  Status allocate(int mode, std::uint64_t off, std::uint64_t len);
  Status touch(std::uint64_t off, std::uint64_t len);
  Status set_times(Timestamp atime, Timestamp mtime);
  void sync();

  // Where its pages lie: each allocation takes the next places of one device that all files share,
  // so what is written in turns alternates, and what one fallocate(2) makes lies together. A place
  // is never used again.
  [[nodiscard]] std::vector<HostExtent> extents();

  // The file as found after a crash, all of it on media.
  [[nodiscard]] std::shared_ptr<SimFile> crash(Chooser& chooser);

 private:
  static constexpr std::uint64_t kPage = 4096;
  using Bytes = std::array<std::byte, kPage>;
  enum class Kind : std::uint8_t { kHole, kUnwritten, kWritten };

  // What media holds of a written page that was changed since the last sync, where `changed` says.
  struct Overwrite {
    Bytes before{};
    Bytes after{};  // as the change left it; bytes that differ now were stored through a mapping
                    // since
    std::bitset<kPage> changed;
    bool discarded = false;  // the media's page is no longer the one programs see
  };
  struct Page {
    Kind now = Kind::kHole;
    Kind media = Kind::kHole;
    std::uint64_t place = 0;  // page of the device, 0: none
    std::unique_ptr<Overwrite> overwrite;

    void become(Kind kind);
  };
  struct Times {
    Timestamp atime;
    Timestamp mtime;
    bool operator==(const Times&) const = default;
  };

  [[nodiscard]] Bytes read_page(std::uint64_t page) const;
  [[nodiscard]] Bytes media_bytes(std::uint64_t number, const Page& page) const;
  [[nodiscard]] Times times() const;
  void before_change(std::uint64_t off, std::uint64_t len);
  void after_change(std::uint64_t off, std::uint64_t len);
  void discard(std::uint64_t off, std::uint64_t len, Kind left);
  Status discard_range(int mode, std::uint64_t off, std::uint64_t len);
  void adopt_mapped_stores();
  void note_size();
  void restore(std::uint64_t number, const Page& page, Kind kind, const Bytes& bytes);

  BackingName name_;
  base::UniqueFd fd_;
  ino_t inode_ = 0;
  std::map<std::uint64_t, Page> pages_;
  std::vector<std::uint64_t> sizes_{0};  // front: on media, back: now
  Times synced_times_;
};

}  // namespace pmemfs::test
