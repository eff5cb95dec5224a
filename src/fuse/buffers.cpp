#include "fuse/buffers.hpp"

#include <linux/fuse.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace pmemfs::fuse {
namespace {

constexpr std::size_t kPage = 4096;
// What libfuse and the kernel allow for the headers of a request.
constexpr std::size_t kHeaderRoom = 4096;
constexpr std::size_t kWriteHeader = sizeof(fuse_in_header) + sizeof(fuse_write_in);
constexpr std::size_t kRequestArea = kPage + kMaxTransfer + kHeaderRoom;
constexpr std::size_t kArea = kRequestArea + kMaxTransfer;
constexpr std::size_t kSmall = std::size_t{64} << 10U;  // bytes that a sleeping worker may keep

}  // namespace

Result<Buffers> Buffers::create() {
  void* memory = ::mmap(nullptr, kArea, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    return Error(errno);
  }
  // Huge pages would be filled for a single small request.
  ::madvise(memory, kArea, MADV_NOHUGEPAGE);
  Buffers buffers;
  buffers.memory_ = static_cast<std::byte*>(memory);
  buffers.request_ = {buffers.memory_ + kPage - kWriteHeader, kMaxTransfer + kHeaderRoom};
  buffers.answer_ = {buffers.memory_ + kRequestArea, kMaxTransfer};
  return buffers;
}

Buffers::Buffers(Buffers&& other) noexcept
    : memory_(std::exchange(other.memory_, nullptr)),
      request_(other.request_),
      answer_(other.answer_),
      dirty_(other.dirty_) {}

Buffers::~Buffers() {
  if (memory_ != nullptr) {
    ::munmap(memory_, kArea);
  }
}

std::span<std::byte> Buffers::answer(std::size_t size) {
  dirty_ = dirty_ || size > kSmall;
  return answer_.first(std::min(size, answer_.size()));
}

void Buffers::used(std::size_t size) {
  dirty_ = dirty_ || size > kSmall;
}

void Buffers::trim() {
  ::madvise(memory_, kArea, MADV_DONTNEED);
  dirty_ = false;
}

ThreadContext& this_thread() {
  thread_local ThreadContext context;
  return context;
}

}  // namespace pmemfs::fuse
