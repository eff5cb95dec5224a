// The host files of a directory region against its inodes.
#include <fmt/format.h>
#include <sys/stat.h>

#include "check/pass.hpp"
#include "check/recover.hpp"
#include "store/inode_table.hpp"

namespace pmemfs::check {
namespace {

using format::Inode;

BackingName host_name(const Inode& inode) {
  const std::uint64_t moved = inode.host.generation.load();
  return {InodeNo(inode.ino.load()), moved != 0 ? moved : inode.generation.load()};
}

bool has(const Inode& inode, std::uint32_t flag) {
  return (inode.flags.load() & flag) != 0;
}

class HostFiles {
 public:
  explicit HostFiles(Pass& p) : p_(p) {}

  void run() {
    check_owner();
    std::size_t done = 0;
    for (const Node& node : p_.nodes) {
      if (done++ % kStride == 0) {
        p_.progress(Phase::kHostFiles, done, p_.nodes.size());
      }
      const auto slot = p_.slot(node.ino);
      if (S_ISREG(node.mode) && slot) {
        check_file(*slot, p_.load<Inode>(*slot));
      }
    }
    list();
  }

 private:
  static constexpr std::size_t kStride = 4096;

  void check_owner() {
    const auto& owner = p_.options.host_owner;
    if (p_.host_is_ours()) {
      return;
    }
    p_.out.add(Problem::kHostOwner, InodeNo(), BlockNo(), "{}",
               owner->ok() ? "the data directory belongs to another region"
                           : "the data directory does not say to which region it belongs");
  }

  void check_file(ByteOff slot, const Inode& inode) {
    const auto host = p_.backing->stat(host_name(inode));
    const auto mark = p_.out.mark();
    const InodeNo ino(inode.ino.load());
    Inode fixed = inode;
    if (host.code() == ENOENT) {
      if (!has(inode, format::kInodeSynced)) {
        return;  // empty, as a crash may leave it
      }
      p_.out.add(Problem::kHostMissing, ino, BlockNo(), "its host file is missing{}",
                 has(inode, format::kInodeDurable) ? "; the file was DURABLE" : "");
      fixed.flags.store(fixed.flags.load() & ~format::kInodeSynced);
      fixed.durable_len.store(0);
    } else if (!host) {
      p_.out.add(Problem::kHostStrange, ino, BlockNo(),
                 "its host file cannot be used: it is no file of pmemfs's own (error {})",
                 host.code());
      return;
    } else if (host->size < inode.durable_len.load()) {
      p_.out.add(Problem::kHostShort, ino, BlockNo(),
                 "{} bytes of it are DURABLE, but its host file has {}", inode.durable_len.load(),
                 host->size);
      fixed.durable_len.store(host->size);
    } else {
      return;
    }
    if (p_.repairing()) {
      p_.fixer->put_inode(slot, fixed);
      p_.settle(mark);
    }
  }

  // Those of no inode the next mount deletes, if it is sure.
  void list() {
    const auto ours = [this](BackingName name) {
      p_.counts.host_files++;
      if (!is_owned(name)) {
        unclaimed(name);
      }
    };
    const auto foreign = [this](const std::string&) {
      p_.counts.host_foreign++;
    };
    if (const Status walked = p_.backing->for_each(ours, foreign); !walked) {
      p_.out.add(Problem::kHostStrange, InodeNo(), BlockNo(),
                 "the data directory cannot be listed (error {})", walked.code());
    }
  }

  bool is_owned(BackingName name) {
    const auto slot = p_.slot(name.ino.value);
    if (!slot || p_.node(name.ino.value) == nullptr) {
      return false;
    }
    const auto inode = p_.load<Inode>(*slot);
    return S_ISREG(inode.mode.load()) && host_name(inode) == name;
  }

  void unclaimed(BackingName name) {
    if (p_.target(name.ino.value) == Target::kDamaged) {
      return;  // told with its inode
    }
    if (p_.table_doubted && p_.host_is_ours() && !proven_freed(p_, name)) {
      p_.out.add(Problem::kHostUnclaimed, name.ino, BlockNo(),
                 "host file {:02x}/{:x}.{:x} may be that of a lost inode; copy it before a mount "
                 "deletes it",
                 name.ino.value & 0xFFU, name.ino.value, name.gen);
    } else {
      p_.counts.host_orphans++;
    }
  }

  Pass& p_;
};

}  // namespace

void check_host_files(Pass& p) {
  if (p.backing != nullptr && p.has_host_files()) {
    HostFiles(p).run();
  }
}

}  // namespace pmemfs::check
