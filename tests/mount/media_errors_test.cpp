// A region whose memory fails under the daemon. Pages of a file that was cut behind its back are
// answered as bad ones are: SIGBUS.

#include <algorithm>

#include "mount/durable_support.hpp"
#include "support/extent_text.hpp"

namespace pmemfs::test {
namespace {

constexpr std::size_t kWhole = 16;  // pages of the file that stay

// 0 when the page is read and is `content`, else the errno, or -1.
Errno read_page(const std::string& path, std::size_t page, char content) {
  const UniqueFd fd(sys::open(path, O_RDONLY | O_DIRECT));
  std::string text(kPage, '?');
  const ssize_t n = ::pread(fd.get(), text.data(), kPage, static_cast<off_t>(page * kPage));
  if (n < 0) {
    return Errno{errno};
  }
  return Errno{text == std::string(kPage, content) ? 0 : -1};
}

std::uint64_t media_errors(const Mount& mount) {
  const ProgramResult status =
      run_program({program("pmemfsctl"), "status", "--json", mount.root()}, false);
  CHECK(status.status == 0);
  const std::string key = "\"media_errors\":";
  const std::size_t at = status.output.find(key);
  REQUIRE(at != std::string::npos);
  return std::stoull(status.output.substr(at + key.size()));
}

// "early" lies before "victim", of which the first pages stay; the directory lies behind both.
std::uint64_t populate(Mount& mount) {
  make_file(mount / "early", std::string(64 * kPage, 'e'));
  make_file(mount / "victim", std::string(64 * kPage, 'v'));
  NEED_OK(sys::mkdir(mount / "dir"));
  make_file(mount / "dir/inside", "x");
  make_file(mount / "dir/other", "x");
  mount.remount();  // nothing is in the kernel's caches
  const auto extents = parse_extents(layout_of(mount / "victim"));
  REQUIRE(extents.size() == 1);
  return extents[0].at + kWhole * kPage;
}

}  // namespace

TEST_CASE("a region that loses memory: EIO for what is lost, and the daemon lives") {
  need_mounting();
  need_kind(Kind::kFile);
  Mount mount(MountSpec{Kind::kFile, "allow_other", "16M"});
  const std::uint64_t cut = populate(mount);
  const off_t size = stat_of(mount.region()).st_size;
  CHECK(media_errors(mount) == 0);
  CHECK(content_of(mount / "dir/other") == "x");  // the daemon knows the directory's names
  NEED_OK(sys::truncate(mount.region(), static_cast<off_t>(cut)));

  for (int i = 0; i < 2; ++i) {
    CHECK(read_page(mount / "victim", kWhole, 'v') == Errno{EIO});
    CHECK(read_page(mount / "victim", 63, 'v') == Errno{EIO});
    CHECK(read_page(mount / "victim", kWhole - 1, 'v') == Errno{});
    CHECK(read_page(mount / "early", 5, 'e') == Errno{});
  }
  struct stat st {};
  CHECK(error_of(::stat((mount / "dir/inside").c_str(), &st)) == Errno{EIO});
  CHECK(error_of(::stat((mount / "dir").c_str(), &st)) == Errno{});
  CHECK(error_of(sys::mkdir(mount / "dir/new")) == Errno{EIO});
  {
    const UniqueFd fd(sys::open(mount / "victim", O_WRONLY | O_DIRECT));
    const std::string page(kPage, 'w');
    CHECK(error_of(::pwrite(fd.get(), page.data(), kPage, kWhole * kPage)) == Errno{EIO});
    CHECK(error_of(::pwrite(fd.get(), page.data(), kPage, (kWhole + 1) * kPage)) == Errno{EIO});
    CHECK(error_of(::pwrite(fd.get(), page.data(), kPage, 0)) == Errno{});
  }
  CHECK(read_page(mount / "victim", 0, 'w') == Errno{});
  CHECK(mount.alive());
  // Of the file three pages, of the directory one; and each write tried three times, two of them in
  // other blocks.
  const std::uint64_t lost = media_errors(mount);
  CHECK(lost == 4 + 2 * 3);

  // Memory that was never touched is back, what was lost stays so: work goes on around it.
  NEED_OK(sys::truncate(mount.region(), size));
  CHECK(read_page(mount / "victim", kWhole, 'v') == Errno{EIO});
  make_file(mount / "new", std::string(64 * kPage, 'n'));
  NEED_OK(sys::unlink(mount / "victim"));
  make_file(mount / "newer", std::string(64 * kPage, 'm'));
  CHECK(media_errors(mount) == lost);

  mount.remount();
  CHECK(read_page(mount / "early", 5, 'e') == Errno{});
  CHECK(read_page(mount / "new", 63, 'n') == Errno{});
  CHECK(read_page(mount / "newer", 63, 'm') == Errno{});
  CHECK(media_errors(mount) == 0);

  // What was met is known still: free blocks, which a scrub heals, and one of the directory.
  const std::string ctl = program("pmemfsctl");
  const ProgramResult listed = run_program({ctl, "media", mount.root()}, false);
  CHECK(listed.status == 0);
  CHECK(listed.output.find("free") != std::string::npos);
  const ProgramResult scrubbed = run_program({ctl, "scrub", mount.root()}, false);
  INFO(scrubbed.output);
  CHECK(scrubbed.status == 32);
  CHECK(scrubbed.output.find("directory cannot be read: /dir") != std::string::npos);
  const ProgramResult after = run_program({ctl, "media", mount.root()}, false);
  INFO(after.output);
  CHECK(after.output.find("free") == std::string::npos);
  CHECK(after.output.find("metadata") != std::string::npos);
  CHECK(after.output.find("4 KiB of memory is bad") != std::string::npos);
}

TEST_CASE("lost data of a file is overwritten, and read again") {
  need_mounting();
  need_kind(Kind::kFile);
  Mount mount(MountSpec{Kind::kFile, "allow_other", "16M"});
  make_file(mount / "file", std::string(8 * kPage, 'f'));
  mount.remount();
  const auto extents = parse_extents(layout_of(mount / "file"));
  REQUIRE(extents.size() == 1);
  const off_t size = stat_of(mount.region()).st_size;
  NEED_OK(sys::truncate(mount.region(), static_cast<off_t>(extents[0].at + 4 * kPage)));
  CHECK(read_page(mount / "file", 5, 'f') == Errno{EIO});
  NEED_OK(sys::truncate(mount.region(), size));
  CHECK(read_page(mount / "file", 5, 'f') == Errno{EIO});
  {
    const UniqueFd fd(sys::open(mount / "file", O_WRONLY | O_DIRECT));
    const std::string page(kPage, 'w');
    CHECK(error_of(::pwrite(fd.get(), page.data(), kPage, 5 * kPage)) == Errno{});
  }
  CHECK(read_page(mount / "file", 5, 'w') == Errno{});
  mount.remount();
  CHECK(read_page(mount / "file", 5, 'w') == Errno{});
}

TEST_CASE("a directory region that loses memory of its metadata goes on with the rest") {
  need_mounting();
  need_kind(Kind::kDirectory);
  Mount mount(MountSpec{Kind::kDirectory});
  make_file(mount / "file", "content");
  constexpr int kDirs = 40;
  for (int i = 0; i < kDirs; ++i) {
    const std::string dir = mount / ("dir" + std::to_string(i));
    NEED_OK(sys::mkdir(dir));
    for (int k = 0; k < 60; ++k) {
      NEED_OK(sys::mknod(dir + "/fifo" + std::to_string(k), S_IFIFO | 0600U));
    }
  }
  mount.remount();
  const std::string region = mount.region() + "/region";
  const off_t size = stat_of(region).st_size;
  // The first superblock, the lanes, the first inodes and directories lie before.
  NEED_OK(sys::truncate(region, static_cast<off_t>(400 * kPage)));
  int failed = 0;
  int found = 0;
  for (int i = 0; i < kDirs; ++i) {
    struct stat st {};
    const std::string name = mount / ("dir" + std::to_string(i) + "/fifo59");
    const Errno got = error_of(::stat(name.c_str(), &st));
    CHECK((got == Errno{} || got == Errno{EIO}));
    (got == Errno{} ? found : failed)++;
  }
  CHECK(found > 0);
  CHECK(failed > 0);
  CHECK(mount.alive());
  CHECK(media_errors(mount) > 0);
  CHECK(content_of(mount / "file") == "content");
  NEED_OK(sys::truncate(region, size));
  make_file(mount / "new", "new");
  mount.unmount();
}

}  // namespace pmemfs::test
