// The error type of every layer below the FUSE edge: a value or a positive errno.
//
// No exceptions cross a layer; std::bad_alloc may escape and is turned into ENOMEM at the edge.
// Codes with a fixed meaning in pmemfs: ETXTBSY (pinned), EUCLEAN (media contradicts itself).
#pragma once

#include <cassert>
#include <cerrno>
#include <utility>
#include <variant>

namespace pmemfs {

// A failure. Constructed from a positive errno value.
class [[nodiscard]] Error {
 public:
  constexpr explicit Error(int code) : code_(code) { assert(code > 0); }
  [[nodiscard]] constexpr int code() const { return code_; }

 private:
  int code_;
};

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT(*-explicit-*)
  Result(Error error) : state_(std::in_place_index<1>, error) {}         // NOLINT(*-explicit-*)

  [[nodiscard]] bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  // The errno, 0 when there is a value.
  [[nodiscard]] int code() const { return ok() ? 0 : error().code(); }
  [[nodiscard]] Error error() const { return *std::get_if<1>(&state_); }

  [[nodiscard]] T& value() & { return *std::get_if<0>(&state_); }
  [[nodiscard]] const T& value() const& { return *std::get_if<0>(&state_); }
  [[nodiscard]] T&& value() && { return std::move(*std::get_if<0>(&state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  constexpr Result() = default;
  constexpr Result(Error error) : code_(error.code()) {}  // NOLINT(*-explicit-*)

  [[nodiscard]] constexpr bool ok() const { return code_ == 0; }
  constexpr explicit operator bool() const { return ok(); }
  [[nodiscard]] constexpr int code() const { return code_; }
  [[nodiscard]] constexpr Error error() const { return Error(code_); }

 private:
  int code_ = 0;
};

using Status = Result<void>;

}  // namespace pmemfs

#define PMEMFS_CAT_(a, b) a##b
#define PMEMFS_CAT(a, b) PMEMFS_CAT_(a, b)

// PMEMFS_TRY(auto x, f()): x is f()'s value, or the enclosing function returns f()'s error.
#define PMEMFS_TRY(decl, expr)                 \
  auto PMEMFS_CAT(try_, __LINE__) = (expr);    \
  if (!PMEMFS_CAT(try_, __LINE__)) {           \
    return PMEMFS_CAT(try_, __LINE__).error(); \
  }                                            \
  decl = std::move(PMEMFS_CAT(try_, __LINE__)).value()

// PMEMFS_CHECK(f()): the enclosing function returns f()'s error, if there is one.
#define PMEMFS_CHECK(expr)             \
  do {                                 \
    if (auto check_ = (expr); !check_) \
      return check_.error();           \
  } while (false)
