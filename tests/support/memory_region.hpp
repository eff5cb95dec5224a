#pragma once

#include <cstdint>
#include <memory>

#include "base/unique_fd.hpp"
#include "region/mapped_region.hpp"

namespace pmemfs::test {

// A region in memory without any simulation: the real MappedRegion over a memfd, with real flush
// instructions and fences. For benchmarks, and for tests that need speed.
class MemoryRegion {
 public:
  explicit MemoryRegion(std::uint64_t size);  // throws std::system_error

  [[nodiscard]] Region& operator*() const { return *region_; }
  [[nodiscard]] Region* operator->() const { return region_.get(); }

 private:
  base::UniqueFd fd_;
  std::unique_ptr<region::MappedRegion> region_;
};

}  // namespace pmemfs::test
