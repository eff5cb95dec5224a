#include "core/bad_memory.hpp"

#include <algorithm>
#include <map>

#include "core/frames.hpp"
#include "core/status.hpp"
#include "store/allocator.hpp"
#include "store/bad_blocks.hpp"

namespace pmemfs::core {

namespace {

using store::Mapping;

constexpr std::uint64_t kBlock = format::kBlockSize;

BlockRun common(BlockRun a, BlockRun b) {
  const std::uint64_t begin = std::max(a.start.value, b.start.value);
  const std::uint64_t end = std::min(a.end().value, b.end().value);
  return begin < end ? BlockRun{BlockNo(begin), end - begin} : BlockRun{};
}

// Bad runs and who owns which part of them.
class Owners {
 public:
  explicit Owners(std::vector<BlockRun> bad) : bad_(std::move(bad)) {}

  void add_free(BlockRun run) {
    for_each_bad(run, [&](BlockRun part) { own(part, {}); });
  }
  void add_file(InodeNo ino, const Mapping& m) {
    for_each_bad({m.physical, m.count}, [&](BlockRun part) {
      BadMemory file;
      file.owner = BadMemory::Owner::kFile;
      file.ino = ino;
      file.file_off = (m.logical + (part.start.value - m.physical.value)) * kBlock;
      own(part, std::move(file));
    });
  }
  // What nobody said is his is the filesystem's own.
  std::vector<BadMemory> finish() {
    std::vector<BadMemory> all;
    for (const BlockRun& run : bad_) {
      std::uint64_t at = run.start.value;
      const auto rest_until = [&](std::uint64_t end) {
        if (end > at) {
          BadMemory rest;
          rest.owner = BadMemory::Owner::kMetadata;
          all.push_back(placed({BlockNo(at), end - at}, std::move(rest)));
        }
      };
      for (auto part = owned_.lower_bound(at);
           part != owned_.end() && part->first < run.end().value; ++part) {
        rest_until(part->first);
        at = part->first + part->second.bytes / kBlock;
        all.push_back(std::move(part->second));
      }
      rest_until(run.end().value);
    }
    return all;
  }

 private:
  static BadMemory placed(BlockRun run, BadMemory what) {
    what.off = run.start.value * kBlock;
    what.bytes = run.count * kBlock;
    return what;
  }
  void own(BlockRun run, BadMemory what) {
    owned_.emplace(run.start.value, placed(run, std::move(what)));
  }
  template <typename F>
  void for_each_bad(BlockRun run, F&& f) const {
    auto at = std::upper_bound(bad_.begin(), bad_.end(), run.start,
                               [](BlockNo start, const BlockRun& r) { return start < r.start; });
    at = at == bad_.begin() ? at : std::prev(at);
    for (; at != bad_.end() && at->start < run.end(); ++at) {
      if (const BlockRun part = common(*at, run); !part.empty()) {
        f(part);
      }
    }
  }

  std::vector<BlockRun> bad_;
  std::map<std::uint64_t, BadMemory> owned_;  // by its first block
};

void name_files(Context& c, std::vector<BadMemory>& all) {
  std::vector<InodeNo> files;
  for (const BadMemory& bad : all) {
    if (bad.ino) {
      files.push_back(bad.ino);
    }
  }
  if (files.empty()) {
    return;
  }
  const auto paths = paths_of(c, files);
  for (BadMemory& bad : all) {
    const auto found = paths.find(bad.ino);
    bad.path = found == paths.end() ? std::string() : found->second;
  }
}

}  // namespace

Result<std::vector<BadMemory>> bad_memory(Context& c) {
  c.store->bad_blocks().note();
  const std::vector<BlockRun> bad = c.store->bad_blocks().runs();
  Owners owners(bad);
  std::uint64_t in_use = c.store->bad_blocks().count();
  for (const BlockRun& run : c.store->blocks().bad_free()) {
    owners.add_free(run);
    in_use -= std::min(in_use, run.count);
  }
  if (in_use > 0 && !c.has_backing()) {
    for_each_file(c, [&](InodeNo ino, bool /*durable*/, const std::vector<Mapping>& extents) {
      for (const Mapping& m : extents) {
        owners.add_file(ino, m);
      }
    });
  }
  std::vector<BadMemory> all = owners.finish();
  name_files(c, all);
  return all;
}

}  // namespace pmemfs::core
