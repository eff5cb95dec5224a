// The bytes of one transaction while it is built.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>

#include "pmemfs/format.hpp"

namespace pmemfs::journal {

// A byte buffer that grows without being zeroed. Not thread-safe.
class LogBuffer {
 public:
  // Space for `n` more bytes, uninitialised; valid until the next call.
  std::byte* append(std::size_t n) {
    if (n > capacity_ - size_) {
      grow(size_ + n);
    }
    std::byte* const at = bytes_.get() + size_;
    size_ += n;
    return at;
  }
  void clear() { size_ = 0; }

  [[nodiscard]] std::byte* data() { return bytes_.get(); }
  [[nodiscard]] const std::byte* data() const { return bytes_.get(); }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::size_t capacity() const { return capacity_; }

 private:
  void grow(std::size_t needed) {
    const auto larger = std::max<std::size_t>({needed, 2 * capacity_, format::kBlockSize});
    auto bytes = std::make_unique_for_overwrite<std::byte[]>(larger);
    std::copy_n(bytes_.get(), size_, bytes.get());
    bytes_ = std::move(bytes);
    capacity_ = larger;
  }

  std::unique_ptr<std::byte[]> bytes_;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace pmemfs::journal
