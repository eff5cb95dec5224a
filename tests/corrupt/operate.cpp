#include "operate.hpp"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <span>
#include <string>
#include <string_view>

#include "support/acl_text.hpp"

namespace pmemfs::test {
namespace {

constexpr Caller kRoot{.uid = 0, .gid = 0, .pid = 1, .umask = 022};
constexpr std::string_view kDurable = "user.pmemfs.mmap_durable";

std::span<const std::byte> bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

class Operate {
 public:
  Operate(Filesystem& fs, Answers& answers) : fs_(fs), answers_(answers) {}

  void run(const std::vector<FoundName>& names, std::uint64_t focus) {
    std::vector<FoundName> chosen;
    for (const FoundName& n : names) {
      const bool concerned = n.ino.value == focus || n.dir.value == focus;
      if (concerned ? chosen.size() < 6 : chosen.size() < 2) {
        chosen.push_back(n);
      }
    }
    in_directory(InodeNo(focus));
    in_directory(kRootInode);
    for (const FoundName& n : chosen) {
      if (S_ISREG(n.mode)) {
        file(n.ino);
      } else if (S_ISDIR(n.mode)) {
        in_directory(n.ino);
      }
      attributes(n.ino);
    }
    as_a_whole();
    for (const FoundName& n : chosen) {
      names_of(n);
    }
    (void)answers_.plain(fs_.sync(), "sync");
  }

 private:
  template <typename T>
  bool plain(const T& answer, std::string_view call) {
    return answers_.plain(answer, call);
  }
  void drop(const Result<Attributes>& made, std::string_view call) {
    if (plain(made, call)) {
      fs_.forget(made->ino, 1);
    }
  }

  void in_directory(InodeNo dir) {
    const auto file = fs_.create(kRoot, dir, "created", 0644, O_RDWR);
    if (plain(file, "create")) {
      (void)plain(fs_.write(file->opened.handle, 0, bytes("new"), false, false), "write");
      fs_.release(file->opened.handle);
      fs_.forget(file->attributes.ino, 1);
      drop(fs_.link(file->attributes.ino, dir, "linked to"), "link");
    }
    drop(fs_.mkdir(kRoot, dir, "made", 0755), "mkdir");
    drop(fs_.symlink(kRoot, dir, "symlink", std::string(300, 's')), "symlink");
    drop(fs_.mknod(kRoot, dir, "fifo", S_IFIFO | 0600, 0), "mknod");
    const auto nameless = fs_.tmpfile(kRoot, dir, 0600, O_RDWR);
    if (plain(nameless, "tmpfile")) {
      fs_.release(nameless->opened.handle);
      fs_.forget(nameless->attributes.ino, 1);
    }
    (void)plain(fs_.rename(kRoot, dir, "created", dir, "moved", 0), "rename");
    (void)plain(fs_.rename(kRoot, dir, "moved", dir, "made", RENAME_EXCHANGE), "exchange");
    (void)plain(fs_.fsync_dir(dir), "fsync of a directory");
    (void)plain(fs_.unlink(dir, "linked to"), "unlink");
    (void)plain(fs_.rmdir(dir, "moved"), "rmdir");
  }

  void file(InodeNo ino) {
    const auto opened = fs_.open_file(ino, O_RDWR, false);
    if (!plain(opened, "open")) {
      return;
    }
    const HandleId h = opened->handle;
    const std::string content(9000, 'w');
    for (const std::uint64_t off : {0U, 5000U, 50000U}) {
      (void)plain(fs_.write(h, off, bytes(content), false, false), "write");
    }
    (void)plain(fs_.write(h, 0, bytes("appended"), true, true), "append");
    (void)plain(fs_.fallocate(kRoot, h, 0, 0, 300'000), "fallocate");
    (void)plain(fs_.fallocate(kRoot, h, FALLOC_FL_KEEP_SIZE, 400'000, 5000), "fallocate");
    constexpr int kPunch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    (void)plain(fs_.fallocate(kRoot, h, kPunch, 10'000, 20'000), "punch");
    (void)plain(fs_.fallocate(kRoot, h, FALLOC_FL_ZERO_RANGE, 3000, 9000), "zero range");
    (void)plain(fs_.copy_range(h, 0, h, 100'000, 6000), "copy_file_range");
    truncate(ino, 123'456);
    truncate(ino, 4097);
    (void)plain(fs_.fsync(h, false), "fsync");
    fs_.release(h);
    if (plain(fs_.setxattr(kRoot, ino, kDurable, bytes("1"), 0, false), "set durable")) {
      truncate(ino, 20'000);
      (void)plain(fs_.setxattr(kRoot, ino, kDurable, bytes("0"), 0, false), "clear durable");
    }
    (void)plain(fs_.defrag(ino, {}), "defrag");
    truncate(ino, 0);
  }

  void truncate(InodeNo ino, std::uint64_t size) {
    AttributeChange change;
    change.size = size;
    (void)plain(fs_.setattr(kRoot, ino, change), "truncate");
  }

  void attributes(InodeNo ino) {
    AttributeChange change;
    change.mode = 0640;
    change.uid = 5;
    change.mtime = Timestamp{5, 6};
    (void)plain(fs_.setattr(kRoot, ino, change), "setattr");
    const auto set = [&](std::string_view name, const std::string& value, int flags) {
      const Status done = fs_.setxattr(kRoot, ino, name, bytes(value), flags, false);
      if (done.code() != E2BIG) {
        (void)plain(done, "setxattr");
      }
    };
    set("user.new", "value", XATTR_CREATE);
    set("user.new", std::string(5000, 'n'), XATTR_REPLACE);
    set("user.large", "small now", 0);
    set(kAccessAcl, acl("u::rw- u:7:r-- g::r-- m::rw- o::---"), 0);
    set(kDefaultAcl, acl("u::rw- u:7:r-- g::r-- m::rw- o::---"), 0);
    (void)plain(fs_.removexattr(kRoot, ino, "user.large"), "removexattr");
    (void)plain(fs_.removexattr(kRoot, ino, kAccessAcl), "removexattr");
  }

  void as_a_whole() {
    (void)fs_.status();
    (void)plain(fs_.space(), "statfs");
    (void)plain(fs_.durable_files(), "durable list");
    (void)plain(fs_.make_frames(2, {}), "make_frames");
    (void)plain(fs_.defrag(InodeNo(), {}), "defrag of all");
    (void)plain(fs_.evacuate(3U << 20U, 4U << 20U, {}), "evacuate");
    (void)plain(fs_.grow(20U << 20U), "grow");
    (void)plain(fs_.shrink_region(18U << 20U, {}), "shrink");
    fs_.shrink();
    (void)plain(fs_.sync(), "sync");
  }

  void names_of(const FoundName& n) {
    (void)plain(fs_.rename(kRoot, n.dir, n.name, kRootInode, "taken over", 0), "rename");
    (void)plain(fs_.rename(kRoot, kRootInode, "taken over", n.dir, n.name, RENAME_NOREPLACE),
                "rename back");
    (void)plain(fs_.rename(kRoot, n.dir, n.name, n.ino, "into itself", 0), "rename into itself");
    (void)plain(fs_.unlink(n.dir, n.name), "unlink");
    (void)plain(fs_.rmdir(n.dir, n.name), "rmdir");
  }

  Filesystem& fs_;
  Answers& answers_;
};

}  // namespace

void operate(Filesystem& fs, const std::vector<FoundName>& names, std::uint64_t focus,
             Answers& answers) {
  Operate(fs, answers).run(names, focus);
}

}  // namespace pmemfs::test
