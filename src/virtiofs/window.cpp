#include "virtiofs/window.hpp"

#include <algorithm>
#include <cerrno>

#include "base/unique_fd.hpp"

namespace pmemfs::virtiofs {

bool Window::holds(std::uint64_t window_off, std::uint64_t len) const {
  return window_off <= bytes_ && len <= bytes_ - window_off && window_off % kPlace == 0 &&
         len % kPlace == 0;
}

Status Window::map(InodeNo ino, std::uint64_t file_off, std::uint64_t window_off,
                   std::uint64_t len) {
  if (!holds(window_off, len)) {
    return Error(EINVAL);
  }
  const std::lock_guard lock(mutex_);
  forget_cut(window_off, len);
  for (std::uint64_t at = 0; at < len; at += kPlace) {
    PMEMFS_CHECK(map_place(ino, file_off + at, window_off + at));
  }
  return {};
}

Status Window::map_place(InodeNo ino, std::uint64_t file_off, std::uint64_t window_off) {
  if (const auto there = places_.find(window_off); there != places_.end()) {
    if (there->second.ino == ino && there->second.file_off == file_off) {
      return {};  // it came to write; it could already
    }
    PMEMFS_CHECK(empty(window_off));
  }
  PMEMFS_TRY(const WindowMapping mapping, fs_.map_window(ino, file_off, kPlace));
  const base::UniqueFd fd(mapping.fd);
  Place place{ino, file_off, {}};
  const Status mapped = map_pieces(mapping, place, window_off);
  if (!mapped) {
    take_back(place.pieces);
    fs_.unmapped_window(ino, file_off, kPlace);
    place.ino = InodeNo();
  }
  if (!place.pieces.empty()) {
    places_[window_off] = std::move(place);
  }
  return mapped;
}

Status Window::map_pieces(const WindowMapping& mapping, Place& place, std::uint64_t window_off) {
  for (const WindowPiece& piece : mapping.pieces) {
    const Piece there{window_off + (piece.file_off - place.file_off), piece.len};
    const Status mapped = map_piece(mapping.fd, piece, there, window_off);
    if (mapped || mapped.code() == EAGAIN) {
      place.pieces.push_back(there);  // after EAGAIN it may be there
    }
    PMEMFS_CHECK(mapped);
  }
  return {};
}

// A VMM refuses what overlaps: something of a daemon before this one may be left there, most likely
// of the same shape.
Status Window::map_piece(int fd, const WindowPiece& piece, const Piece& there,
                         std::uint64_t window_off) {
  const auto try_it = [&] {
    return vmm_.map(fd, piece.fd_off, there.window_off, piece.len);
  };
  const Status first = try_it();
  if (first.code() != EIO) {
    return first;
  }
  if (!vmm_.unmap(there.window_off, there.len) && !vmm_.unmap(window_off, kPlace)) {
    return first;
  }
  return try_it();
}

// True when the VMM has answered for all of them; those of which nothing is known stay.
bool Window::take_back(std::vector<Piece>& pieces) {
  std::erase_if(pieces, [this](const Piece& piece) {
    return vmm_.unmap(piece.window_off, piece.len).code() != EAGAIN;
  });
  return pieces.empty();
}

// What the VMM refuses to unmap is not there, or it is broken: the kernel knows what it maps still.
Status Window::empty(std::uint64_t window_off) {
  const auto found = places_.find(window_off);
  if (found == places_.end()) {
    return {};
  }
  Place& place = found->second;
  const bool gone = take_back(place.pieces);
  if (place.ino) {
    fs_.unmapped_window(place.ino, place.file_off, kPlace);
    place.ino = InodeNo();
  }
  if (!gone) {
    return Error(EAGAIN);
  }
  places_.erase(found);
  return {};
}

Status Window::unmap(std::uint64_t window_off, std::uint64_t len) {
  if (!holds(window_off, len)) {
    return Error(EINVAL);
  }
  const std::lock_guard lock(mutex_);
  forget_cut(window_off, len);
  for (auto at = places_.lower_bound(window_off);
       at != places_.end() && at->first < window_off + len;) {
    const std::uint64_t place = (at++)->first;
    PMEMFS_CHECK(empty(place));
  }
  return {};
}

void Window::unmap_beyond(InodeNo ino, std::uint64_t size) {
  const std::lock_guard lock(mutex_);
  const auto file = fs_.getattr(ino);
  for (auto at = places_.begin(); at != places_.end();) {
    const auto& [window_off, place] = *at++;
    if (place.ino == ino && place.file_off >= size) {
      if (file) {
        cut_[window_off] = {ino, file->generation, place.file_off};
      }
      (void)empty(window_off);
    }
  }
  any_cut_ = !cut_.empty();
}

Status Window::map_again(InodeNo ino, std::uint64_t size) {
  if (!any_cut_) {
    return {};
  }
  const std::lock_guard lock(mutex_);
  const auto file = fs_.getattr(ino);
  if (!file) {
    return {};
  }
  Status result;
  std::erase_if(cut_, [&](const auto& entry) {
    const auto& [window_off, cut] = entry;
    if (cut.ino != ino || !result) {
      return false;
    }
    if (cut.generation != file->generation) {
      return true;
    }
    if (cut.file_off >= size) {
      return false;
    }
    const Status mapped = map_place(ino, cut.file_off, window_off);
    if (!mapped && mapped.code() != ENXIO && mapped.code() != EAGAIN) {
      result = mapped;
    }
    return mapped.ok();
  });
  any_cut_ = !cut_.empty();
  return result;
}

// Of how many it does not learn, the guest knows already: what it wrote itself is covered.
Status Window::reach(InodeNo ino, std::uint64_t size) {
  PMEMFS_CHECK(map_again(ino, size));
  return size == UINT64_MAX ? Status() : fs_.cover_window(ino, size);
}

void Window::forget_cut(std::uint64_t window_off, std::uint64_t len) {
  cut_.erase(cut_.lower_bound(window_off), cut_.lower_bound(window_off + len));
  any_cut_ = !cut_.empty();
}

void Window::unmap_all() {
  const std::lock_guard lock(mutex_);
  forget_cut(0, bytes_);
  for (auto at = places_.begin(); at != places_.end();) {
    const std::uint64_t place = (at++)->first;
    (void)empty(place);
  }
}

void Window::clear() {
  const std::lock_guard lock(mutex_);
  forget_cut(0, bytes_);
  for (const auto& [window_off, place] : places_) {
    if (place.ino) {
      fs_.unmapped_window(place.ino, place.file_off, kPlace);
    }
  }
  places_.clear();
}

std::uint64_t Window::mapped() const {
  const std::lock_guard lock(mutex_);
  return kPlace * static_cast<std::uint64_t>(
                      std::count_if(places_.begin(), places_.end(),
                                    [](const auto& place) { return bool(place.second.ino); }));
}

}  // namespace pmemfs::virtiofs
