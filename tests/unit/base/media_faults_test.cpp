#include "base/media_faults.hpp"

#include <sys/mman.h>

#include <array>
#include <csignal>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "harness/catch.hpp"
#include "support/child.hpp"
#include "support/memory_region.hpp"

using namespace pmemfs;
using base::MediaWatch;
using test::ChildProcess;
using test::lose_memory;

namespace {

constexpr std::size_t kPage = 4096;
constexpr int kKilled = 256 + SIGBUS;

// Pages full of 'x'.
class Pages {
 public:
  explicit Pages(std::size_t count) : size_(count * kPage) {
    void* const got =
        ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(got != MAP_FAILED);
    start_ = static_cast<std::byte*>(got);
    std::memset(start_, 'x', size_);
  }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;
  ~Pages() { ::munmap(start_, size_); }

  [[nodiscard]] std::byte* at(std::size_t page) const { return start_ + page * kPage; }
  [[nodiscard]] std::size_t size() const { return size_; }
  void lose(std::size_t page) const { lose_memory(at(page), kPage); }

 private:
  std::size_t size_;
  std::byte* start_ = nullptr;
};

int load(const std::byte* from) {
  return static_cast<int>(*static_cast<const volatile std::byte*>(from));
}
void store(std::byte* to) {
  *static_cast<volatile std::byte*>(to) = std::byte{'y'};
}

}  // namespace

TEST_CASE("media errors: a load gives zeros, and is known to have met one") {
  const Pages pages(4);
  MediaWatch watch;
  REQUIRE(watch.start(pages.at(0), pages.size(), kPage));
  const std::uint64_t before = base::media_errors_met();
  CHECK(load(pages.at(2)) == 'x');
  CHECK(watch.events() == 0);
  CHECK_FALSE(watch.lost(0, pages.size()));

  pages.lose(2);
  CHECK(load(pages.at(2) + 100) == 0);
  CHECK(base::media_errors_met() == before + 1);
  CHECK(watch.events() == 1);
  CHECK(watch.pieces() == 1);
  CHECK_FALSE(watch.failed());
  CHECK(watch.lost(2 * kPage, 1));
  CHECK(watch.lost(3 * kPage - 1, 1));
  CHECK(watch.lost(0, pages.size()));
  CHECK_FALSE(watch.lost(0, 2 * kPage));
  CHECK_FALSE(watch.lost(3 * kPage, kPage));
  CHECK_FALSE(watch.lost(2 * kPage, 0));
  CHECK(load(pages.at(1)) == 'x');
  CHECK(load(pages.at(3)) == 'x');

  CHECK(load(pages.at(2)) == 0);  // no second signal
  CHECK(watch.events() == 1);
  CHECK(base::media_errors_met() == before + 1);
}

TEST_CASE("media errors: a store goes on, and is known to have met one") {
  const Pages pages(2);
  MediaWatch watch;
  REQUIRE(watch.start(pages.at(0), pages.size(), kPage));
  pages.lose(0);
  const std::uint64_t before = base::media_errors_met();
  std::memset(pages.at(0) + kPage - 64, 'y', 128);  // into the next page too
  CHECK(base::media_errors_met() == before + 1);
  CHECK(watch.lost(0, kPage));
  CHECK(load(pages.at(1) + 63) == 'y');
}

TEST_CASE(
    "media errors: what one thread meets is not another's, and forgiven errors are nobody's") {
  const Pages pages(2);
  MediaWatch watch;
  REQUIRE(watch.start(pages.at(0), pages.size(), kPage));
  pages.lose(0);
  pages.lose(1);
  const std::uint64_t before = base::media_errors_met();
  std::thread([&] { CHECK(load(pages.at(0)) == 0); }).join();
  CHECK(watch.pieces() == 1);
  CHECK(base::media_errors_met() == before);
  {
    const base::MediaErrorsForgiven forgiven;
    CHECK(load(pages.at(1)) == 0);
    base::note_media_error();
    CHECK(base::media_errors_met() == before + 2);
  }
  CHECK(base::media_errors_met() == before);
  CHECK(watch.lost(kPage, 1));
}

