// Where the guest's memory is mapped: address space whose SIGBUS ends nothing. A VMM may shrink the
// file behind its memory, and memory has uncorrectable errors; then zeros take the place of what is
// lost (base/media_faults.hpp), and whoever looks at faulted() afterwards knows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "base/media_faults.hpp"
#include "pmemfs/result.hpp"

namespace pmemfs::virtiofs {

// What is replaced at once, and what mappings are aligned to, so that huge pages fit: bytes.
constexpr std::uint64_t kMappingUnit = std::uint64_t{2} << 20U;

// One watched run of address space, nothing in it but what is mapped. Thread-safe.
class Arena {
 public:
  // `size` bytes, a multiple of kMappingUnit.
  static Result<std::shared_ptr<Arena>> create(std::uint64_t size);
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena();

  // A free run of `size` bytes, a multiple of kMappingUnit; null when there is none.
  std::byte* take(std::uint64_t size);
  // Nothing is mapped there any more. Where there is no memory to note that, nothing is until the
  // arena goes.
  void give_back(std::byte* begin, std::uint64_t size) noexcept;

  [[nodiscard]] bool faulted() const {
    return watch_.events().load(std::memory_order_relaxed) != 0;
  }

 private:
  Arena() = default;
  void give_back_at(std::uint64_t offset, std::uint64_t size);

  std::byte* begin_ = nullptr;
  std::uint64_t size_ = 0;
  base::MediaWatch watch_;
  std::mutex mutex_;
  std::map<std::uint64_t, std::uint64_t> free_;  // offset → length, never touching each other
};

// A shared mapping of a piece of a file, unmapped with the last owner. Immutable.
class Mapping {
 public:
  Mapping(std::shared_ptr<Arena> arena, std::byte* run, std::uint64_t run_size, std::byte* first,
          bool writable)
      : arena_(std::move(arena)),
        run_(run),
        run_size_(run_size),
        first_(first),
        writable_(writable) {}
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping();

  [[nodiscard]] std::byte* first() const { return first_; }
  [[nodiscard]] bool writable() const { return writable_; }

 private:
  std::shared_ptr<Arena> arena_;
  std::byte* run_;
  std::uint64_t run_size_;
  std::byte* first_;
  bool writable_;
};

constexpr std::size_t kMostArenas = 8;
constexpr std::uint64_t kMostTotal = std::uint64_t{16} << 40U;  // bytes

// The arenas of one VMM. One thread changes them; faulted() is thread-safe on a copy.
class Arenas {
 public:
  // Maps [offset, offset + size) of `fd`, read-only where it is not open for more. EINVAL: the file
  // ends before, or its pages are larger than kMappingUnit; EACCES: it is on a file system whose
  // pages others may hold back (network, FUSE) or no memory at all; ENOSPC: more than kMostArenas
  // or kMostTotal are needed, so that one VMM leaves room for others; else mmap(2)'s errors.
  Result<std::shared_ptr<const Mapping>> map(int fd, std::uint64_t offset, std::uint64_t size);

  // Bytes of some mapping were lost since the beginning.
  [[nodiscard]] bool faulted() const;

 private:
  Result<std::byte*> take(std::uint64_t size, std::shared_ptr<Arena>* from);

  std::vector<std::shared_ptr<Arena>> arenas_;
  std::uint64_t total_ = 0;  // bytes of all arenas
};

}  // namespace pmemfs::virtiofs
