#include "journal/journal.hpp"

#include <array>
#include <cstring>
#include <utility>

#include "format/checks.hpp"

namespace pmemfs::journal {
namespace {

using format::LaneHeader;
using format::LaneRecord;

constexpr std::size_t kAlign = 8;

std::size_t padded(std::size_t n) {
  return (n + kAlign - 1) / kAlign * kAlign;
}

// Log buffers that a thread has used and will use again: commits allocate nothing. A few, since a
// change may need a second one inside it (the inode table grows while a file is created).
class SpareBuffers {
 public:
  std::unique_ptr<LogBuffer> take() {
    if (count_ > 0) {
      return std::move(buffers_[--count_]);
    }
    return std::make_unique<LogBuffer>();
  }
  void give(std::unique_ptr<LogBuffer> buffer) {
    if (count_ < buffers_.size() && buffer->capacity() <= kKeep) {
      buffer->clear();
      buffers_[count_++] = std::move(buffer);
    }
  }

 private:
  static constexpr std::size_t kKeep = 32U << 10U;
  std::array<std::unique_ptr<LogBuffer>, 3> buffers_;
  std::size_t count_ = 0;
};

thread_local SpareBuffers g_spare;

// Whole lines are streamed faster than parts of one. Lanes end on a line, so the zeros fit.
void fill_last_line(LogBuffer& log) {
  const std::size_t over = log.size() % kCacheLineSize;
  const std::size_t missing = over == 0 ? 0 : kCacheLineSize - over;
  std::memset(log.append(missing), 0, missing);
}

std::size_t thread_number() {
  static std::atomic<std::size_t> next{0};
  thread_local std::size_t number = next.fetch_add(1, std::memory_order_relaxed);
  return number;
}

}  // namespace

Journal::Journal(Region& region, const Geometry& geometry)
    : region_(region), geometry_(geometry), lanes_(geometry.lanes) {
  const std::uint64_t lane_size = std::uint64_t{geometry.lane_blocks} * format::kBlockSize;
  for (std::size_t i = 0; i < lanes_.size(); ++i) {
    lanes_[i].start = ByteOff(geometry.start.value * format::kBlockSize + i * lane_size);
  }
}

std::uint64_t Journal::capacity() const {
  return std::uint64_t{geometry_.lane_blocks} * format::kBlockSize - sizeof(LaneHeader);
}

Journal::Lane& Journal::take_lane() {
  const std::size_t preferred = thread_number() % lanes_.size();
  for (std::size_t i = 0; i < lanes_.size(); ++i) {
    Lane& lane = lanes_[(preferred + i) % lanes_.size()];
    if (lane.mutex.try_lock()) {
      return lane;
    }
  }
  lanes_[preferred].mutex.lock();
  return lanes_[preferred];
}

Transaction::Transaction(Journal& journal) : journal_(journal), log_(g_spare.take()) {
  log_->append(sizeof(LaneHeader));
}

Transaction::~Transaction() {
  g_spare.give(std::move(log_));
}

void Transaction::write(ByteOff off, const void* src, std::size_t n) {
  LaneRecord record{};
  record.offset.store(off.value);
  record.length.store(static_cast<std::uint32_t>(n));
  std::byte* at = log_->append(sizeof(record) + padded(n));
  std::memcpy(at, &record, sizeof(record));
  at += sizeof(record);
  std::memcpy(at, src, n);
  std::memset(at + n, 0, padded(n) - n);
  ++count_;
}

void Transaction::write_fresh(ByteOff off, const void* src, std::size_t n) {
  journal_.region_.stream(off, src, n);
  fresh_ = true;
}

void Transaction::apply() const {
  Region& region = journal_.region_;
  const std::byte* at = log_->data() + sizeof(LaneHeader);
  for (std::uint32_t i = 0; i < count_; ++i) {
    LaneRecord record{};
    std::memcpy(&record, at, sizeof(record));
    const ByteOff off(record.offset.load());
    const std::size_t n = record.length.load();
    region.store(off, at + sizeof(record), n);
    region.flush(off, n);
    at += sizeof(record) + padded(n);
  }
}

Status Transaction::commit() {
  Region& region = journal_.region_;
  if (region.read_only()) {
    return Error(EROFS);
  }
  if (log_bytes() > journal_.capacity()) {
    return Error(E2BIG);
  }
  if (fresh_) {
    region.fence();
  }
  if (empty()) {
    return {};
  }
  Journal::Lane& lane = journal_.take_lane();
  const std::unique_lock<std::mutex> lock(lane.mutex, std::adopt_lock);
  LaneHeader header{};
  header.sequence.store(journal_.sequence_.fetch_add(1, std::memory_order_relaxed));
  header.magic.store(format::kLaneMagic);
  header.count.store(count_);
  header.bytes.store(log_bytes());
  format::seal(header, log_->data() + sizeof(header), log_bytes());
  std::memcpy(log_->data(), &header, sizeof(header));
  fill_last_line(*log_);
  region.stream(lane.start, log_->data(), log_->size());
  region.fence();  // committed
  apply();
  region.fence();
  // Streamed, since the line is not in the cache. Were it torn, the crc would say so: a lane that
  // counts as never committed is as good as a retired one, now that all of it is in place.
  constexpr std::uint64_t kRetired = 0;
  region.stream(lane.start, &kRetired, sizeof(kRetired));
  region.fence();
  return {};
}

}  // namespace pmemfs::journal
