// WRITE of data that lie in the guest's memory, which may be lost meanwhile.
#include <sys/mman.h>

#include <algorithm>
#include <array>

#include "base/media_faults.hpp"
#include "guest_rig.hpp"
#include "unit/backing/host_fixture.hpp"

namespace pmemfs::test {
namespace {

constexpr std::size_t kPage = 4096;

// Two pages of a guest, watched as virtiofs does.
class TwoPages {
 public:
  TwoPages()
      : memory_(static_cast<std::byte*>(::mmap(nullptr, 2 * kPage, PROT_READ | PROT_WRITE,
                                               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {
    std::fill_n(memory_, 2 * kPage, std::byte{'w'});
    REQUIRE(watch_.start(memory_, 2 * kPage, kPage));
  }
  TwoPages(const TwoPages&) = delete;
  TwoPages& operator=(const TwoPages&) = delete;
  ~TwoPages() {
    watch_.stop();
    ::munmap(memory_, 2 * kPage);
  }

  // Puts a file in its place that is shorter: the second page is gone, and system calls are EFAULT.
  void lose_second() const { lose_memory(memory_ + kPage, kPage); }
  [[nodiscard]] std::array<iovec, 2> pieces() const {
    return {{{memory_, kPage}, {memory_ + kPage, kPage}}};
  }
  [[nodiscard]] bool met() const { return watch_.events() != 0; }

 private:
  std::byte* memory_;
  base::MediaWatch watch_;
};

GuestReply write(Guest& guest, const GuestFile& file, std::uint64_t off, std::uint32_t size,
                 std::span<const iovec> rest) {
  fuse_write_in in{};
  in.fh = file.fh;
  in.offset = off;
  in.size = size;
  GuestRequest request(FUSE_WRITE, file.node);
  request.add(in);
  std::size_t more = 0;
  for (const iovec& piece : rest) {
    more += piece.iov_len;
  }
  request.length = static_cast<std::uint32_t>(sizeof(fuse_in_header) + sizeof(in) + more);
  return guest.ask(std::move(request), rest);
}

// A guest of a filesystem on host files.
struct HostGuest : GuestRig {
  HostGuest() {
    store::FormatOptions format;
    format.kind = format::RegionKind::kDirectory;
    format.uuid.fill(7);
    REQUIRE(store::Store::format(*memory, format).ok());
    auto store = store::Store::open(*memory, nullptr);
    REQUIRE(store.ok());
    FilesystemOptions options;
    options.background = false;
    auto opened = Filesystem::open(std::move(*store), files.host.get(), options);
    REQUIRE(opened.ok());
    on_host = std::move(*opened);
  }

  MemoryRegion memory{32ULL << 20U};
  HostFixture files;
  std::unique_ptr<Filesystem> on_host;
};

}  // namespace

TEST_CASE("what a guest writes is taken from where it lies, as much as it says") {
  OneGuest rig;
  const GuestFile file = rig.guest.create("a");
  const TwoPages memory;
  const auto pieces = memory.pieces();
  CHECK(write(rig.guest, file, 10, kPage + 1, pieces).get<fuse_write_out>().size == kPage + 1);
  CHECK(rig.guest.read(file, 0, 3 * kPage).body ==
        std::string(10, '\0') + std::string(kPage + 1, 'w'));
  CHECK(write(rig.guest, file, 0, 2 * kPage + 1, pieces).error == EINVAL);  // more than came
}

TEST_CASE("only WRITE has data that are not copied") {
  OneGuest rig;
  const TwoPages memory;
  const auto pieces = memory.pieces();
  GuestRequest request(FUSE_GETATTR);
  request.add(fuse_getattr_in{});
  request.length =
      static_cast<std::uint32_t>(sizeof(fuse_in_header) + sizeof(fuse_getattr_in) + 2 * kPage);
  const GuestReply reply = rig.guest.ask(std::move(request), pieces);
  CHECK(reply.error == EINVAL);
}

TEST_CASE("what is lost in a guest's memory is not written, and met by who watches it") {
  HostGuest rig;
  Filesystem& fs = GENERATE(false, true) ? *rig.on_host : *rig.fs;
  Guest guest(fs, {});
  REQUIRE(guest.init().error == 0);
  const GuestFile file = guest.create("a");
  REQUIRE(guest.write(file, 0, "before").error == 0);
  const TwoPages memory;
  const auto pieces = memory.pieces();
  memory.lose_second();
  SECTION("in the middle of a write") {
    CHECK(write(guest, file, 6, 2 * kPage, pieces).error == EIO);
  }
  SECTION("from its beginning on") {
    CHECK(write(guest, file, 6, kPage, std::span(pieces).subspan(1)).error == EIO);
  }
  CHECK(memory.met());
  CHECK(guest.read(file, 0, 6).body == "before");
  CHECK(guest.write(file, 0, "after").error == 0);
  CHECK(guest.read(file, 0, 5).body == "after");
}

}  // namespace pmemfs::test
