#include "check/pass.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <string>

#include "check/text.hpp"

namespace pmemfs::check {
namespace {

// Runs whose blocks are somebody's are looked through in vain: so often, for each word of the map,
// before runs are refused unseen. An honest region has none.
constexpr std::uint64_t kPatience = 64;
constexpr std::size_t kDeepest = 4096;  // names of a path that is shown

std::uint64_t words(std::uint64_t blocks) {
  return blocks / 64 + 1;
}

}  // namespace

bool Pass::has_extents(const format::Inode& inode) const {
  const std::uint32_t type = inode.mode.load() & S_IFMT;
  return type == S_IFDIR || (type == S_IFREG && !has_host_files());
}

bool Pass::claim(BlockRun run) {
  const bool tired = wasted > kPatience * words(layout.blocks());
  if (tired || used.any(run)) {
    wasted += words(run.count);
    shared = true;
    return false;
  }
  used.mark(run);
  counts.blocks_used += run.count;
  return true;
}

void Pass::settle(Findings::Mark mark) {
  if (fixer != nullptr && fixer->commit()) {
    out.repaired_since(mark);
  }
}

void Pass::progress(Phase phase, std::uint64_t done, std::uint64_t total) const {
  if (options.watch && !options.watch(phase, done, total)) {
    throw Stopped{};
  }
}

Node* Pass::node(std::uint64_t ino) {
  const auto at = std::lower_bound(nodes.begin(), nodes.end(), ino,
                                   [](const Node& n, std::uint64_t i) { return n.ino < i; });
  return at != nodes.end() && at->ino == ino ? &*at : nullptr;
}

std::optional<ByteOff> Pass::slot(std::uint64_t ino) const {
  const auto after = std::upper_bound(chunks.begin(), chunks.end(), ino,
                                      [](std::uint64_t i, const Chunk& c) { return i < c.first; });
  if (after == chunks.begin()) {
    return std::nullopt;
  }
  const Chunk& chunk = *std::prev(after);
  if (ino - chunk.first >= format::kInodesPerChunk) {
    return std::nullopt;
  }
  return format::byte_off(chunk.block, (ino - chunk.first) * sizeof(format::Inode));
}

Target Pass::target(std::uint64_t ino) {
  if (node(ino) != nullptr) {
    return Target::kUsed;
  }
  if (std::binary_search(damaged.begin(), damaged.end(), ino)) {
    return Target::kDamaged;
  }
  const auto after =
      std::upper_bound(unknown.begin(), unknown.end(), ino,
                       [](std::uint64_t i, const Unknown& u) { return i < u.first; });
  const bool hidden = after != unknown.begin() && ino < std::prev(after)->end;
  return hidden && !slot(ino) ? Target::kUnknown : Target::kFree;
}

std::string Pass::path(std::uint64_t ino) {
  std::string text;
  for (std::size_t depth = 0; depth < kDeepest; ++depth) {
    if (ino == kRootInode.value) {
      return text.empty() ? "/" : text;
    }
    const Node* n = node(ino);
    if (n == nullptr || n->name_at == 0) {
      return depth == 0 ? std::string() : "#" + std::to_string(ino) + text;
    }
    const auto dentry = load<format::Dentry>(ByteOff(n->name_at));
    const auto* name = reinterpret_cast<const char*>(region.data() + n->name_at + sizeof(dentry));
    text.insert(0, "/" + printable({name, dentry.name_len}));
    ino = n->parent;
  }
  return "…" + text;
}

}  // namespace pmemfs::check
