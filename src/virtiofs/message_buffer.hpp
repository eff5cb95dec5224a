#pragma once

#include <cstddef>
#include <span>
#include <utility>

#include "pmemfs/result.hpp"

namespace pmemfs::virtiofs {

// One thread's memory for messages, of kMostMessage bytes; only what is used is there. Not
// thread-safe.
class MessageBuffer {
 public:
  MessageBuffer() = default;
  MessageBuffer(const MessageBuffer&) = delete;
  MessageBuffer& operator=(const MessageBuffer&) = delete;
  ~MessageBuffer();

  Status create();
  // The first `size` bytes, kMostMessage at most.
  std::span<std::byte> first(std::size_t size);
  // Gives back what large messages have taken.
  void trim();

 private:
  std::byte* begin_ = nullptr;
  std::size_t used_ = 0;  // bytes, since the last trim
};

}  // namespace pmemfs::virtiofs
