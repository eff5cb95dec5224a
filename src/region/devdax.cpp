#include "region/devdax.hpp"

#include <fmt/core.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

#include <bit>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <utility>

#include "pmemfs/format.hpp"
#include "region/reason.hpp"

namespace pmemfs::region {
namespace {

namespace fs = std::filesystem;

// Drivers of the bus dax: the one makes a character device, the other hands the memory to the
// system.
constexpr const char* kMapDriver = "device_dax";
constexpr const char* kMemoryDriver = "kmem";

fs::path device_folder(dev_t device, const std::string& sysfs) {
  return fs::path(sysfs) / "dev/char" / fmt::format("{}:{}", ::major(device), ::minor(device));
}

// Where a link of a device leads: "dax" of "../../bus/dax", empty without such a link.
std::string link_name(const fs::path& link) {
  std::error_code error;
  return fs::read_symlink(link, error).filename().string();
}

// One number, decimal or with 0x; 0 where there is none.
std::uint64_t read_number(const fs::path& file) {
  std::ifstream in(file);
  std::uint64_t number = 0;
  in.unsetf(std::ios::basefield);
  return in >> number ? number : 0;
}

std::string read_word(const fs::path& file) {
  std::ifstream in(file);
  std::string word;
  in >> word;
  return word;
}

// Only a region of NVDIMMs above the device tells: other memory is made into DAX devices too.
bool below_nvdimm(const fs::path& device, const fs::path& sysfs) {
  for (fs::path at = device; at != sysfs && at.has_relative_path(); at = at.parent_path()) {
    if (read_word(at / "devtype") == "nd_pmem") {
      return true;
    }
  }
  return false;
}

std::string wrong_driver(const std::string& driver, const std::string& name,
                         const std::string& shown) {
  if (driver == kMemoryDriver) {
    return fmt::format(
        "{}: is in use as system memory; daxctl reconfigure-device --mode=devdax {} takes it back",
        shown, name);
  }
  return fmt::format("{}: is not enabled; daxctl enable-device {} does it", shown, name);
}

}  // namespace

bool is_dax_device(dev_t device, const std::string& sysfs) {
  return link_name(device_folder(device, sysfs) / "subsystem") == "dax";
}

Result<DaxDevice> read_dax_device(dev_t device, const std::string& shown, std::string& why,
                                  const std::string& sysfs) {
  std::error_code error;
  const fs::path folder = fs::canonical(device_folder(device, sysfs), error);
  if (error) {
    return because_errno(why, error.value(), device_folder(device, sysfs));
  }
  DaxDevice found;
  found.name = folder.filename().string();
  if (const std::string driver = link_name(folder / "driver"); driver != kMapDriver) {
    return because(why, ENODEV, wrong_driver(driver, found.name, shown));
  }
  // Kernels before 5.10 do not tell the alignment; what they use on NVDIMMs by default is that.
  const bool told = fs::exists(folder / "align", error);
  found.alignment = told ? read_number(folder / "align") : format::kFrameSize;
  const std::uint64_t size = read_number(folder / "size");
  if (!std::has_single_bit(found.alignment) || found.alignment < format::kBlockSize || size == 0) {
    return because(why, EIO,
                   fmt::format("{}: {} tells no size and alignment that make sense ({} and {})",
                               shown, folder.string(), size, found.alignment));
  }
  found.size = size / found.alignment * found.alignment;
  found.persistent = below_nvdimm(folder, fs::canonical(sysfs, error));
  return found;
}

std::string why_no_node(const std::string& name, const std::string& shown,
                        const std::string& sysfs) {
  const fs::path folder = fs::path(sysfs) / "bus/dax/devices" / name;
  std::error_code error;
  if (name.empty() || !fs::exists(folder, error)) {
    return {};
  }
  const std::string driver = link_name(folder / "driver");
  return driver == kMapDriver ? std::string() : wrong_driver(driver, name, shown);
}

Result<DaxView> DaxView::map(int fd, const DaxDevice& device, std::uint64_t off, std::uint64_t n) {
  if (n == 0 || off > device.size || n > device.size - off) {
    return Error(EINVAL);
  }
  const std::uint64_t unit = device.alignment;
  const std::uint64_t from = off / unit * unit;
  const std::uint64_t to = (off + n + unit - 1) / unit * unit;
  void* p = ::mmap(nullptr, to - from, PROT_READ, MAP_SHARED, fd, static_cast<off_t>(from));
  if (p == MAP_FAILED) {
    return Error(errno);
  }
  DaxView view;
  view.start_ = static_cast<std::byte*>(p);
  view.mapped_ = to - from;
  view.skip_ = off - from;
  view.watch_ = std::make_unique<base::MediaWatch>();
  PMEMFS_CHECK(view.watch_->start(view.start_, view.mapped_, unit));
  return view;
}

DaxView::DaxView(DaxView&& other) noexcept
    : start_(std::exchange(other.start_, nullptr)),
      mapped_(other.mapped_),
      skip_(other.skip_),
      watch_(std::move(other.watch_)) {}

DaxView::~DaxView() {
  if (start_ != nullptr) {
    watch_->stop();
    ::munmap(start_, mapped_);
  }
}

}  // namespace pmemfs::region
