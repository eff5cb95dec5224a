// What can be said of DAX devices without one: sysfs as it would tell of them, and mappings with
// the limits of a device over a file that has none.
#include "region/devdax.hpp"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/unique_fd.hpp"
#include "harness/catch.hpp"
#include "region/mapped_region.hpp"
#include "region/region_handle.hpp"
#include "support/child.hpp"
#include "support/temp_dir.hpp"

namespace fs = std::filesystem;

namespace {

using namespace pmemfs;
using test::TempDir;

constexpr std::uint64_t kMiB = 1ULL << 20U;
constexpr std::uint64_t kStretch = 4 * kMiB;  // alignment of the "device"
const dev_t kNumber = ::makedev(253, 7);

void write_text(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path) << text << '\n';
}

// A folder like /sys with one DAX device, 253:7, of 9 MiB + 5 at a region of NVDIMMs.
class Sysfs {
 public:
  Sysfs() {
    write_text(region() / "devtype", "nd_pmem");
    write_text(device() / "size", std::to_string(9 * kMiB + 5));
    write_text(device() / "align", "2097152");
    fs::create_directories(bus() / "devices");
    link(device(), bus() / "devices/dax0.0");
    link(bus(), device() / "subsystem");
    link(device(), root() / "dev/char/253:7");
    set_driver("device_dax");
  }

  [[nodiscard]] fs::path root() const { return dir_.path(); }
  [[nodiscard]] fs::path region() const { return root() / "devices/ndbus0/region0"; }
  [[nodiscard]] fs::path device() const { return region() / "dax0.0/dax0.0"; }
  [[nodiscard]] fs::path bus() const { return root() / "bus/dax"; }

  void set_driver(const std::string& name) const {
    fs::remove(device() / "driver");
    if (!name.empty()) {
      link(bus() / "drivers" / name, device() / "driver");
    }
  }

  // The errno of reading the device; the reason must be one line with `part` in it.
  [[nodiscard]] int refused(const std::string& part) const {
    std::string why;
    const auto read = region::read_dax_device(kNumber, "/dev/dax0.0", why, root());
    INFO(why);
    CHECK(why.find(part) != std::string::npos);
    CHECK(why.find('\n') == std::string::npos);
    return read.code();
  }

 private:
  static void link(const fs::path& target, const fs::path& at) {
    fs::create_directories(target);
    fs::create_directories(at.parent_path());
    fs::create_directory_symlink(target, at);
  }

  TempDir dir_;
};

base::UniqueFd memory_file(std::uint64_t size) {
  base::UniqueFd fd(::memfd_create("device", MFD_CLOEXEC));
  REQUIRE(fd);
  REQUIRE(::ftruncate(fd.get(), static_cast<off_t>(size)) == 0);
  return fd;
}

char byte_at(int fd, std::uint64_t off) {
  char byte = 'E';
  REQUIRE(::pread(fd, &byte, 1, static_cast<off_t>(off)) == 1);
  return byte;
}

region::MapOptions as_device(bool read_only) {
  region::MapOptions options;
  options.device_alignment = kStretch;
  options.read_only = read_only;
  return options;
}

}  // namespace

TEST_CASE("devdax: size, alignment and persistence are what sysfs says") {
  const Sysfs sysfs;
  std::string why;
  const auto device = region::read_dax_device(kNumber, "/dev/dax0.0", why, sysfs.root());
  INFO(why);
  REQUIRE(device);
  CHECK(device->name == "dax0.0");
  CHECK(device->size == 8 * kMiB);  // whole multiples of the alignment can be mapped
  CHECK(device->alignment == 2 * kMiB);
  CHECK(device->persistent);
  CHECK(region::is_dax_device(kNumber, sysfs.root()));
}

TEST_CASE("devdax: a kernel that does not tell the alignment uses 2 MiB") {
  const Sysfs sysfs;
  fs::remove(sysfs.device() / "align");
  std::string why;
  CHECK(region::read_dax_device(kNumber, "d", why, sysfs.root())->alignment == 2 * kMiB);
}

TEST_CASE("devdax: memory of no NVDIMM is not persistent") {
  const Sysfs sysfs;
  std::string why;
  SECTION("a region of volatile memory") {
    write_text(sysfs.region() / "devtype", "nd_volatile");
  }
  SECTION("no region") {
    fs::remove(sysfs.region() / "devtype");
  }
  CHECK_FALSE(region::read_dax_device(kNumber, "d", why, sysfs.root())->persistent);
}

TEST_CASE("devdax: a device that cannot be mapped at present says why") {
  const Sysfs sysfs;
  const auto no_node = [&] {
    return region::why_no_node("dax0.0", "/dev/dax0.0", sysfs.root());
  };
  CHECK(no_node().empty());
  SECTION("it is system memory") {
    sysfs.set_driver("kmem");
    CHECK(sysfs.refused("--mode=devdax dax0.0") == ENODEV);
    CHECK(no_node().find("system memory") != std::string::npos);
  }
  SECTION("it has no driver") {
    sysfs.set_driver("");
    CHECK(sysfs.refused("daxctl enable-device dax0.0") == ENODEV);
    CHECK(no_node().find("not enabled") != std::string::npos);
  }
  CHECK(region::why_no_node("dax1.0", "/dev/dax1.0", sysfs.root()).empty());
  CHECK(region::why_no_node("", "/", sysfs.root()).empty());
}

