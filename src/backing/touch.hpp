#pragma once

#include <cstddef>
#include <cstdint>

#include "pmemfs/result.hpp"

namespace pmemfs::backing {

// BackingDir::touch for a descriptor open for writing: the atomic no-op on one word of each 4 KiB
// page that overlaps [off, off + len). EINVAL when the range leaves the file; ENOSPC or EIO when
// the host cannot give a page, or the file shrinks meanwhile. Thread-safe, beside storing threads
// of any process too.
Status touch_pages(int fd, std::uint64_t off, std::uint64_t len);

// The same for what is mapped already, from the start of a page on. EIO where a page cannot be had:
// what had no place in it lies in memory of ours now, so the mapping is good for nothing else.
Status touch_mapping(std::byte* begin, std::uint64_t len);

}  // namespace pmemfs::backing
