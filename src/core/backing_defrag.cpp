#include "core/backing_defrag.hpp"

#include <algorithm>
#include <vector>

#include "core/backing_move.hpp"

namespace pmemfs::core {

namespace {

struct Candidate {
  InodeNo ino;
  HostLayout layout;
};

std::vector<InodeNo> regular_files(Context& c) {
  std::vector<InodeNo> files;
  (void)c.store->for_each_inode(
      [&files](const InodeRecord& inode) {
        if (is_regular(inode) && inode.nlink.load() != 0) {
          files.emplace_back(inode.ino.load());
        }
      },
      [](InodeNo) {});
  return files;
}

class Work {
 public:
  Work(Context& c, const RelocationWatch& watch) : c_(c), watch_(watch) {}

  // So many bytes in all, as far as is known.
  void expect(std::uint64_t bytes) { total_ = bytes; }
  // The reason for which the file stayed, or 0.
  int take(const Candidate& file) {
    if (file.layout.durable) {
      c_.relocations_refused++;
      return ETXTBSY;
    }
    const auto moved =
        move_backing(c_, file.ino, [this](std::uint64_t copied) { return go_on(copied); });
    if (moved.code() == ECANCELED) {
      return 0;  // `finished` says so
    }
    if (!moved) {
      return moved.code();
    }
    done.files += *moved > 0 ? 1U : 0U;
    done.bytes += *moved;
    return 0;
  }
  void leave(InodeNo ino, std::uint64_t bytes, int reason) {
    done.left.push_back({ino, bytes, reason, std::string()});
  }

  Relocated done;

 private:
  bool go_on(std::uint64_t copied) {
    const std::uint64_t moved = done.bytes + copied;
    done.finished = done.finished && (!watch_ || watch_(moved, std::max(total_, moved)));
    return done.finished;
  }

  Context& c_;
  const RelocationWatch& watch_;
  std::uint64_t total_ = 0;
};

Result<Relocated> defrag_one(Context& c, InodeNo ino, const RelocationWatch& watch) {
  PMEMFS_TRY(const HostLayout layout, host_layout(c, ino));
  Work work(c, watch);
  work.expect(layout.bytes);
  if (layout.breaks != 0 || layout.durable) {
    if (const int reason = work.take({ino, layout}); reason != 0) {
      return Error(reason);
    }
  }
  return work.done;
}

// The host tells of all files or of none.
Result<Relocated> defrag_all(Context& c, const RelocationWatch& watch) {
  std::vector<Candidate> files;
  std::uint64_t total = 0;
  Work work(c, watch);
  for (const InodeNo ino : regular_files(c)) {
    const auto layout = host_layout(c, ino);
    if (layout.code() == EOPNOTSUPP) {
      return layout.error();
    }
    if (!layout && layout.code() != ENOENT) {
      work.leave(ino, 0, layout.code());
    } else if (layout && layout->breaks != 0) {
      files.push_back({ino, *layout});
      total += layout->durable ? 0 : layout->bytes;
    }
  }
  work.expect(total);
  for (const Candidate& file : files) {
    const int reason = work.take(file);
    if (reason != 0 && reason != ENOENT) {
      work.leave(file.ino, file.layout.bytes, reason);
    }
    if (!work.done.finished) {
      break;
    }
  }
  return work.done;
}

}  // namespace

Result<Relocated> defrag_backing(Context& c, InodeNo ino, const RelocationWatch& watch) {
  return ino ? defrag_one(c, ino, watch) : defrag_all(c, watch);
}

}  // namespace pmemfs::core