TEST_CASE("devdax: what makes no sense in sysfs is refused") {
  const Sysfs sysfs;
  SECTION("alignment 0") {
    write_text(sysfs.device() / "align", "0");
  }
  SECTION("alignment of less than a page") {
    write_text(sysfs.device() / "align", "512");
  }
  SECTION("alignment that is no power of two") {
    write_text(sysfs.device() / "align", "3145728");
  }
  SECTION("no size") {
    write_text(sysfs.device() / "size", "");
  }
  CHECK(sysfs.refused("no size and alignment") == EIO);
}

TEST_CASE("devdax: other devices are none") {
  const Sysfs sysfs;
  CHECK_FALSE(region::is_dax_device(::makedev(1, 3), sysfs.root()));
  CHECK_FALSE(region::is_dax_device(::makedev(1, 3)));
  for (const char* path : {"/dev/null", "/dev/zero"}) {
    std::string why;
    std::array<std::byte, 8> bytes{};
    CHECK(region::create(path, {}, why).code() == ENODEV);
    CHECK(why.find("not a DAX device") != std::string::npos);
    CHECK(region::open(path, {}, why).code() == ENODEV);
    CHECK(region::peek(path, 0, bytes.data(), bytes.size(), why).code() == ENODEV);
  }
}

TEST_CASE("devdax: a view maps whole stretches and shows the bytes asked for") {
  const base::UniqueFd fd = memory_file(8 * kMiB);
  const std::string text = "across two stretches";
  const std::uint64_t off = 4 * kMiB - 5;
  REQUIRE(::pwrite(fd.get(), text.data(), text.size(), static_cast<off_t>(off)) > 0);
  const region::DaxDevice device{"dax0.0", 8 * kMiB, 2 * kMiB, true};
  const auto view = region::DaxView::map(fd.get(), device, off, text.size());
  REQUIRE(view);
  CHECK(std::memcmp(view->data(), text.data(), text.size()) == 0);
  CHECK(region::DaxView::map(fd.get(), device, 8 * kMiB, 1).code() == EINVAL);
  CHECK(region::DaxView::map(fd.get(), device, 8 * kMiB - 1, 2).code() == EINVAL);
  CHECK(region::DaxView::map(fd.get(), device, ~0ULL, 2).code() == EINVAL);
}

TEST_CASE("devdax: a region is mapped at a multiple of the alignment, and may end within one") {
  const base::UniqueFd fd = memory_file(5 * kStretch);
  const std::uint64_t size = 4 * kStretch + 4096;
  auto region = region::MappedRegion::map(fd.get(), size, as_device(false));
  REQUIRE(region);
  CHECK((*region)->size() == size);
  CHECK(reinterpret_cast<std::uintptr_t>((*region)->data()) % kStretch == 0);
  (*region)->store_u64(ByteOff(size - 8), 'x');
  CHECK(byte_at(fd.get(), size - 8) == 'x');
  CHECK((*region)->grow(5 * kStretch).code() == EOPNOTSUPP);
}

TEST_CASE("devdax: a read-only region stores to copies of the stretches asked for") {
  const base::UniqueFd fd = memory_file(4 * kStretch);
  REQUIRE(::pwrite(fd.get(), "abc", 3, kStretch + 100) == 3);
  auto mapped = region::MappedRegion::map(fd.get(), 4 * kStretch, as_device(true));
  REQUIRE(mapped);
  Region& region = **mapped;
  const std::byte* const start = region.data();
  REQUIRE(region.make_private(ByteOff(2 * kStretch - 4), 8));  // in two stretches
  REQUIRE(region.make_private(ByteOff(kStretch), 8));
  CHECK(region.data() == start);
  CHECK(std::memcmp(start + kStretch + 100, "abc", 3) == 0);
  region.store(ByteOff(2 * kStretch - 4), "12345678", 8);
  region.flush(ByteOff(2 * kStretch - 4), 8);
  region.fence();
  CHECK(std::memcmp(start + 2 * kStretch - 4, "12345678", 8) == 0);
  CHECK(byte_at(fd.get(), 2 * kStretch - 4) == 0);
  REQUIRE(region.make_private(ByteOff(2 * kStretch), 1));  // no second copy: the stores stay
  CHECK(std::memcmp(start + 2 * kStretch, "5678", 4) == 0);
  // The others are still the device itself.
  REQUIRE(::pwrite(fd.get(), "d", 1, 3 * kStretch) == 1);
  CHECK(start[3 * kStretch] == std::byte{'d'});
}

TEST_CASE("devdax: without memory for a copy nothing changes") {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  PMEMFS_SKIP("needs a build without sanitizers, which take memory themselves now and then");
#endif
  const base::UniqueFd fd = memory_file(2 * kStretch);
  test::ChildProcess child([&] {
    auto region = region::MappedRegion::map(fd.get(), 2 * kStretch, as_device(true));
    const rlimit nothing_more{1, 1};
    if (!region || ::setrlimit(RLIMIT_AS, &nothing_more) != 0) {
      return 1;
    }
    const int code = (*region)->make_private(ByteOff(0), 1).code();
    return code == ENOMEM && (*region)->data()[kStretch] == std::byte{0} ? 0 : 2;
  });
  CHECK(child.wait() == 0);
}

TEST_CASE("devdax: control: a store to a stretch that was not copied is the end") {
  const base::UniqueFd fd = memory_file(2 * kStretch);
  test::ChildProcess child([&] {
    auto region = region::MappedRegion::map(fd.get(), 2 * kStretch, as_device(true));
    if (!region || !(*region)->make_private(ByteOff(0), 1)) {
      return 1;
    }
    ::signal(SIGSEGV, SIG_DFL);
    (*region)->store_u64(ByteOff(kStretch), 1);
    return 0;
  });
  CHECK(child.wait() == 256 + SIGSEGV);
}
