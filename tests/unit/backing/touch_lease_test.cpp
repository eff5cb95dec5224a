// The two promises that only the kernel can keep: touch() and leases.
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <thread>

#include "backing/touch.hpp"
#include "support/child.hpp"
#include "support/memory_region.hpp"
#include "unit/backing/host_fixture.hpp"

using namespace pmemfs;
using base::UniqueFd;
using test::HostFixture;
using test::kName;

namespace {

constexpr std::uint64_t kMiB = 1ULL << 20U;

// Whether any page of the file is allocated but unwritten, which SEEK_DATA takes for a hole.
bool all_data(const HostFixture& f, int fd, std::uint64_t size) {
  return f.host->seek(fd, 0, SEEK_HOLE).value() == size;
}

}  // namespace

TEST_CASE("touch: holes become data, bytes stay, across windows and at odd ranges") {
  for (const char* parent : {test::kTmpfs, ""}) {
    const HostFixture f(parent);
    const UniqueFd fd = f.create(kName);
    constexpr std::uint64_t kSize = 70 * kMiB;
    REQUIRE(f.host->truncate(fd.get(), kSize).ok());
    REQUIRE(f.host->write(fd.get(), 12345, "abc", 3));
    REQUIRE(f.host->touch(fd.get(), 0, kSize).ok());
    REQUIRE(f.host->sync_file(fd.get()).ok());
    CHECK(f.host->stat_fd(fd.get())->blocks * 512 >= kSize);
    CHECK(all_data(f, fd.get(), kSize));
    char back[5] = {};
    CHECK(f.host->read(fd.get(), 12344, back, 5).value() == 5);
    CHECK(std::string(back, 5) == std::string("\0abc\0", 5));
  }
}

TEST_CASE("touch: preallocated pages become written") {
  const HostFixture f("");
  const UniqueFd fd = f.create(kName);
  REQUIRE(f.host->allocate(fd.get(), 0, 0, kMiB).ok());
  REQUIRE(f.host->sync_file(fd.get()).ok());
  if (all_data(f, fd.get(), kMiB)) {
    PMEMFS_SKIP("needs a filesystem at TMPDIR that has unwritten extents");
  }
  REQUIRE(f.host->touch(fd.get(), 0, kMiB).ok());
  REQUIRE(f.host->sync_file(fd.get()).ok());
  CHECK(all_data(f, fd.get(), kMiB));
}

