#include "store/xattr_records.hpp"

#include <cstring>

namespace pmemfs::store {

std::optional<XattrView> XattrReader::next() {
  if (rest_.empty()) {
    return std::nullopt;
  }
  format::XattrRecord record{};
  damaged_ = true;  // until proven otherwise
  if (rest_.size() < sizeof(record)) {
    rest_ = {};
    return std::nullopt;
  }
  std::memcpy(&record, rest_.data(), sizeof(record));
  XattrView view;
  view.value_len = record.value_len.load();
  view.value_blob = BlockNo(record.value_blob.load());
  const std::size_t name_len = record.name_len.load();
  const std::size_t inside = view.value_blob ? 0 : view.value_len;
  const std::span<const std::byte> body = rest_.subspan(sizeof(record));
  if (name_len == 0 || name_len > format::kMaxName || view.value_len > format::kMaxXattrValue ||
      name_len + inside > body.size()) {
    rest_ = {};
    return std::nullopt;
  }
  damaged_ = false;
  view.name = {reinterpret_cast<const char*>(body.data()), name_len};
  view.value = body.subspan(name_len, inside);
  rest_ = body.subspan(name_len + inside);
  return view;
}

}  // namespace pmemfs::store
