// A message that a guest sent in place of a kernel.
#pragma once

#include <linux/fuse.h>
#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "fuse/guest_ledger.hpp"

namespace pmemfs::fuse {

// Reads and changes one message. libfuse believes every length and count in it, and looks for the
// ends of strings wherever they may be: nothing goes there that check() has not passed.
class GuestMessage {
 public:
  // What the answer depends on beside the bytes.
  struct Terms {
    bool begun = false;  // INIT was answered
    bool setxattr_ext = false;
    bool read_only = false;
  };

  // Nothing when there is no header: nobody can be answered. `bytes` begin at a multiple of 8.
  // `rest`: what follows them, which may change while it is looked at.
  static std::optional<GuestMessage> of(std::span<std::byte> bytes,
                                        std::span<const iovec> rest = {});

  [[nodiscard]] std::span<std::byte> bytes() const { return bytes_; }
  [[nodiscard]] std::uint32_t opcode() const { return opcode_; }
  [[nodiscard]] std::uint64_t unique() const { return header().unique; }
  [[nodiscard]] fuse_in_header header() const { return load<fuse_in_header>(0); }
  [[nodiscard]] bool wants_answer() const;

  // 0, or what to answer: EINVAL for what no kernel sends, ENOSYS for what is not served. `room`:
  // bytes for the answer, its header included.
  [[nodiscard]] int check(const Terms& terms, std::size_t room) const;

  // --- Of messages that passed check() ---

  // The argument's structure, behind the header, `at` bytes further on.
  template <typename T>
  [[nodiscard]] T argument(std::size_t at = 0) const {
    return load<T>(sizeof(fuse_in_header) + at);
  }
  template <typename T>
  void set_argument(std::size_t at, const T& value) {
    std::memcpy(bytes_.data() + sizeof(fuse_in_header) + at, &value, sizeof(T));
  }
  void set_header(const fuse_in_header& header) {
    std::memcpy(bytes_.data(), &header, sizeof(header));
  }

  // A number in the message, by its place behind the header.
  using Places = std::array<std::optional<std::size_t>, 2>;
  // Where the nodes are that the request is about, beside the header's.
  [[nodiscard]] std::optional<std::size_t> second_node() const;
  // Whether the header's node must be held.
  [[nodiscard]] bool about_node() const;
  // Where file handles are, and whose: of the header's node, and of the second one.
  [[nodiscard]] Places handles() const;
  // For what they are used, in the same order.
  [[nodiscard]] std::array<HandleUse, 2> handle_uses() const;
  // The entry, or xattr, that is named; of RENAME also the second one.
  [[nodiscard]] std::string_view name(bool setxattr_ext = false) const;
  [[nodiscard]] std::string_view second_name() const;
  // WRITE: what is to be written, in pieces.
  [[nodiscard]] std::vector<std::span<const std::byte>> data() const;
  [[nodiscard]] bool makes_inode() const;
  // GETXATTR of an access list.
  [[nodiscard]] bool about_acl() const;
  // SETXATTR of one: the list. Else nothing.
  [[nodiscard]] std::span<std::byte> acl_to_set(bool setxattr_ext) const;

 private:
  GuestMessage(std::span<std::byte> bytes, std::span<const iovec> rest);

  template <typename T>
  [[nodiscard]] T load(std::size_t at) const {
    T value{};
    std::memcpy(&value, bytes_.data() + at, sizeof(T));
    return value;
  }
  [[nodiscard]] std::span<const std::byte> payload() const {
    return bytes_.subspan(sizeof(fuse_in_header));
  }
  [[nodiscard]] std::string_view name_at(std::size_t at) const;
  [[nodiscard]] int check_names(const struct GuestRule& rule, std::size_t& at) const;
  [[nodiscard]] bool sizes_fit(std::size_t rest, std::size_t room) const;
  [[nodiscard]] int check_values() const;

  std::span<std::byte> bytes_;
  std::span<const iovec> rest_;
  std::size_t rest_size_ = 0;  // bytes
  std::uint32_t opcode_;
};

}  // namespace pmemfs::fuse
