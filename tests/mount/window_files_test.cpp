// Host files as a VMM gets them: as large as can be, the same memory, and nothing of ours kept.
#include "fuse/window_files.hpp"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <csignal>
#include <filesystem>

#include "mount/durable_support.hpp"
#include "support/eventually.hpp"
#include "support/temp_dir.hpp"
#include "virtiofs/memory.hpp"

namespace pmemfs::test {
namespace {

constexpr off_t kLarge = off_t{1} << 40;

// A host file of 10000 bytes, and how VMMs get it. Skips where that is impossible.
struct Stage {
  TempDir dir{scratch()};
  std::string path = dir / "host";
  std::unique_ptr<fuse::WindowFiles> files;

  Stage() {
    need_mounting();
    make_file(path, pattern(10'000, 1));
    auto made = fuse::WindowFiles::create(false);
    if (made.code() == EOPNOTSUPP) {
      PMEMFS_SKIP("needs FUSE passthrough (Linux 6.9)");
    }
    REQUIRE(made.ok());
    files = std::move(*made);
  }
  [[nodiscard]] UniqueFd open() const {
    const UniqueFd host = open_file(path, O_RDWR);
    auto opened = files->open(host.get());
    REQUIRE(opened.ok());
    return std::move(*opened);
  }
  // Nobody has the host file open or mapped. RELEASE comes after the last close returned.
  [[nodiscard]] Errno lease() const {
    Errno result;
    for (int i = 0; i < 200; ++i) {
      const UniqueFd host = open_file(path, O_RDWR);
      result = error_of(::fcntl(host.get(), F_SETLEASE, F_WRLCK));
      if (result == Errno{}) {
        break;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return result;
  }
};

std::string read_some(const std::string& path, std::size_t size, off_t off) {
  return pread_some(open_file(path, O_RDONLY).get(), size, off);
}

std::size_t open_descriptors() {
  const std::filesystem::directory_iterator list("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(list), end(list)));
}

}  // namespace

TEST_CASE("what is mapped beyond the end is the file when it grows") {
  const Stage stage;
  const UniqueFd file = stage.open();
  CHECK(::lseek(file.get(), 0, SEEK_END) >= kLarge);
  CHECK(stat_of(file.get()).st_size >= kLarge);
  const Mapped mapped(file.get(), 2 * kMiB);
  REQUIRE(mapped.data() != nullptr);
  CHECK(mapped.text(0, 10'000) == pattern(10'000, 1));
  mapped.store(100, "through the window");
  CHECK(read_some(stage.path, 18, 100) == "through the window");
  NEED_OK(sys::truncate(stage.path, kMiB));
  mapped.store(kMiB - 5, "grown");
  CHECK(read_some(stage.path, 100, kMiB - 5) == "grown");
  CHECK(stat_of(stage.path).st_size == kMiB);
}

TEST_CASE("a mapping keeps the host file, and nothing does after it") {
  const Stage stage;
  {
    UniqueFd file = stage.open();
    const Mapped mapped(file.get(), kPage);
    REQUIRE(mapped.data() != nullptr);
    file.reset();
    const UniqueFd host = open_file(stage.path, O_RDWR);
    EXPECT_ERRNO(EAGAIN, ::fcntl(host.get(), F_SETLEASE, F_WRLCK));
  }
  CHECK(stage.lease() == Errno{});
}

TEST_CASE("a mapping lives on without the daemon") {
  Stage stage;
  UniqueFd file = stage.open();
  const Mapped mapped(file.get(), 2 * kMiB);
  file.reset();
  stage.files.reset();
  mapped.store(100, "and on");
  CHECK(read_some(stage.path, 6, 100) == "and on");
  NEED_OK(sys::truncate(stage.path, kMiB));
  mapped.store(kMiB - 5, "grown");  // pages that were not touched before
  CHECK(read_some(stage.path, 100, kMiB - 5) == "grown");
}

TEST_CASE("many files leave nothing behind, and each is its own") {
  const Stage stage;
  const std::string other = stage.dir / "other";
  make_file(other, "another file");
  (void)stage.open();
  const std::size_t before = open_descriptors();
  for (int i = 0; i < 300; ++i) {
    const UniqueFd file = stage.open();
    const UniqueFd host = open_file(other, O_RDWR);
    auto opened = stage.files->open(host.get());
    REQUIRE(opened.ok());
    REQUIRE(Mapped(file.get(), kPage).text(0, 12) == pattern(10'000, 1).substr(0, 12));
    REQUIRE(Mapped(opened->get(), kPage).text(0, 12) == "another file");
  }
  CHECK(open_descriptors() == before);
  CHECK(stage.lease() == Errno{});
}

TEST_CASE("what is no file cannot be given") {
  const Stage stage;
  CHECK(stage.files->open(-1).code() == EBADF);
  const UniqueFd dir = open_file(stage.dir.path(), O_RDONLY);
  CHECK(stage.files->open(dir.get()).code() == EIO);
  (void)stage.open();  // and the next one can
}

TEST_CASE("a machine shows the files of one daemon to the other, for which they are no memory") {
  Stage stage;
  const UniqueFd file = stage.open();
  const virtiofs::ShownFiles own;
  virtiofs::GuestMemoryMap map(own);
  if (GENERATE(false, true)) {
    stage.files.reset();  // its daemon ended, and the machine shows them still
  }
  REQUIRE(map.add({2 * kMiB, 2 * kMiB, 2 * kMiB, 0}, file.get()).ok());
  CHECK(map.picture()->held(2 * kMiB, 1, false) == 0);
}

TEST_CASE("when the mount ends by an error nobody waits for it") {
  Stage stage;
  const UniqueFd file = stage.open();
  const Mapped mapped(file.get(), kPage);
  const auto asks_the_mount = [&] {
    struct statx st {};
    return error_of(::statx(file.get(), "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_SIZE, &st));
  };
  const UniqueFd host = open_file(stage.path, O_RDWR);
  rlimit before{};
  NEED_OK(::getrlimit(RLIMIT_NOFILE, &before));
  const rlimit none{1, before.rlim_max};  // poll(2) with more descriptors fails
  NEED_OK(::setrlimit(RLIMIT_NOFILE, &none));
  (void)asks_the_mount();  // perhaps the last that is served
  const Errno late = asks_the_mount();
  NEED_OK(::setrlimit(RLIMIT_NOFILE, &before));
  CHECK(late != Errno{});
  CHECK(stage.files->open(host.get()).code() == ENOTCONN);
  mapped.store(0, "what is mapped stays");
  CHECK(read_some(stage.path, 20, 0) == "what is mapped stays");
}

// A process that waits for an answer of its own is not ended by SIGKILL, and keeps its region.
TEST_CASE("a daemon that is killed while it opens files ends") {
  const Stage stage;  // skips
  for (int i = 0; i < 40; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::close(STDOUT_FILENO);  // or who reads what we write would wait, too
      ::close(STDERR_FILENO);
      auto made = fuse::WindowFiles::create(false);
      const UniqueFd host(::open(stage.path.c_str(), O_RDWR | O_CLOEXEC));
      while (made && (*made)->open(host.get())) {
      }
      ::_exit(1);
    }
    REQUIRE(child > 0);
    std::this_thread::sleep_for(std::chrono::microseconds(20'000 + 173 * i));
    NEED_OK(::kill(child, SIGKILL));
    REQUIRE(eventually([child] { return ::waitpid(child, nullptr, WNOHANG) == child; }));
  }
}

}  // namespace pmemfs::test
