#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/unique_fd.hpp"
#include "region/mapped_region.hpp"

namespace pmemfs::test {

// Puts at this place a page that the kernel answers with SIGBUS; a multiple of 4096 bytes. Throws
// std::system_error.
void lose_memory(std::byte* begin, std::size_t n);

// A region in memory without any simulation: the real MappedRegion over a memfd, with real flush
// instructions and fences. For benchmarks, for tests that need speed, and for those that need real
// media errors.
class MemoryRegion {
 public:
  explicit MemoryRegion(std::uint64_t size);  // throws std::system_error

  [[nodiscard]] Region& operator*() const { return *region_; }
  [[nodiscard]] Region* operator->() const { return region_.get(); }

  // The page goes bad: the next access is a SIGBUS. What it holds is still in the memfd.
  void lose(ByteOff page) const;
  // Mapped anew, with everything that was stored and no bad page. Nothing of the old region may be
  // in use.
  void map_again();

 private:
  std::uint64_t size_;
  base::UniqueFd fd_;
  std::unique_ptr<region::MappedRegion> region_;
};

}  // namespace pmemfs::test
