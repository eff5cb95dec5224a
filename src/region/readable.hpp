#pragma once

#include <cstddef>
#include <cstdint>

namespace pmemfs::region {

// How many of the `n` bytes from `begin` on, both multiples of 4096, can be read before the first
// page that cannot. Looked at by the kernel, which copies them and fails where a load would be a
// SIGBUS. All of them when the kernel gives no means. Thread-safe.
[[nodiscard]] std::uint64_t readable_bytes(const std::byte* begin, std::uint64_t n);

}  // namespace pmemfs::region