TEST_CASE("media errors: threads that meet the same page list it once, and none finds it whole") {
  constexpr std::size_t kPages = 64;
  const Pages pages(kPages);
  MediaWatch watch;
  REQUIRE(watch.start(pages.at(0), pages.size(), kPage));
  for (std::size_t i = 0; i < kPages; ++i) {
    pages.lose(i);
  }
  std::atomic<int> unexplained{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (std::size_t i = 0; i < kPages; ++i) {
        const int got = load(pages.at(i));
        unexplained += got != 0 || !watch.lost(i * kPage, 1) ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  CHECK(unexplained == 0);
  CHECK(watch.pieces() == kPages);
}

TEST_CASE("media errors: where mappings do not split, the whole piece is lost") {
  constexpr std::size_t kUnit = 4 * kPage;
  const Pages pages(12);
  MediaWatch watch;
  REQUIRE(watch.start(pages.at(0), pages.size(), kUnit));
  pages.lose(5);
  CHECK(load(pages.at(5)) == 0);
  CHECK(load(pages.at(4)) == 0);
  CHECK(load(pages.at(7) + kPage - 1) == 0);
  CHECK(load(pages.at(3) + kPage - 1) == 'x');
  CHECK(load(pages.at(8)) == 'x');
  CHECK(watch.pieces() == 1);
  CHECK(watch.lost(kUnit, 1));
  CHECK_FALSE(watch.lost(0, kUnit));
}

TEST_CASE("media errors: more than can be listed are a failure of the whole range") {
  constexpr std::size_t kPages = MediaWatch::kMostPieces + 8;
  const Pages pages(kPages);
  MediaWatch watch;
  REQUIRE(watch.start(pages.at(0), pages.size(), kPage));
  for (std::size_t i = 0; i < kPages; ++i) {
    pages.lose(i);
  }
  for (std::size_t i = 0; i < MediaWatch::kMostPieces; ++i) {
    CHECK(load(pages.at(i)) == 0);
  }
  CHECK_FALSE(watch.failed());
  CHECK_FALSE(watch.lost((kPages - 1) * kPage, 1));
  CHECK(load(pages.at(kPages - 4)) == 0);
  CHECK(watch.failed());
  CHECK(watch.lost((kPages - 1) * kPage, 1));
  CHECK(load(pages.at(kPages - 1)) == 0);
  CHECK(watch.pieces() == MediaWatch::kMostPieces);
}

TEST_CASE(
    "media errors: a range that grows is watched as far as it reaches, and until it is stopped") {
  const Pages pages(3);
  MediaWatch watch;
  REQUIRE(watch.start(pages.at(0), kPage, kPage));
  pages.lose(1);
  watch.grow(2 * kPage);
  CHECK(load(pages.at(1)) == 0);
  CHECK(watch.lost(kPage, 1));
  pages.lose(2);
  CHECK(ChildProcess([&] { return load(pages.at(2)); }).wait() != 0);
  watch.stop();
  MediaWatch other;  // takes the same place, and knows nothing of before
  REQUIRE(other.start(pages.at(0), pages.size(), kPage));
  CHECK(other.events() == 0);
  CHECK_FALSE(other.lost(0, pages.size()));
}

TEST_CASE("media errors: the number of watched ranges has a limit, and an error") {
  const Pages pages(1);
  std::vector<std::unique_ptr<MediaWatch>> watches;
  Status started;
  while (started && watches.size() < 10'000) {
    watches.push_back(std::make_unique<MediaWatch>());
    started = watches.back()->start(pages.at(0), kPage, kPage);
  }
  CHECK(started.code() == ENOMEM);
  CHECK(watches.size() > 64);
  watches.clear();
  MediaWatch again;
  CHECK(again.start(pages.at(0), kPage, kPage));
}

// The control: what is seen above does not come about by itself.
TEST_CASE("media errors: without the handler the same load is a death") {
  const Pages pages(1);
  MediaWatch watch;
  REQUIRE(watch.start(pages.at(0), pages.size(), kPage));
  pages.lose(0);
  ChildProcess child([&] {
    std::signal(SIGBUS, SIG_DFL);
    return load(pages.at(0));
  });
  CHECK(child.wait() == kKilled);
  CHECK(load(pages.at(0)) == 0);
}

TEST_CASE("media errors: SIGBUS elsewhere, and from others, does what it did") {
  const Pages pages(2);
  MediaWatch watch;
  REQUIRE(watch.start(pages.at(0), kPage, kPage));
  pages.lose(1);
  CHECK(ChildProcess([&] { return load(pages.at(1)); }).wait() != 0);
  CHECK(ChildProcess([&] {
          store(pages.at(1));
          return 0;
        }).wait() != 0);
  CHECK(ChildProcess([] { return std::raise(SIGBUS); }).wait() != 0);
}
