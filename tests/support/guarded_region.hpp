// A region between guard pages, of an image that many such regions share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/unique_fd.hpp"
#include "pmemfs/region.hpp"

namespace pmemfs::test {

// The bytes of a region, kept in memory that regions map copy-on-write: a region of it costs the
// pages that are touched. Immutable.
class MediaImage {
 public:
  explicit MediaImage(std::span<const std::byte> bytes);  // throws std::system_error
  MediaImage(const MediaImage&) = delete;
  MediaImage& operator=(const MediaImage&) = delete;
  ~MediaImage();

  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  base::UniqueFd fd_;
  std::span<const std::byte> bytes_;
};

// Memory with nothing readable before or behind it. A store that is not wholly inside, or that is
// not aligned where it must be, ends the program: a caller took a number from media unchecked.
// Everything is durable at once. May grow to kLimit.
class GuardedRegion final : public Region {
 public:
  static constexpr std::uint64_t kLimit = 64ULL << 20U;

  // The first `size` bytes of the image, a multiple of 4096; 0: all. Throws std::system_error.
  explicit GuardedRegion(const MediaImage& image, std::uint64_t size = 0);
  ~GuardedRegion() override;

  // To damage it before it is used.
  [[nodiscard]] std::span<std::byte> bytes() { return {mutable_data(), size()}; }
  // As a read-only open: stores still work, on a private copy.
  void set_read_only(bool read_only) { read_only_ = read_only; }

  [[nodiscard]] Granularity granularity() const override { return Granularity::kCacheLine; }
  [[nodiscard]] bool read_only() const override { return read_only_; }
  void store(ByteOff off, const void* src, std::size_t n) override;
  void store_u64(ByteOff off, std::uint64_t value) override;
  void stream(ByteOff off, const void* src, std::size_t n) override;
  void stream_zeros(ByteOff off, std::uint64_t n) override;
  void flush(ByteOff off, std::size_t n) override;
  void fence() override {}
  Status grow(std::uint64_t new_size) override;
  Status shrink(std::uint64_t new_size) override;

 private:
  void must_contain(ByteOff off, std::uint64_t n, const char* what) const;

  std::byte* reserved_ = nullptr;
  bool read_only_ = false;
};

}  // namespace pmemfs::test
