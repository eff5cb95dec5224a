#include "virtiofs/message_buffer.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>

#include "virtiofs/chain.hpp"

namespace pmemfs::virtiofs {
namespace {

constexpr std::size_t kKept = std::size_t{64} << 10U;  // bytes that every thread may keep

}  // namespace

MessageBuffer::~MessageBuffer() {
  if (begin_ != nullptr) {
    ::munmap(begin_, kMostMessage);
  }
}

Status MessageBuffer::create() {
  void* const got = ::mmap(nullptr, kMostMessage, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (got == MAP_FAILED) {
    return Error(errno);
  }
  begin_ = static_cast<std::byte*>(got);
  return {};
}

std::span<std::byte> MessageBuffer::first(std::size_t size) {
  used_ = std::max(used_, size);
  return {begin_, size};
}

void MessageBuffer::trim() {
  if (used_ > kKept) {
    ::madvise(begin_ + kKept, kMostMessage - kKept, MADV_DONTNEED);
    used_ = 0;
  }
}

}  // namespace pmemfs::virtiofs
