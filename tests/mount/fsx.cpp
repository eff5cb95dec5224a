#include "mount/fsx.hpp"

#include <linux/falloc.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <stdexcept>

namespace pmemfs::test {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::size_t kHistory = 30;

// The pages around a range, mapped; null with errno set when refused.
class PageMapping {
 public:
  PageMapping(int fd, std::uint64_t off, std::uint64_t size, int protection, int flags)
      : skip_(off % kPage), size_(skip_ + size) {
    void* at = ::mmap(nullptr, size_, protection, flags, fd, static_cast<off_t>(off - skip_));
    base_ = at == MAP_FAILED ? nullptr : static_cast<char*>(at);
  }
  ~PageMapping() {
    if (base_ != nullptr) {
      ::munmap(base_, size_);
    }
  }
  PageMapping(const PageMapping&) = delete;
  PageMapping& operator=(const PageMapping&) = delete;
  [[nodiscard]] char* data() const { return base_ == nullptr ? nullptr : base_ + skip_; }
  void sync() const { ::msync(base_, size_, MS_SYNC); }

 private:
  std::uint64_t skip_;
  std::uint64_t size_;
  char* base_ = nullptr;
};

}  // namespace

Fsx::Fsx(std::string path, const FsxRules& rules, std::uint64_t seed)
    : path_(std::move(path)), rules_(rules), random_(seed) {
  reopen();
}

std::string Fsx::run(std::uint64_t operations) {
  try {
    for (std::uint64_t i = 0; i < operations; ++i) {
      step();
      const off_t size = stat_of(handle()).st_size;
      if (size != static_cast<off_t>(model_.size())) {
        fail("size is " + std::to_string(size) + ", expected " + std::to_string(model_.size()));
      }
      if (i % 50 == 49) {
        check_all();
      }
    }
    check_all();
    return {};
  } catch (const std::exception& e) {
    std::string text = e.what();
    for (const std::string& line : history_) {
      text += "\n  " + line;
    }
    return text;
  }
}

void Fsx::step() {
  using Operation = void (Fsx::*)();
  static constexpr std::array<Operation, 16> kOperations{
      &Fsx::read,      &Fsx::read,      &Fsx::write,    &Fsx::write,
      &Fsx::write,     &Fsx::append,    &Fsx::map_read, &Fsx::map_read,
      &Fsx::map_write, &Fsx::map_write, &Fsx::truncate, &Fsx::allocate,
      &Fsx::punch,     &Fsx::zero,      &Fsx::copy,     &Fsx::reopen};
  ++count_;
  (this->*random_.pick(kOperations))();
}

void Fsx::read() {
  const Range range = any_range();
  note("read", range);
  compare(pread_some(handle(), range.size, range.at()), range);
}

void Fsx::write() {
  const Range range = any_range();
  note("write", range);
  const std::string data = pattern(range.size, count_);
  if (!pwrite_all(handle(), data, range.at())) {
    fail(std::string("write: ") + ::strerrorname_np(errno));
  }
  store(range, data);
}

void Fsx::append() {
  const Range range{model_.size(), std::min(random_.below(9000), kMaxSize - model_.size())};
  note("append", range);
  const std::string data = pattern(range.size, count_);
  const UniqueFd fd = open_file(path_, O_WRONLY | O_APPEND);
  if (!write_all(fd.get(), data)) {
    fail(std::string("append: ") + ::strerrorname_np(errno));
  }
  store(range, data);
}

void Fsx::map_read() {
  const Range range = existing_range();
  if (range.size == 0) {
    return;
  }
  const bool shared = random_.one_in(2);
  note(shared ? "map_read" : "map_read private", range);
  const PageMapping map(handle(), range.off, range.size, PROT_READ,
                        shared ? MAP_SHARED : MAP_PRIVATE);
  if (shared && !rules_.shared_mapping) {
    expect(Errno{ENODEV}, map.data() == nullptr ? Errno{errno} : Errno{});
    return;
  }
  expect(Errno{}, map.data() == nullptr ? Errno{errno} : Errno{});
  compare(std::string(map.data(), range.size), range);
}

void Fsx::map_write() {
  const Range range = existing_range();
  if (range.size == 0) {
    return;
  }
  note("map_write", range);
  const PageMapping map(handle(), range.off, range.size, PROT_READ | PROT_WRITE, MAP_SHARED);
  if (!rules_.shared_mapping) {
    expect(Errno{ENODEV}, map.data() == nullptr ? Errno{errno} : Errno{});
    return;
  }
  expect(Errno{}, map.data() == nullptr ? Errno{errno} : Errno{});
  const std::string data = pattern(range.size, count_);
  std::memcpy(map.data(), data.data(), data.size());
  store(range, data);
  if (random_.one_in(4)) {
    map.sync();
  }
}

void Fsx::truncate() {
  const std::uint64_t size = random_.one_in(10) ? model_.size() : random_.below(kMaxSize);
  note("truncate to", {size, 0});
  const Errno result = error_of(random_.one_in(2) ? ::ftruncate(handle(), static_cast<off_t>(size))
                                                  : sys::truncate(path_, static_cast<off_t>(size)));
  if (rules_.durable && size < model_.size()) {
    expect(Errno{ETXTBSY}, result);
    return;
  }
  expect(Errno{}, result);
  model_.resize(size, '\0');
}

