// What a repair overwrites is kept in a file, so that the region can be brought back.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/unique_fd.hpp"
#include "pmemfs/format.hpp"
#include "pmemfs/region.hpp"

namespace pmemfs::check {

// An undo file: a header, then blocks as they were, each with its checksum. Little-endian, as the
// region. Nothing else reads it, so it is not in docs/FORMAT.md.
struct UndoHeader {
  format::Le64 magic;
  format::Le32 version;
  format::Le32 finished;      // 1: `after_update` counts
  format::Uuid uuid;          // of the region
  format::Le64 blocks;        // of the region as it was
  format::Le64 update;        // of its superblock as it was
  format::Le64 after_update;  // as the repair left it: one that was mounted since has another
  format::Le64 mount_count;   // of the region as it was
  format::Uuid boot;          // of the repair
  format::Le32 pid;           // of the repair
  format::Le32 crc;
};

// Another region that saves each block in a new file before its first change. Once a block cannot
// be saved, all of it counts as lost to a media error: nothing is stored any more, and no change is
// taken for one that was. The other outlives it. One thread.
class UndoRegion final : public Region {
 public:
  // EEXIST: the file is there. Else what the host says. The file is empty but for its header.
  static Result<std::unique_ptr<UndoRegion>> create(Region& region, const std::string& path);

  // Writes what tells a region that was mounted since. The error that saving a block met, if any.
  Status finish();

  [[nodiscard]] std::uint64_t saved() const { return saved_; }

  [[nodiscard]] Granularity granularity() const override { return region_.granularity(); }
  [[nodiscard]] bool read_only() const override { return region_.read_only(); }
  void store(ByteOff off, const void* src, std::size_t n) override;
  void store_u64(ByteOff off, std::uint64_t value) override;
  void stream(ByteOff off, const void* src, std::size_t n) override;
  void stream_zeros(ByteOff off, std::uint64_t n) override;
  void flush(ByteOff off, std::size_t n) override { region_.flush(off, n); }
  void fence() override { region_.fence(); }
  [[nodiscard]] std::uint64_t media_errors() const override { return region_.media_errors(); }
  [[nodiscard]] bool media_failed() const override {
    return failure_ != 0 || region_.media_failed();
  }
  Status grow(std::uint64_t new_size) override;
  Status shrink(std::uint64_t /*new_size*/) override { return Error(EOPNOTSUPP); }

 protected:
  [[nodiscard]] bool touches_lost(ByteOff off, std::uint64_t n) const override {
    return failure_ != 0 || region_.lost(off, n);
  }

 private:
  UndoRegion(Region& region, base::UniqueFd fd);
  Status write_header(bool finished);
  bool save(ByteOff off, std::uint64_t n);

  Region& region_;
  base::UniqueFd fd_;
  UndoHeader header_{};
  std::vector<bool> known_;  // blocks that are saved
  std::uint64_t saved_ = 0;
  int failure_ = 0;
  std::atomic<std::uint64_t> failed_events_{
      ~std::uint64_t{0}};  // of the region, once saving failed
};

enum class UndoFault : std::uint8_t {
  kNone,
  kNotUndo,  // not an undo file, or damaged
  kForeign,  // another region's
  kUsed,     // the region was mounted or repaired since
};

// Brings the region back to what it was before the repair. A file of a repair that was cut short
// serves, too. Nothing is changed when it is refused (EINVAL, with the fault), and what was cut
// short is finished by the same again.
Status apply_undo(Region& region, const std::string& path, UndoFault* fault);

}  // namespace pmemfs::check
