#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "pmemfs/result.hpp"
#include "region/region_handle.hpp"

// create(), open() and peek() where the path is a DAX device; private to this layer. The rules of
// region_handle.hpp hold.
namespace pmemfs::region {

Result<std::unique_ptr<RegionHandle>> create_on_device(const std::string& path,
                                                       const CreateOptions& options,
                                                       std::string& why);

Result<std::unique_ptr<RegionHandle>> open_on_device(const std::string& path,
                                                     const OpenOptions& options, std::string& why);

Status peek_on_device(const std::string& path, std::uint64_t off, void* dst, std::size_t n,
                      std::string& why);

}  // namespace pmemfs::region
