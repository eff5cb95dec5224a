// A vector of small trivial values whose first few live in the object: hot paths allocate nothing.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <type_traits>
#include <vector>

namespace pmemfs::store {

// Not thread-safe. push_back invalidates iterators and spans.
template <typename T, std::size_t kInline>
class InlineVector {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  void push_back(const T& value) {
    if (more_.empty() && size_ < kInline) {
      here_[size_++] = value;
      return;
    }
    if (more_.empty()) {
      more_.assign(here_.begin(), here_.end());
    }
    more_.push_back(value);
    size_ = more_.size();
  }
  // Keeps the first `n` ≤ size() elements.
  void truncate(std::size_t n) {
    if (!more_.empty()) {
      std::copy_n(more_.begin(), std::min(n, kInline), here_.begin());
      more_.resize(n > kInline ? n : 0);
    }
    size_ = n;
  }
  void clear() { truncate(0); }

  [[nodiscard]] std::span<T> span() { return {more_.empty() ? here_.data() : more_.data(), size_}; }
  [[nodiscard]] std::span<const T> span() const {
    return {more_.empty() ? here_.data() : more_.data(), size_};
  }
  [[nodiscard]] auto begin() const { return span().begin(); }
  [[nodiscard]] auto end() const { return span().end(); }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }

 private:
  std::array<T, kInline> here_{};
  std::vector<T> more_;  // all of them, once they do not fit
  std::size_t size_ = 0;
};

}  // namespace pmemfs::store
