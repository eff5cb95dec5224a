// The records of an xattr blob, as bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "pmemfs/format.hpp"
#include "pmemfs/types.hpp"

namespace pmemfs::store {

// One record; views into the bytes that were read.
struct XattrView {
  std::string_view name;
  std::uint32_t value_len = 0;
  BlockNo value_blob;                // none: the value is `value`
  std::span<const std::byte> value;  // of value_len bytes, unless there is a blob
};

// Reads record after record; stops for good at the first that makes no sense.
class XattrReader {
 public:
  explicit XattrReader(std::span<const std::byte> bytes) : rest_(bytes) {}

  // nullopt at the end, and where damaged() is true from then on.
  std::optional<XattrView> next();
  [[nodiscard]] bool damaged() const { return damaged_; }

 private:
  std::span<const std::byte> rest_;
  bool damaged_ = false;
};

}  // namespace pmemfs::store
