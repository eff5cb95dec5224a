#include "core/backing_defrag.hpp"

#include <vector>

#include "core/backing_move.hpp"
#include "core/course.hpp"

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

// The reason for which the file stayed, or 0.
int take(Context& c, const Candidate& file, Course& course) {
  if (file.layout.durable) {
    c.relocations_refused++;
    return ETXTBSY;
  }
  const auto moved = move_backing(
      c, file.ino, [&course](std::uint64_t copied) { return course.under_way(copied); });
  if (moved.code() == ECANCELED) {
    return 0;  // `finished` says so
  }
  if (!moved) {
    return moved.code();
  }
  course.done.files += *moved > 0 ? 1U : 0U;
  course.done.bytes += *moved;
  return 0;
}

Result<Relocated> defrag_one(Context& c, InodeNo ino, const RelocationWatch& watch) {
  PMEMFS_TRY(const HostLayout layout, host_layout(c, ino));
  Course course(watch, layout.bytes);
  if (layout.breaks != 0 || layout.durable) {
    if (const int reason = take(c, {ino, layout}, course); reason != 0) {
      return Error(reason);
    }
  }
  return course.done;
}

// The host tells of all files or of none.
Result<Relocated> defrag_all(Context& c, const RelocationWatch& watch) {
  std::vector<Candidate> files;
  std::uint64_t total = 0;
  Course course(watch, 0);
  for (const InodeNo ino : regular_files(c)) {
    const auto layout = host_layout(c, ino);
    if (layout.code() == EOPNOTSUPP) {
      return layout.error();
    }
    if (!layout && layout.code() != ENOENT) {
      course.leave(ino, 0, layout.code());
    } else if (layout && layout->breaks != 0) {
      files.push_back({ino, *layout});
      total += layout->durable ? 0 : layout->bytes;
    }
  }
  course.expect(total);
  for (const Candidate& file : files) {
    const int reason = take(c, file, course);
    if (reason != 0 && reason != ENOENT) {
      course.leave(file.ino, file.layout.bytes, reason);
    }
    if (!course.done.finished) {
      break;
    }
  }
  return course.done;
}

}  // namespace

Result<Relocated> defrag_backing(Context& c, InodeNo ino, const RelocationWatch& watch) {
  return ino ? defrag_one(c, ino, watch) : defrag_all(c, watch);
}

}  // namespace pmemfs::core
