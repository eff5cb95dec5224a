// A mount whose filesystem others change, as guests do: by the core, behind the kernel's back.
#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <future>
#include <string>
#include <thread>

#include "base/unique_fd.hpp"
#include "fuse/session.hpp"
#include "harness/catch.hpp"
#include "support/memory_filesystem.hpp"
#include "support/memory_region.hpp"
#include "support/temp_dir.hpp"

namespace pmemfs::test {
namespace {

using namespace std::chrono_literals;

// Served by this process until the end.
class SharedMount {
 public:
  SharedMount() : fs(make_filesystem(*region_)) {
    fuse::SessionOptions options;
    options.source = "shared_test";
    options.mountpoint = dir_.path();
    options.shared = true;
    std::string why;
    auto mounted = fuse::Session::mount(*fs, options, &why);
    INFO(why);
    REQUIRE(mounted.ok());
    session_ = std::move(*mounted);
    std::promise<void> ready;
    thread_ = std::thread([&] { (void)session_->run([&] { ready.set_value(); }); });
    ready.get_future().wait();
  }
  ~SharedMount() {
    session_->stop();
    thread_.join();
  }
  SharedMount(const SharedMount&) = delete;
  SharedMount& operator=(const SharedMount&) = delete;

  [[nodiscard]] std::string path(const std::string& name) const { return dir_ / name; }

 private:
  TempDir dir_;
  MemoryRegion region_{64ULL << 20U};

 public:
  std::unique_ptr<Filesystem> fs;

 private:
  std::unique_ptr<fuse::Session> session_;
  std::thread thread_;
};

// Far more than the second that a shared mount may be behind, far less than the day of another.
bool soon(const std::function<bool()>& holds) {
  for (int i = 0; i < 600; ++i) {
    if (holds()) {
      return true;
    }
    std::this_thread::sleep_for(50ms);
  }
  return false;
}

std::string content(const std::string& path) {
  const base::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string text(100, '\0');
  const ssize_t got = ::read(fd.get(), text.data(), text.size());
  text.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
  return text;
}

TEST_CASE("a shared mount sees what others do to names and data") {
  if (::geteuid() != 0 || ::access("/dev/fuse", R_OK | W_OK) != 0) {
    PMEMFS_SKIP("needs root and /dev/fuse");
  }
  const SharedMount mount;
  const Caller root{};
  const auto made = mount.fs->create(root, kRootInode, "a", 0644, O_RDWR);
  REQUIRE(made.ok());
  const auto write = [&](std::string_view text) {
    return mount.fs->write(made->opened.handle, 0, std::as_bytes(std::span(text)), false, false)
        .ok();
  };
  REQUIRE(write("old"));
  CHECK(content(mount.path("a")) == "old");
  REQUIRE(write("new and longer"));
  CHECK(soon([&] { return content(mount.path("a")) == "new and longer"; }));

  CHECK(::access(mount.path("b").c_str(), F_OK) != 0);
  REQUIRE(mount.fs->rename(root, kRootInode, "a", kRootInode, "b", 0).ok());
  CHECK(soon([&] { return ::access(mount.path("a").c_str(), F_OK) != 0; }));
  CHECK(soon([&] { return ::access(mount.path("b").c_str(), F_OK) == 0; }));
  mount.fs->release(made->opened.handle);
  mount.fs->forget(made->attributes.ino, 1);
}

}  // namespace
}  // namespace pmemfs::test
