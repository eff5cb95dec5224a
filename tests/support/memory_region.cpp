#include "support/memory_region.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace pmemfs::test {

MemoryRegion::MemoryRegion(std::uint64_t size) : fd_(::memfd_create("region", MFD_CLOEXEC)) {
  if (!fd_ || ::ftruncate(fd_.get(), static_cast<off_t>(size)) != 0) {
    throw std::system_error(errno, std::generic_category(), "memfd");
  }
  region::MapOptions options;
  options.growable = true;
  options.granularity = Granularity::kCacheLine;  // so that flushes are made
  auto mapped = region::MappedRegion::map(fd_.get(), size, options);
  if (!mapped) {
    throw std::system_error(mapped.code(), std::generic_category(), "mapping a memfd");
  }
  region_ = std::move(mapped).value();
}

}  // namespace pmemfs::test
