#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

// Whether the host filesystem aligns what it allocates so that mappings get page faults of 2 MiB.
// Thread-safe.
namespace pmemfs::region {

// The part of an xfs filesystem's geometry that decides it; stripe_unit is in blocks, 0: none.
struct XfsGeometry {
  std::uint64_t block_size = 0;
  std::uint64_t stripe_unit = 0;
};

// Of the filesystem that holds the open file or directory; nothing when that is not xfs.
[[nodiscard]] std::optional<XfsGeometry> xfs_geometry(int fd);

// xfs aligns large files to the stripe unit and to nothing else.
[[nodiscard]] bool aligns_to_huge_pages(const XfsGeometry& geometry);

// ext4 aligns what it allocates in pieces of the stripe to it; else it begins where the last piece
// ended, which in groups that begin with metadata is no multiple of 2 MiB. `options`: of the
// mounted filesystem, as the kernel shows them ("rw,stripe=512,dax=always"), blocks of 4 KiB.
[[nodiscard]] bool ext4_aligns_to_huge_pages(std::string_view options);

}  // namespace pmemfs::region
