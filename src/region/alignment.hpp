#pragma once

#include <cstdint>
#include <optional>

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

}  // namespace pmemfs::region
