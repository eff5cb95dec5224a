#include "core/status.hpp"

#include <dirent.h>

#include <algorithm>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "core/directories.hpp"
#include "core/frames.hpp"
#include "store/allocator.hpp"
#include "store/bad_blocks.hpp"

namespace pmemfs::core {

namespace {

// Fills in the path of each wanted inode by walking directories; stops when all have one.
class PathFinder {
 public:
  PathFinder(Context& c, std::unordered_map<InodeNo, std::string*> wanted)
      : c_(c), wanted_(std::move(wanted)) {}

  void run() {
    take(kRootInode, "/");
    pending_.emplace_back(kRootInode, "/");
    seen_.insert(kRootInode);
    while (!pending_.empty() && !wanted_.empty()) {
      const auto [dir, path] = std::move(pending_.back());
      pending_.pop_back();
      walk(dir, path);
    }
  }

 private:
  void take(InodeNo ino, const std::string& path) {
    const auto found = wanted_.find(ino);
    if (found == wanted_.end()) {
      return;
    }
    *found->second = path;
    wanted_.erase(found);
  }

  void walk(InodeNo dir, const std::string& path) {
    const NodeRef node = c_.nodes.get(dir);
    const auto lock = lock_directory(c_, *node);
    if (!lock) {
      return;
    }
    std::uint64_t position = 0;
    for (;;) {
      const auto entry = node->directory->next(position);
      if (!entry || !*entry) {
        return;
      }
      position = (*entry)->position + 1;
      std::string child = path + (path == "/" ? "" : "/") + std::string((*entry)->name);
      take((*entry)->ino, child);
      // Each once: entries that damage has bent may lead in a circle.
      if ((*entry)->type == DT_DIR && seen_.insert((*entry)->ino).second) {
        pending_.emplace_back((*entry)->ino, std::move(child));
      }
    }
  }

  Context& c_;
  std::unordered_map<InodeNo, std::string*> wanted_;
  std::vector<std::pair<InodeNo, std::string>> pending_;
  std::unordered_set<InodeNo> seen_;
};

constexpr std::uint64_t kBlock = format::kBlockSize;

}  // namespace

Result<FilesystemSpace> space(Context& c) {
  const store::Space region = c.store->space();
  FilesystemSpace s;
  s.block_size = kBlock;
  s.blocks = region.blocks;
  s.blocks_free = region.blocks_free;
  s.blocks_available = region.blocks_free;
  s.files_free = std::min(format::kMaxInode - region.inodes_used, region.blocks_free * 16);
  if (c.has_backing()) {
    PMEMFS_TRY(const HostSpace host, c.backing->space());
    const auto in_blocks = [&](std::uint64_t n) {
      return n * host.block_size / kBlock;
    };
    s.blocks = in_blocks(host.blocks);
    s.blocks_free = in_blocks(host.blocks_free);
    s.blocks_available = in_blocks(host.blocks_available);
    s.files_free = std::min(format::kMaxInode - region.inodes_used, host.files_free);
  }
  s.files = region.inodes_used + s.files_free;
  return s;
}

FilesystemStatus status(Context& c) {
  FilesystemStatus s;
  const store::Space region = c.store->space();
  s.read_only = c.read_only();
  s.emulated = (c.store->superblock().flags.load() & format::kSbEmulated) != 0;
  s.granularity = c.store->region().granularity();
  s.placement = c.has_backing() ? "backing" : "extents";
  s.passthrough = c.passthrough;
  s.region_bytes = region.blocks * kBlock;
  s.region_bytes_free = region.blocks_free * kBlock;
  s.region_longest_free = c.store->blocks().largest().count * kBlock;
  s.region_frames_free = c.store->blocks().aligned_pieces(kFrameBlocks);
  s.inodes_used = region.inodes_used;
  s.inodes_in_memory = c.nodes.size();
  s.open_handles = c.handles.size();
  s.durable_bytes = c.store->durable_bytes();
  s.directory_index_bytes = c.index_bytes;
  s.relocations_refused = c.relocations_refused;
  s.orphans_kept = c.orphans_kept;
  s.media_errors = c.store->region().media_errors();
  c.store->bad_blocks().note();
  s.window_bytes = c.exports.bytes();
  s.bad_bytes = c.store->bad_blocks().count() * kBlock;
  return s;
}

std::unordered_map<InodeNo, std::string> paths_of(Context& c, const std::vector<InodeNo>& inodes) {
  std::unordered_map<InodeNo, std::string> paths;
  std::unordered_map<InodeNo, std::string*> wanted;
  for (const InodeNo ino : inodes) {
    wanted.emplace(ino, &paths[ino]);
  }
  PathFinder(c, std::move(wanted)).run();
  return paths;
}

Result<std::vector<DurableFile>> durable_files(Context& c) {
  std::vector<DurableFile> files;
  PMEMFS_CHECK(c.store->for_each_inode(
      [&files](const InodeRecord& inode) {
        if (!is_durable(inode))
          return;
        files.push_back({InodeNo(inode.ino.load()), inode.durable_len.load(), is_directory(inode),
                         std::string()});
      },
      [](InodeNo) {}));
  std::unordered_map<InodeNo, std::string*> wanted;
  for (DurableFile& f : files) {
    wanted.emplace(f.ino, &f.path);
  }
  PathFinder(c, std::move(wanted)).run();
  return files;
}

}  // namespace pmemfs::core
