#include "walk.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <deque>
#include <set>

namespace pmemfs::test {
namespace {

constexpr Caller kRoot{.uid = 0, .gid = 0, .pid = 1, .umask = 022};
constexpr std::size_t kMostNames = 5000;    // of one directory: more than a sample's region makes
constexpr std::size_t kMostTargets = 2000;  // directories and files in all

class Walk {
 public:
  Walk(Filesystem& fs, Answers& answers) : fs_(fs), answers_(answers) {}

  std::vector<FoundName> run() {
    read_attributes(kRootInode);
    pending_.push_back(kRootInode);
    seen_.insert(kRootInode);
    while (!pending_.empty()) {
      const InodeNo dir = pending_.front();
      pending_.pop_front();
      directory(dir);
    }
    return std::move(found_);
  }

 private:
  void directory(InodeNo dir) {
    for (const std::string& name : list(dir)) {
      const auto target = fs_.lookup(dir, name);
      FoundName found{dir, name, InodeNo(), 0};
      if (answers_.plain(target, "lookup of " + name)) {
        found.ino = target->ino;
        found.mode = target->mode;
        if (seen_.size() < kMostTargets && seen_.insert(target->ino).second) {
          read(target->ino, target->mode, target->size);
        }
        fs_.forget(target->ino, 1);
      }
      found_.push_back(found);
    }
    (void)fs_.lookup(dir, "no such name");
    const auto parent = fs_.lookup(dir, "..");
    if (answers_.plain(parent, "lookup of ..")) {
      fs_.forget(parent->ino, 1);
    }
  }

  // Without "." and "..", with readdirplus for every second directory. Cookies must grow.
  std::vector<std::string> list(InodeNo dir) {
    std::vector<std::string> names;
    std::vector<InodeNo> referenced;
    std::uint64_t cookie = 0;
    bool more = true;
    while (more && names.size() < kMostNames) {
      more = false;
      const Status listed = fs_.list(dir, cookie, dir.value % 2 == 0, [&](const ListedEntry& e) {
        if (e.next <= cookie) {
          answers_.wrong("a listing does not move on");
          more = false;
          return false;
        }
        if (e.attributes != nullptr) {
          referenced.push_back(e.attributes->ino);
        }
        if (e.name.empty() || e.name.find('/') != std::string_view::npos ||
            e.name.find('\0') != std::string_view::npos) {
          answers_.wrong("a listing gives what is no name");
        }
        if (e.name != "." && e.name != "..") {
          names.emplace_back(e.name);
        }
        cookie = e.next;
        more = true;
        return names.size() % 40 != 39;  // in several calls
      });
      if (!answers_.plain(listed, "readdir") || !answers_.complaint().empty()) {
        break;
      }
    }
    if (names.size() >= kMostNames) {
      answers_.wrong("a listing does not end");
    }
    for (const InodeNo ino : referenced) {
      fs_.forget(ino, 1);
    }
    return names;
  }

  void read(InodeNo ino, std::uint32_t mode, std::uint64_t size) {
    read_attributes(ino);
    if (S_ISLNK(mode)) {
      (void)answers_.plain(fs_.readlink(ino), "readlink");
    } else if (S_ISDIR(mode)) {
      pending_.push_back(ino);
    } else if (S_ISREG(mode) && size > 0) {
      content(ino, size);
    }
  }

  void read_attributes(InodeNo ino) {
    (void)answers_.plain(fs_.getattr(ino), "getattr");
    (void)answers_.plain(fs_.inode_flags(ino), "FS_IOC_GETFLAGS");
    const auto names = fs_.listxattr(kRoot, ino);
    if (answers_.plain(names, "listxattr")) {
      for (const std::string& name : *names) {
        (void)answers_.plain(fs_.getxattr(ino, name), "getxattr");
      }
    }
    for (const char* own : {"user.pmemfs.extents", "user.pmemfs.mapping", "user.pmemfs.placement",
                            "user.pmemfs.mmap_durable"}) {
      (void)answers_.plain(fs_.getxattr(ino, own), "getxattr");
    }
  }

  void content(InodeNo ino, std::uint64_t size) {
    const auto opened = fs_.open_file(ino, O_RDONLY, false);
    if (!answers_.plain(opened, "open")) {
      return;
    }
    std::array<std::byte, 16384> buffer{};
    for (const std::uint64_t off :
         {std::uint64_t{0}, std::uint64_t{100'000}, size / 2, size - 1, std::uint64_t{1} << 40U}) {
      const auto n = fs_.read(opened->handle, off, buffer);
      if (answers_.plain(n, "read") && *n > buffer.size()) {
        answers_.wrong("a read gives more than was asked for");
      }
      (void)answers_.plain(fs_.seek(opened->handle, off, SEEK_DATA), "SEEK_DATA");
      (void)answers_.plain(fs_.seek(opened->handle, off, SEEK_HOLE), "SEEK_HOLE");
    }
    fs_.release(opened->handle);
  }

  Filesystem& fs_;
  Answers& answers_;
  std::deque<InodeNo> pending_;
  std::set<InodeNo> seen_;
  std::vector<FoundName> found_;
};

}  // namespace

std::vector<FoundName> walk(Filesystem& fs, Answers& answers) {
  return Walk(fs, answers).run();
}

}  // namespace pmemfs::test
