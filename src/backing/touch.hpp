#pragma once

#include <cstdint>

#include "pmemfs/result.hpp"

namespace pmemfs::backing {

// BackingDir::touch for a descriptor open for writing: the atomic no-op on one word of each 4 KiB
// page that overlaps [off, off + len). EINVAL when the range leaves the file (which must not shrink
// meanwhile: SIGBUS), ENOSPC or EIO when the host cannot give a page. Thread-safe, beside storing
// threads of any process too.
Status touch_pages(int fd, std::uint64_t off, std::uint64_t len);

}  // namespace pmemfs::backing
