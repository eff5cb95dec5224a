#include "journal/journal.hpp"

#include <array>
#include <cstring>
#include <utility>

#include "base/log.hpp"
#include "base/media_faults.hpp"
#include "format/checks.hpp"
#include "journal/control.hpp"

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

bool Journal::usable(const Lane& lane) const {
  return !region_.lost(lane.start, std::uint64_t{geometry_.lane_blocks} * format::kBlockSize);
}

Journal::Lane* Journal::take_lane() {
  const std::size_t preferred = thread_number() % lanes_.size();
  for (std::size_t i = 0; i < lanes_.size(); ++i) {
    Lane& lane = lanes_[(preferred + i) % lanes_.size()];
    if (lane.mutex.try_lock()) {
      if (usable(lane)) {
        return &lane;
      }
      lane.mutex.unlock();
    }
  }
  for (std::size_t i = 0; i < lanes_.size(); ++i) {
    Lane& lane = lanes_[(preferred + i) % lanes_.size()];
    lane.mutex.lock();
    if (usable(lane)) {
      return &lane;
    }
    lane.mutex.unlock();
  }
  return nullptr;
}

void Journal::stop() {
  if (!stopped_.exchange(true)) {
    base::log::error(
        "an uncorrectable memory error hit a change that was being made: the filesystem is "
        "read-only from now on; unmount it and mount it again");
  }
}

Transaction::Transaction(Journal& journal)
    : journal_(journal),
      log_(g_spare.take()),
      errors_met_(base::media_errors_met()),
      media_events_(journal.region_.media_events()) {
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

// Calls f(offset, bytes, n) for each record.
template <typename F>
void Transaction::for_each_record(F&& f) const {
  const std::byte* at = log_->data() + sizeof(LaneHeader);
  for (std::uint32_t i = 0; i < count_; ++i) {
    LaneRecord record{};
    std::memcpy(&record, at, sizeof(record));
    const std::size_t n = record.length.load();
    f(ByteOff(record.offset.load()), at + sizeof(record), n);
    at += sizeof(record) + padded(n);
  }
}

void Transaction::apply() const {
  Region& region = journal_.region_;
  for_each_record([&region](ByteOff off, const std::byte* bytes, std::size_t n) {
    region.store(off, bytes, n);
    if (!left_out(Control::kNoApplyFlush)) {
      region.flush(off, n);
    }
  });
}

// What this thread met is told by its count. What others met may have taken bytes behind its back:
// logged ones are looked for, fresh ones are not known here.
bool Transaction::intact() const {
  const Region& region = journal_.region_;
  if (base::media_errors_met() != errors_met_) {
    return false;
  }
  if (!region.any_lost()) {
    return true;
  }
  if (fresh_ && region.media_events() != media_events_) {
    return false;
  }
  bool intact = true;
  for_each_record([&](ByteOff off, const std::byte*, std::size_t n) {
    intact = intact && !region.lost(off, n);
  });
  return intact;
}

void Transaction::write_log(const Journal::Lane& lane) {
  LaneHeader header{};
  header.sequence.store(journal_.sequence_.fetch_add(1, std::memory_order_relaxed));
  header.magic.store(format::kLaneMagic);
  header.count.store(count_);
  header.bytes.store(log_bytes());
  format::seal(header, log_->data() + sizeof(header), log_bytes());
  std::memcpy(log_->data(), &header, sizeof(header));
  fill_last_line(*log_);
  journal_.region_.stream(lane.start, log_->data(), log_->size());
  if (!left_out(Control::kNoLogFence)) {
    journal_.region_.fence();
  }
}

// Streamed, since the line is not in the cache. Were it torn, the crc would say so: a lane that
// counts as never committed is as good as a retired one, when all of it is in place or none.
void Transaction::retire(const Journal::Lane& lane) const {
  constexpr std::uint64_t kRetired = 0;
  journal_.region_.stream(lane.start, &kRetired, sizeof(kRetired));
  journal_.region_.fence();
}

// What is told before anything is logged.
Status Transaction::admit() const {
  Region& region = journal_.region_;
  if (region.read_only() || journal_.stopped()) {
    return Error(EROFS);
  }
  if (log_bytes() > journal_.capacity()) {
    return Error(E2BIG);
  }
  if (fresh_ && !left_out(Control::kNoDataFence)) {
    region.fence();
  }
  return intact() ? Status() : Status(Error(EIO));
}

Status Transaction::commit() {
  Region& region = journal_.region_;
  PMEMFS_CHECK(admit());
  if (empty()) {
    return {};
  }
  Journal::Lane* const lane = journal_.take_lane();
  if (lane == nullptr) {
    return Error(EIO);
  }
  const std::unique_lock<std::mutex> lock(lane->mutex, std::adopt_lock);
  if (left_out(Control::kApplyBeforeLog)) {
    apply();
  }
  write_log(*lane);
  if (!intact() || !journal_.usable(*lane)) {
    retire(*lane);  // a log with a lost page is none; so is one whose first page is lost
    return Error(EIO);
  }
  // Committed.
  apply();
  if (!left_out(Control::kNoApplyFence)) {
    region.fence();
  }
  if (!intact()) {
    journal_.stop();
    return Error(EIO);
  }
  retire(*lane);
  if (!journal_.usable(*lane)) {
    journal_.stop();
  }
  return {};
}

}  // namespace pmemfs::journal
