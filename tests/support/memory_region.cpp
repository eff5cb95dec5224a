#include "support/memory_region.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "pmemfs/format.hpp"

namespace pmemfs::test {

[[noreturn]] static void fail(const char* what, int code) {
  throw std::system_error(code, std::generic_category(), what);
}

// A page beyond the end of a file.
void lose_memory(std::byte* begin, std::size_t n) {
  const base::UniqueFd empty(::memfd_create("empty", MFD_CLOEXEC));
  if (!empty || ::mmap(begin, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, empty.get(), 0) ==
                    MAP_FAILED) {
    fail("mapping an empty memfd", errno);
  }
}

MemoryRegion::MemoryRegion(std::uint64_t size)
    : size_(size), fd_(::memfd_create("region", MFD_CLOEXEC)) {
  if (!fd_ || ::ftruncate(fd_.get(), static_cast<off_t>(size)) != 0) {
    fail("memfd", errno);
  }
  map_again();
}

void MemoryRegion::map_again() {
  region_.reset();
  region::MapOptions options;
  options.growable = true;
  options.granularity = Granularity::kCacheLine;  // so that flushes are made
  auto mapped = region::MappedRegion::map(fd_.get(), size_, options);
  if (!mapped) {
    fail("mapping a memfd", mapped.code());
  }
  region_ = std::move(mapped).value();
}

void MemoryRegion::lose(ByteOff page) const {
  lose_memory(const_cast<std::byte*>(region_->data()) + page.value, format::kBlockSize);
}

}  // namespace pmemfs::test
