// The books of one virtual machine's window: which part of which file lies where in it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "base/fair_mutex.hpp"
#include "pmemfs/filesystem.hpp"
#include "pmemfs/result.hpp"
#include "virtiofs/file_tally.hpp"

namespace pmemfs::virtiofs {

// The guest names places of 2 MiB; each is mapped at once, in as many pieces as the file has there,
// and taken back at once. All are mapped writable from the first time on: a VMM maps nothing over
// what is mapped, nor anything read-only (QEMU), and a guest that comes to write asks for the same
// place again. So a guest that may not write has no window.
//
// Thread-safe; one request to the VMM is under way at a time, and whoever waits to make one has its
// turn after a place of each who came before. Who cuts a file waits for no window in which it is
// not.
class Window {
 public:
  static constexpr std::uint64_t kPlace = 2ULL << 20U;  // bytes

  // How the VMM is asked: Device::map and Device::unmap.
  struct Vmm {
    std::function<Status(int fd, std::uint64_t fd_off, std::uint64_t window_off, std::uint64_t len)>
        map;
    std::function<Status(std::uint64_t window_off, std::uint64_t len)> unmap;
  };

  // `fs` outlives it. `bytes`: its size.
  Window(Filesystem& fs, std::uint64_t bytes, Vmm vmm)
      : fs_(fs), bytes_(bytes), vmm_(std::move(vmm)) {}

  // All of these are in bytes, multiples of kPlace.

  // What the guest had there goes. When a part fails nothing of that place is mapped. EINVAL:
  // beyond the window; EAGAIN: ask again; Filesystem::map_window's errors; EIO: the VMM refuses.
  Status map(InodeNo ino, std::uint64_t file_off, std::uint64_t window_off, std::uint64_t len);
  // What is not mapped stays so. EINVAL: beyond the window.
  Status unmap(std::uint64_t window_off, std::uint64_t len);
  // What lies at `size` bytes of the file or beyond. The guest does not know: its place stays the
  // file's until it is unmapped or used for something else. The caller holds the inode, here and in
  // the next two.
  void unmap_beyond(InodeNo ino, std::uint64_t size);
  // The guest is about to learn that the file has `size` bytes, or some number of bytes
  // (UINT64_MAX): as map_again(), and Filesystem::cover_window().
  Status reach(InodeNo ino, std::uint64_t size);
  // What unmap_beyond() took of the first `size` bytes of the file is mapped again. What the file
  // does not reach in truth, or loses just now, waits for the next call. Filesystem::map_window's
  // errors; EIO: the VMM refuses.
  Status map_again(InodeNo ino, std::uint64_t size);
  // All of it; what the VMM does not answer for is unmapped before the place is used again.
  void unmap_all();
  // The VMM is gone.
  void clear();

  [[nodiscard]] std::uint64_t mapped() const { return kPlace * mapped_.all(); }  // bytes

 private:
  struct Piece {
    std::uint64_t window_off = 0;
    std::uint64_t len = 0;
  };
  // ino 0: nothing is mapped for the guest; the pieces are what the VMM may have mapped all the
  // same.
  struct Place {
    InodeNo ino;
    std::uint64_t file_off = 0;
    std::vector<Piece> pieces;
  };

  [[nodiscard]] bool holds(std::uint64_t window_off, std::uint64_t len) const;
  // Of the first place from there on that is the guest's, mapped or cut: neither any more. Goes
  // beyond it; false: there was none before `end`.
  Result<bool> take_next(std::uint64_t& from, std::uint64_t end);
  // With the mutex:
  Status map_place(InodeNo ino, std::uint64_t file_off, std::uint64_t window_off);
  Status map_pieces(const WindowMapping& mapping, Place& place, std::uint64_t window_off);
  Status map_piece(int fd, const WindowPiece& piece, const Piece& there, std::uint64_t window_off);
  Status empty(std::uint64_t window_off);
  bool take_back(std::vector<Piece>& pieces);
  void unmapped(Place& place);
  void forget_cut(std::uint64_t window_off, std::uint64_t len);

  Filesystem& fs_;
  const std::uint64_t bytes_;
  const Vmm vmm_;

  FileTally mapped_;  // places that are mapped, or just going to be
  FileTally were_cut_;

  base::FairMutex mutex_;                  // all below
  std::map<std::uint64_t, Place> places_;  // by offset in the window
  // What the guest takes for mapped and is not, by its offset in the window. Nothing keeps the
  // file: another one may get its number, which this guest was not found to have a right to.
  struct CutPlace {
    InodeNo ino;
    std::uint64_t generation = 0;
    std::uint64_t file_off = 0;
  };
  std::map<std::uint64_t, CutPlace> cut_;
};

}  // namespace pmemfs::virtiofs
