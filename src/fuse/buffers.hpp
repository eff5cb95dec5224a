// The memory of one worker thread: where a request is read to, and where a large answer is made.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "fuse/afterwork.hpp"
#include "fuse/request.hpp"
#include "pmemfs/result.hpp"

namespace pmemfs::fuse {

inline constexpr std::size_t kMaxTransfer = std::size_t{1} << 20U;  // bytes of one READ or WRITE

// Both parts are as large as the largest request, but cost only the pages that were touched, until
// trim(). Not thread-safe: its worker's alone.
class Buffers {
 public:
  static Result<Buffers> create();
  Buffers(Buffers&& other) noexcept;
  Buffers& operator=(Buffers&&) = delete;
  ~Buffers();

  // For read(2) from the device. Laid out so that the data of a WRITE begins on a page.
  [[nodiscard]] std::span<std::byte> request() { return request_; }
  // At most kMaxTransfer bytes; valid until the next call.
  [[nodiscard]] std::span<std::byte> answer(std::size_t size);
  // Says that the first `size` bytes of request() were filled.
  void used(std::size_t size);

  // More than a small request's worth of memory is held.
  [[nodiscard]] bool dirty() const { return dirty_; }
  // Gives the memory back; contents are lost.
  void trim();

 private:
  Buffers() = default;

  std::byte* memory_ = nullptr;
  std::span<std::byte> request_;
  std::span<std::byte> answer_;
  bool dirty_ = false;
};

// What the serving thread is at. Operations find here what libfuse does not pass on.
struct ThreadContext {
  Request request;
  std::uint64_t media_errors_met = 0;  // base::media_errors_met() before the request
  Buffers* buffers = nullptr;          // set while a worker serves
  Afterwork* afterwork = nullptr;      // the same
};
[[nodiscard]] ThreadContext& this_thread();

}  // namespace pmemfs::fuse
