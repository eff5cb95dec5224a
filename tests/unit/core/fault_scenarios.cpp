#include <linux/falloc.h>

#include "fault_world.hpp"

namespace pmemfs::test {
namespace {

constexpr std::uint64_t kBlock = 4096;
constexpr const char* kDurable = "user.pmemfs.mmap_durable";

std::string some(std::uint64_t blocks) {
  return std::string(blocks * kBlock, 's');
}

// What makes an inode: the kernel's reference to it is given back.
template <typename Made>
int done(FaultWorld& w, const Made& made) {
  if (made) {
    w.fs().forget(made->ino, 1);
  }
  return made.code();
}

int created(FaultWorld& w, const Result<Created>& made) {
  if (made) {
    w.close(*made);
  }
  return made.code();
}

int allocate(FaultWorld& w, int mode, std::uint64_t off, std::uint64_t len) {
  return w.fs().fallocate(kRoot, w.handle(), mode, off, len).code();
}

int rename(FaultWorld& w, std::string_view from, InodeNo to_dir, std::string_view to,
           unsigned flags = 0) {
  return w.fs().rename(kRoot, kRootInode, from, to_dir, to, flags).code();
}

std::vector<FaultScenario> naming() {
  return {
      {"mknod", "",
       [](FaultWorld& w) {
         return done(w, w.fs().mknod(kRoot, kRootInode, "new", S_IFIFO | 0644U, 0));
       }},
      {"mkdir", "",
       [](FaultWorld& w) {
         return done(w, w.fs().mkdir(kRoot, kRootInode, "new", 0755));
       }},
      {"create", "",
       [](FaultWorld& w) {
         return created(w, w.fs().create(kRoot, kRootInode, "new", 0644, O_RDWR));
       }},
      {"create in a full directory", "",
       [](FaultWorld& w) {
         return created(w,
                        w.fs().create(kRoot, w.ino("full"), std::string(255, 'n'), 0644, O_RDWR));
       }},
      {"tmpfile", "",
       [](FaultWorld& w) {
         return created(w, w.fs().tmpfile(kRoot, kRootInode, 0644, O_RDWR));
       }},
      {"symlink, short", "",
       [](FaultWorld& w) {
         return done(w, w.fs().symlink(kRoot, kRootInode, "new", "target"));
       }},
      {"symlink, long", "",
       [](FaultWorld& w) {
         return done(w, w.fs().symlink(kRoot, kRootInode, "new", std::string(4000, 't')));
       }},
      {"link", "",
       [](FaultWorld& w) {
         return done(w, w.fs().link(w.ino("file"), w.ino("full"), std::string(255, 'n')));
       }},
      {"rename", "",
       [](FaultWorld& w) {
         return rename(w, "file", w.ino("full"), std::string(255, 'n'));
       }},
      {"rename over", "",
       [](FaultWorld& w) {
         return rename(w, "file", kRootInode, "other");
       }},
      {"rename a directory", "",
       [](FaultWorld& w) {
         return rename(w, "dir", w.ino("full"), std::string(255, 'n'));
       }},
      {"exchange", "",
       [](FaultWorld& w) {
         return rename(w, "file", kRootInode, "dir", RENAME_EXCHANGE);
       }},
      {"rename, whiteout", "",
       [](FaultWorld& w) {
         return rename(w, "file", w.ino("full"), std::string(255, 'n'), RENAME_WHITEOUT);
       }},
      {"unlink", "",
       [](FaultWorld& w) {
         return w.fs().unlink(kRootInode, "file").code();
       }},
      {"rmdir", "",
       [](FaultWorld& w) {
         return w.fs().rmdir(kRootInode, "empty").code();
       }},
  };
}

std::vector<FaultScenario> attributes() {
  return {
      {"chmod", "",
       [](FaultWorld& w) {
         return w.set_mode("file", 0600);
       }},
      {"small xattr", "",
       [](FaultWorld& w) {
         return w.set("file", "user.new", "value");
       }},
      {"large xattr", "",
       [](FaultWorld& w) {
         return w.set("file", "user.new", std::string(60'000, 'v'));
       }},
      {"larger xattr", "",
       [](FaultWorld& w) {
         return w.set("other", "user.large", std::string(60'000, 'w'));
       }},
      {"removed xattr", "",
       [](FaultWorld& w) {
         return w.fs().removexattr(kRoot, w.ino("other"), "user.large").code();
       }},
      {"durable", "",
       [](FaultWorld& w) {
         return w.set("file", kDurable, "1");
       }},
      {"durable, with holes", "",
       [](FaultWorld& w) {
         return w.set("sparse", kDurable, "1");
       }},
      {"durable directory", "",
       [](FaultWorld& w) {
         return w.set("dir", kDurable, "1");
       }},
      {"not durable", "",
       [](FaultWorld& w) {
         return w.set("durable", kDurable, "0");
       }},
  };
}

std::vector<FaultScenario> data() {
  return {
      {"open and truncate", "",
       [](FaultWorld& w) {
         const auto opened = w.fs().open_file(w.ino("file"), O_RDWR | O_TRUNC, false);
         if (opened) {
           w.fs().release(opened->handle);
         }
         return opened.code();
       }},
      {"overwrite", "file",
       [](FaultWorld& w) {
         return w.write_at(100, some(3));
       }},
      {"append", "file",
       [](FaultWorld& w) {
         return w.write_at(5 * kBlock + 100, some(7));
       }},
      {"write far behind the end", "file",
       [](FaultWorld& w) {
         return w.write_at(1000 * kBlock + 5, some(2));
       }},
      {"write into holes", "sparse",
       [](FaultWorld& w) {
         return w.write_at(0, some(40));
       }},
      {"durable overwrite", "durable",
       [](FaultWorld& w) {
         return w.write_at(100, some(2));
       }},
      {.name = "durable append",
       .open = "durable",
       .act = [](FaultWorld& w) { return w.write_at(3 * kBlock, some(9)); },
       .undone = true},
      {.name = "durable write behind the end",
       .open = "durable",
       .act = [](FaultWorld& w) { return w.write_at(20 * kBlock + 1, some(2)); },
       // The gap is filled and promised first: zeros up to the new end.
       .part =
           [](FaultWorld& w) {
             return w.resize("durable", 22 * kBlock + 1);
           }},
      {"shrink", "",
       [](FaultWorld& w) {
         return w.resize("file", 100);
       }},
      {"shrink into a hole", "",
       [](FaultWorld& w) {
         return w.resize("sparse", 3 * kBlock + 7);
       }},
      {"grow", "",
       [](FaultWorld& w) {
         return w.resize("file", 100 * kBlock);
       }},
      {"durable growth", "",
       [](FaultWorld& w) {
         return w.resize("durable", 30 * kBlock + 1);
       }},
      {"allocate", "file",
       [](FaultWorld& w) {
         return allocate(w, 0, 0, 20 * kBlock);
       }},
      {"allocate, size kept", "file",
       [](FaultWorld& w) {
         return allocate(w, FALLOC_FL_KEEP_SIZE, 0, 20 * kBlock);
       }},
      {"allocate holes", "sparse",
       [](FaultWorld& w) {
         return allocate(w, 0, 0, 40 * kBlock);
       }},
      {.name = "durable allocation",
       .open = "durable",
       .act = [](FaultWorld& w) { return allocate(w, 0, 0, 20 * kBlock); },
       .undone = true},
      {"punch", "file",
       [](FaultWorld& w) {
         return allocate(w, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, kBlock + 1, 2 * kBlock);
       }},
      {"punch many", "sparse",
       [](FaultWorld& w) {
         return allocate(w, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, kBlock / 2, 20 * kBlock);
       }},
      {"zeros", "file",
       [](FaultWorld& w) {
         return allocate(w, FALLOC_FL_ZERO_RANGE, 10, 9 * kBlock);
       }},
      {"durable zeros", "durable",
       [](FaultWorld& w) {
         return allocate(w, FALLOC_FL_ZERO_RANGE, 10, 2 * kBlock);
       }},
      {"fsync", "file",
       [](FaultWorld& w) {
         return w.fs().fsync(w.handle(), false).code();
       }},
      {"sync", "",
       [](FaultWorld& w) {
         return w.fs().sync().code();
       }},
  };
}

std::vector<FaultScenario> rearranging() {
  return {
      {"copy to a file", "other",
       [](FaultWorld& w) {
         const auto from = w.fs().open_file(w.ino("file"), O_RDONLY, false);
         if (!from) {
           return from.code();
         }
         const auto n = w.fs().copy_range(from->handle, 0, w.handle(), 3 * kBlock, 5 * kBlock);
         w.fs().release(from->handle);
         return n && *n != 5 * kBlock ? FaultWorld::kShort : n.code();
       }},
      {"defragment", "",
       [](FaultWorld& w) {
         const auto moved = w.fs().defrag(w.ino("sparse"), {});
         // A host that does not tell where data lies.
         return moved.code() == EOPNOTSUPP ? 0 : moved.code();
       }},
      {"frames", "",
       [](FaultWorld& w) {
         const auto moved = w.fs().make_frames(1, {});
         return moved.code() == EOPNOTSUPP ? 0 : moved.code();
       }},
      {"evacuate", "",
       [](FaultWorld& w) {
         const auto moved = w.fs().evacuate(0, 4U << 20U, {});
         return moved.code() == EOPNOTSUPP ? 0 : moved.code();
       }},
  };
}

}  // namespace

const std::vector<FaultScenario>& fault_scenarios() {
  static const std::vector<FaultScenario> kAll = [] {
    std::vector<FaultScenario> all = naming();
    for (FaultScenario& scenario : all) {
      scenario.names_only = true;
    }
    for (const auto& some_of_them : {attributes(), data(), rearranging()}) {
      all.insert(all.end(), some_of_them.begin(), some_of_them.end());
    }
    return all;
  }();
  return kAll;
}

}  // namespace pmemfs::test
