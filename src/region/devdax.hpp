#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/media_faults.hpp"
#include "pmemfs/result.hpp"

// DAX devices, /dev/daxX.Y: what the kernel says of them, and looking at their bytes. They know no
// read and write, only mappings in whole multiples of their alignment. Thread-safe; `why` is set
// where a function that takes it fails (see reason.hpp). `sysfs` is another folder in tests.
namespace pmemfs::region {

inline constexpr const char* kSysfs = "/sys";

struct DaxDevice {
  std::string name;             // "dax0.0"
  std::uint64_t size = 0;       // bytes that can be mapped: a multiple of the alignment
  std::uint64_t alignment = 0;  // of what is mapped: a power of two, at least 4096
  bool persistent = false;      // of an NVDIMM; else memory that forgets (HBM, CXL, …)
};

// Whether a character device is of the subsystem "dax". False where sysfs is missing.
bool is_dax_device(dev_t device, const std::string& sysfs = kSysfs);

// EIO where sysfs contradicts itself, ENODEV when the driver is not the one that allows mappings.
Result<DaxDevice> read_dax_device(dev_t device, const std::string& shown, std::string& why,
                                  const std::string& sysfs = kSysfs);

// The reason why there is no device node of this name ("dax0.0"), or none that can be opened,
// although the kernel has such a device: it serves as system memory, or has no driver. Else empty.
std::string why_no_node(const std::string& name, const std::string& shown,
                        const std::string& sysfs = kSysfs);

// Bytes [off, off + n) of a device, to read.
class DaxView {
 public:
  // `fd` is not needed afterwards. EINVAL beyond the end of the device.
  static Result<DaxView> map(int fd, const DaxDevice& device, std::uint64_t off, std::uint64_t n);
  DaxView(DaxView&& other) noexcept;
  DaxView(const DaxView&) = delete;
  DaxView& operator=(const DaxView&) = delete;
  DaxView& operator=(DaxView&&) = delete;
  ~DaxView();

  [[nodiscard]] const std::byte* data() const { return start_ + skip_; }
  // A media error took some of the bytes: what was read before is none of the device's.
  [[nodiscard]] bool lost() const { return watch_->events() != 0; }

 private:
  DaxView() = default;

  std::byte* start_ = nullptr;
  std::uint64_t mapped_ = 0;
  std::uint64_t skip_ = 0;
  std::unique_ptr<base::MediaWatch> watch_;
};

}  // namespace pmemfs::region