void Fsx::allocate() {
  const Range range = any_range();
  if (range.size == 0) {
    return;
  }
  const bool keep = random_.one_in(2);
  note(keep ? "fallocate KEEP_SIZE" : "fallocate", range);
  expect(Errno{}, error_of(::fallocate(handle(), keep ? FALLOC_FL_KEEP_SIZE : 0, range.at(),
                                       range.length())));
  if (!keep && range.off + range.size > model_.size()) {
    model_.resize(range.off + range.size, '\0');
  }
}

void Fsx::punch() {
  const Range range = any_range();
  if (range.size == 0) {
    return;
  }
  note("punch", range);
  const Errno result = error_of(::fallocate(handle(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                            range.at(), range.length()));
  if (rules_.durable) {
    expect(Errno{EOPNOTSUPP}, result);
    return;
  }
  expect(Errno{}, result);
  for (std::uint64_t i = range.off;
       i < std::min<std::uint64_t>(range.off + range.size, model_.size()); ++i) {
    model_[i] = '\0';
  }
}

void Fsx::zero() {
  const Range range = any_range();
  if (range.size == 0 || !rules_.zero_range) {
    return;
  }
  const bool keep = random_.one_in(2);
  note(keep ? "zero KEEP_SIZE" : "zero", range);
  const int mode = FALLOC_FL_ZERO_RANGE | (keep ? FALLOC_FL_KEEP_SIZE : 0);
  expect(Errno{}, error_of(::fallocate(handle(), mode, range.at(), range.length())));
  if (!keep && range.off + range.size > model_.size()) {
    model_.resize(range.off + range.size, '\0');
  }
  for (std::uint64_t i = range.off;
       i < std::min<std::uint64_t>(range.off + range.size, model_.size()); ++i) {
    model_[i] = '\0';
  }
}

void Fsx::copy() {
  const Range from = existing_range();
  const std::uint64_t to = random_.below(kMaxSize - from.size);
  if (from.size == 0 || (to < from.off + from.size && from.off < to + from.size)) {
    return;
  }
  note("copy", from);
  note("  to", {to, from.size});
  off64_t in = from.at();
  auto out = static_cast<off64_t>(to);
  std::uint64_t left = from.size;
  while (left > 0) {
    const ssize_t n = ::copy_file_range(fd_.get(), &in, handle(), &out, left, 0);
    if (n <= 0) {
      fail(std::string("copy_file_range: ") + (n == 0 ? "0" : ::strerrorname_np(errno)));
    }
    left -= static_cast<std::uint64_t>(n);
  }
  store({to, from.size}, std::string(model_, from.off, from.size));
}

void Fsx::reopen() {
  note("reopen", {0, 0});
  if (fd_ && random_.one_in(2)) {
    expect(Errno{}, error_of(::fsync(fd_.get())));
    ::posix_fadvise(fd_.get(), 0, 0, POSIX_FADV_DONTNEED);
  }
  fd_ = open_file(path_, O_RDWR);
  if (random_.one_in(2)) {
    other_ = open_file(path_, O_RDWR);
  }
}

void Fsx::check_all() {
  compare(pread_some(handle(), kMaxSize + 10, 0), {0, kMaxSize + 10});
  compare(content_of(path_), {0, kMaxSize + 10});
}

Fsx::Range Fsx::any_range() {
  const std::uint64_t off =
      random_.one_in(4) ? random_.below(kMaxSize / kPage) * kPage : random_.below(kMaxSize);
  const std::uint64_t most = random_.one_in(4) ? 140'000 : 9000;
  const std::uint64_t size = random_.one_in(4) ? random_.below(20) * kPage : random_.below(most);
  return {off, std::min(size, kMaxSize - off)};
}

Fsx::Range Fsx::existing_range() {
  Range range = any_range();
  range.off = model_.empty() ? 0 : range.off % model_.size();
  range.size = std::min<std::uint64_t>(range.size, model_.size() - range.off);
  return range;
}

void Fsx::note(const char* what, const Range& range) {
  history_.push_back(std::to_string(count_) + ": " + what + " " + std::to_string(range.off) +
                     " + " + std::to_string(range.size) + " (size " +
                     std::to_string(model_.size()) + ")");
  if (history_.size() > kHistory) {
    history_.pop_front();
  }
}

void Fsx::expect(Errno expected, Errno found) const {
  if (!(expected == found)) {
    fail("expected " + Catch::StringMaker<Errno>::convert(expected) + ", got " +
         Catch::StringMaker<Errno>::convert(found));
  }
}

void Fsx::compare(const std::string& found, const Range& range) const {
  const std::string expected =
      range.off >= model_.size() ? std::string() : model_.substr(range.off, range.size);
  if (found == expected) {
    return;
  }
  const auto differ = std::mismatch(found.begin(), found.end(), expected.begin(), expected.end());
  const auto at = static_cast<std::uint64_t>(differ.first - found.begin());
  fail("bytes differ from offset " + std::to_string(range.off + at) + " on; got " +
       std::to_string(found.size()) + " bytes, expected " + std::to_string(expected.size()));
}

void Fsx::store(const Range& range, const std::string& data) {
  if (data.empty()) {
    return;
  }
  if (model_.size() < range.off + range.size) {
    model_.resize(range.off + range.size, '\0');
  }
  model_.replace(range.off, range.size, data);
}

int Fsx::handle() {
  return other_ && random_.one_in(2) ? other_.get() : fd_.get();
}

void Fsx::fail(const std::string& what) {
  throw std::runtime_error(what);
}

}  // namespace pmemfs::test
