// FUSE messages of a guest by bytes, and what comes back.
#pragma once

#include <linux/fuse.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pmemfs::test {

// A message that is being made.
class GuestRequest {
 public:
  explicit GuestRequest(std::uint32_t opcode, std::uint64_t node = 1);

  template <typename T>
  GuestRequest& add(const T& value) {
    return add_bytes({reinterpret_cast<const char*>(&value), sizeof(T)});
  }
  GuestRequest& add_bytes(std::string_view bytes);
  GuestRequest& add_name(std::string_view name);  // with its NUL
  GuestRequest& as(std::uint32_t uid, std::uint32_t gid);
  GuestRequest& by_process(std::uint32_t pid);

  fuse_in_header header{};
  std::optional<std::uint32_t> length{};  // instead of the true one

  // Valid until the next call.
  [[nodiscard]] std::span<std::byte> bytes();

 private:
  std::string payload_{};
  std::vector<std::byte> bytes_{};
};

struct GuestReply {
  bool came = false;
  int error = 0;  // errno
  std::uint64_t unique = 0;
  std::string body{};

  // An answer's bytes. error -1: its length is wrong.
  static GuestReply of(std::string_view whole);

  // The structure at `at`; zeros where there is less.
  template <typename T>
  [[nodiscard]] T get(std::size_t at = 0) const {
    T value{};
    if (at < body.size()) {
      std::memcpy(&value, body.data() + at, std::min(sizeof(T), body.size() - at));
    }
    return value;
  }
};

struct GuestFile {
  std::uint64_t node = 0;
  std::uint64_t fh = 0;
  int error = 0;
};

// What a guest's kernel asks, in short forms; whom it asks is the derived class's.
class GuestKernel {
 public:
  GuestKernel() = default;
  GuestKernel(const GuestKernel&) = delete;
  GuestKernel& operator=(const GuestKernel&) = delete;
  virtual ~GuestKernel() = default;

  virtual GuestReply ask(GuestRequest request) = 0;

  // INIT as a kernel with everything sends it.
  static constexpr std::uint64_t kAllFlags = ~std::uint64_t{0};
  GuestReply init(std::uint64_t flags = kAllFlags, std::uint32_t minor = 38);

  GuestReply lookup(std::string_view name, std::uint64_t dir = 1);
  GuestReply getattr(std::uint64_t node);
  GuestReply resize(std::uint64_t node, std::uint64_t size);
  GuestReply unlink(std::string_view name, std::uint64_t dir = 1);
  GuestFile create(std::string_view name, std::uint64_t dir = 1, std::uint32_t mode = 0644,
                   std::uint32_t flags = 2);
  GuestFile open(std::uint64_t node, std::uint32_t flags = 2);
  GuestReply read(const GuestFile& file, std::uint64_t off, std::uint32_t size);
  GuestReply write(const GuestFile& file, std::uint64_t off, std::string_view data);
  GuestReply fsync(const GuestFile& file);
  GuestReply release(const GuestFile& file);
  void forget(std::uint64_t node, std::uint64_t count = 1);
  GuestReply setxattr(std::uint64_t node, std::string_view name, std::string_view value);
  GuestReply getxattr(std::uint64_t node, std::string_view name, std::uint32_t size);
  // As a kernel that comes to write; without a handle, as Linux does.
  GuestReply setup_mapping(std::uint64_t node, std::uint64_t file_off, std::uint64_t window_off,
                           std::uint64_t len = kMappingUnit);
  GuestReply remove_mapping(std::uint64_t window_off, std::uint64_t len = kMappingUnit);

  static constexpr std::uint64_t kMappingUnit = std::uint64_t{2} << 20U;
};

}  // namespace pmemfs::test