// As when the file shrinks, or its medium fails, after the pages were asked for.
TEST_CASE("touch: a page that is gone is an error and no death") {
  constexpr std::size_t kPage = 4096;
  void* const memory =
      ::mmap(nullptr, 4 * kPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(memory != MAP_FAILED);
  auto* const begin = static_cast<std::byte*>(memory);
  CHECK(backing::touch_mapping(begin, 4 * kPage));
  test::lose_memory(begin + 2 * kPage, kPage);
  CHECK(backing::touch_mapping(begin, 2 * kPage));
  CHECK(backing::touch_mapping(begin, 2 * kPage + 1).code() == EIO);
  test::lose_memory(begin + kPage, kPage);
  test::ChildProcess control([&] {  // without the handler
    std::signal(SIGBUS, SIG_DFL);
    return backing::touch_mapping(begin, 4 * kPage).code();
  });
  CHECK(control.wait() == 256 + SIGBUS);
  ::munmap(memory, 4 * kPage);
}

TEST_CASE("touch: only what overlaps the range, and never beyond the file") {
  const HostFixture f;
  const UniqueFd fd = f.create(kName);
  REQUIRE(f.host->truncate(fd.get(), 5 * 4096 + 1).ok());
  CHECK(f.host->touch(fd.get(), 4095, 2).ok());
  CHECK(f.host->stat_fd(fd.get())->blocks == 16);
  CHECK(f.host->touch(fd.get(), 5 * 4096, 1).ok());
  CHECK(f.host->stat_fd(fd.get())->blocks == 24);
  CHECK(f.host->touch(fd.get(), 0, 5 * 4096 + 2).code() == EINVAL);
  CHECK(f.host->touch(fd.get(), 1U << 20U, 1).code() == EINVAL);
  CHECK(f.host->touch(fd.get(), 5 * 4096 + 1, 0).ok());
}

TEST_CASE("touch: loses no store of a thread that stores meanwhile") {
  const HostFixture f;
  const UniqueFd fd = f.create(kName);
  constexpr std::uint64_t kPages = 512;
  REQUIRE(f.host->truncate(fd.get(), kPages * 4096).ok());
  void* p = ::mmap(nullptr, kPages * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  REQUIRE(p != MAP_FAILED);
  auto* words = static_cast<std::uint64_t*>(p);
  std::atomic<bool> stop = false;
  std::uint64_t rounds = 0;
  std::uint64_t lost = 0;
  std::thread storing([&] {
    for (; !stop; ++rounds) {
      for (std::uint64_t page = 0; page < kPages; ++page) {
        // The word that touch works on. Atomic, as in any program that shares memory.
        std::uint64_t* word = &words[page * 512];
        lost += __atomic_load_n(word, __ATOMIC_RELAXED) == rounds ? 0U : 1U;
        __atomic_store_n(word, rounds + 1, __ATOMIC_RELAXED);
      }
    }
  });
  int touched = 0;
  while (touched < 1000 && f.host->touch(fd.get(), 0, kPages * 4096).ok()) {
    ++touched;
  }
  stop = true;
  storing.join();
  CHECK(touched == 1000);
  CHECK(rounds > 0);
  CHECK(lost == 0);
  ::munmap(p, kPages * 4096);
}

TEST_CASE(
    "lease: granted when nobody else has the file, refused with a second descriptor or a mapping") {
  for (const char* parent : {test::kTmpfs, ""}) {
    const HostFixture f(parent);
    f.create(kName);
    const UniqueFd fd(f.host->open(kName).value());
    REQUIRE(f.host->truncate(fd.get(), 4096).ok());
    CHECK_FALSE(f.host->lease_held(fd.get()));
    REQUIRE(f.host->take_lease(fd.get()).ok());
    CHECK(f.host->lease_held(fd.get()));
    f.host->drop_lease(fd.get());
    CHECK_FALSE(f.host->lease_held(fd.get()));
    {
      const UniqueFd second(f.host->open(kName).value());
      CHECK(f.host->take_lease(fd.get()).code() == EBUSY);
    }
    void* p = nullptr;
    {
      const UniqueFd second(f.host->open(kName).value());
      p = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, second.get(), 0);
      REQUIRE(p != MAP_FAILED);
    }
    CHECK(f.host->take_lease(fd.get()).code() == EBUSY);
    ::munmap(p, 4096);
    CHECK(f.host->take_lease(fd.get()).ok());
  }
}

TEST_CASE(
    "lease: refused while another process maps the file, though the one that opened it died") {
  const HostFixture f;
  f.create(kName);
  const test::Signal mapped;
  test::ChildProcess holder([&] {
    const int fd = f.host->open(kName).value();
    void* p = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ::close(fd);
    mapped.send();
    ::pause();
    return p == MAP_FAILED ? 1 : 0;
  });
  mapped.await();
  const UniqueFd fd(f.host->open(kName).value());
  CHECK(f.host->take_lease(fd.get()).code() == EBUSY);
  holder.kill();
  holder.wait();
  CHECK(f.host->take_lease(fd.get()).ok());
}

TEST_CASE("lease: an open breaks it without killing us, and without waiting") {
  const HostFixture f;
  f.create(kName);
  const UniqueFd fd(f.host->open(kName).value());
  REQUIRE(f.host->take_lease(fd.get()).ok());
  CHECK(f.host->open(kName).code() == EBUSY);
  CHECK_FALSE(f.host->lease_held(fd.get()));
  f.host->drop_lease(fd.get());
  const auto again = f.host->open(kName);
  REQUIRE(again);
  ::close(*again);
}
