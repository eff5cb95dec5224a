// Flags of files, on whatever filesystem the temporary files have.
#include "base/file_flags.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "base/unique_fd.hpp"
#include "harness/catch.hpp"
#include "support/temp_dir.hpp"

using namespace pmemfs;

namespace {

// Nothing where the filesystem has no flags.
Result<std::uint32_t> flags_of(int fd) {
  struct fsxattr flags {};
  if (::ioctl(fd, FS_IOC_FSGETXATTR, &flags) != 0) {
    return Error(errno);
  }
  return flags.fsx_xflags;
}

}  // namespace

TEST_CASE("file flags: set, cleared, the others kept, and nothing written for nothing") {
  const test::TempDir dir("");
  const base::UniqueFd fd(::open(dir.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const auto before = flags_of(fd.get());
  if (!before || !base::change_file_flags(fd.get(), FS_XFLAG_NOATIME, true)) {
    PMEMFS_SKIP("needs a filesystem at TMPDIR that has flags");
  }
  CHECK(flags_of(fd.get()).value() == (before.value() | FS_XFLAG_NOATIME));
  CHECK_FALSE(base::change_file_flags(fd.get(), FS_XFLAG_NOATIME, true).value());
  CHECK(base::change_file_flags(fd.get(), FS_XFLAG_NODUMP, true).value());
  CHECK(base::change_file_flags(fd.get(), FS_XFLAG_NOATIME, false).value());
  CHECK(flags_of(fd.get()).value() == (before.value() | FS_XFLAG_NODUMP));
}

TEST_CASE("file flags: where there are none it is an error, and DAX is only a wish") {
  const base::UniqueFd fd(::open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  CHECK_FALSE(base::change_file_flags(fd.get(), FS_XFLAG_NOATIME, true).ok());
  CHECK_FALSE(base::prefer_dax(fd.get()));
}
