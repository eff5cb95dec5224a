#pragma once

#include <cstdint>
#include <vector>

#include "base/unique_fd.hpp"
#include "pmemfs/result.hpp"

// Descriptors of a region file or device for mappings in other processes, each with a lock by which
// one can ask the kernel, at any time and after any crash of ours, whether it lives still.
//
// The lock is of one byte at kExportLocks + key, of the open file description (F_OFD_SETLK), and
// shared: it goes when the last descriptor and the last mapping of the description are gone.
// Thread-safe.
namespace pmemfs::region {

inline constexpr std::uint64_t kExportKeys = 1ULL << 61U;

// `fd` opened once more, to read and write, with the lock. EINVAL: no key; else as open(2) and
// fcntl(2).
Result<base::UniqueFd> export_description(int fd, std::uint64_t key);

// Whether any description holds a lock of keys [key, key + n), but for `fd`'s own. True when the
// kernel does not say.
[[nodiscard]] bool export_lives(int fd, std::uint64_t key, std::uint64_t n = 1);

// Whether any description of the file holds such a lock, `fd`'s own among them. False when the
// kernel does not say.
[[nodiscard]] bool is_exported(int fd);

// The keys of all that live. Nothing where the kernel cannot be asked: export_lives() says yes
// then.
[[nodiscard]] std::vector<std::uint64_t> live_exports(int fd);

}  // namespace pmemfs::region
