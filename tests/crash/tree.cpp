#include "crash/tree.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <stdexcept>
#include <vector>

namespace pmemfs::crash {
namespace {

constexpr Caller kRoot{.uid = 0, .gid = 0, .pid = 1, .umask = 022};

template <typename T>
T require(Result<T> result, const char* what, const std::string& path) {
  if (!result) {
    throw std::runtime_error(fmt::format("{} of '{}': errno {}", what, path, result.code()));
  }
  return std::move(*result);
}

std::string text_of(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string show(Timestamp t) {
  return fmt::format("{}.{:09} ", t.sec, t.nsec);
}

class Walker {
 public:
  explicit Walker(World& world) : fs_(world.fs()) {}

  Tree walk() {
    add("", require(fs_.getattr(kRootInode), "getattr", ""));
    return std::move(tree_);
  }

 private:
  void add(const std::string& path, const Attributes& first) {
    Entry entry;
    if (S_ISREG(first.mode)) {
      entry.content = read(path, first);
    } else if (S_ISLNK(first.mode)) {
      entry.content = require(fs_.readlink(first.ino), "readlink", path);
    }
    // After the content: opening a durable file may cover what a crash left behind its end.
    const Attributes a = require(fs_.getattr(first.ino), "getattr", path);
    entry.ino = a.ino.value;
    entry.generation = a.generation;
    entry.mode = a.mode;
    entry.nlink = a.nlink;
    entry.uid = a.uid;
    entry.gid = a.gid;
    entry.size = a.size;
    entry.durable = a.durable;
    entry.times = show(a.atime) + show(a.mtime) + show(a.ctime) + show(a.btime);
    for (const std::string& name : require(fs_.listxattr(kRoot, a.ino), "listxattr", path)) {
      entry.xattrs[name] = text_of(require(fs_.getxattr(a.ino, name), "getxattr", path));
    }
    tree_.emplace(path, std::move(entry));
    if (S_ISDIR(a.mode)) {
      descend(path, a.ino);
    }
  }

  std::string read(const std::string& path, const Attributes& a) {
    const Opened opened = require(fs_.open_file(a.ino, O_RDONLY, false), "open", path);
    std::vector<std::byte> buffer(a.size + 1);
    const std::size_t n = require(fs_.read(opened.handle, 0, buffer), "read", path);
    fs_.release(opened.handle);
    buffer.resize(n);
    return text_of(buffer);
  }

  void descend(const std::string& path, InodeNo dir) {
    std::vector<std::string> names;
    const Status listed = fs_.list(dir, 0, false, [&](const ListedEntry& e) {
      if (e.name != "." && e.name != "..") {
        names.emplace_back(e.name);
      }
      return true;
    });
    require(listed ? Result<int>(0) : Result<int>(listed.error()), "readdir", path);
    for (const std::string& name : names) {
      const std::string child = path.empty() ? name : fmt::format("{}/{}", path, name);
      if (child.size() > kLongestPath) {
        throw std::runtime_error("the directories form a loop: " + child);
      }
      const Attributes a = require(fs_.lookup(dir, name), "lookup", child);
      fs_.forget(a.ino, 1);
      add(child, a);
    }
  }

  static constexpr std::size_t kLongestPath = 200;

  Filesystem& fs_;
  Tree tree_;
};

std::string show(const Entry& e) {
  std::string xattrs;
  for (const auto& [name, value] : e.xattrs) {
    xattrs += fmt::format(" {}[{}]", name, value.size());
  }
  return fmt::format("{}.{} mode {:o} nlink {} {}:{} size {} {}{} content[{}]={}…{} {}", e.ino,
                     e.generation, e.mode, e.nlink, e.uid, e.gid, e.size,
                     e.durable ? "durable" : "ordinary", xattrs, e.content.size(),
                     e.content.substr(0, 4),
                     e.content.size() > 4 ? e.content.substr(e.content.size() - 4) : "", e.times);
}

}  // namespace

bool Entry::is_file() const {
  return S_ISREG(mode);
}

Tree read_tree(World& world) {
  return Walker(world).walk();
}

std::string difference(const Tree& found, const Tree& expected) {
  std::string text;
  for (const auto& [path, entry] : expected) {
    const auto at = found.find(path);
    if (at == found.end()) {
      text += fmt::format("  '{}' is missing\n", path);
    } else if (!(at->second == entry)) {
      text += fmt::format("  '{}' is  {}\n  instead of {}\n", path, show(at->second), show(entry));
    }
  }
  for (const auto& [path, entry] : found) {
    if (!expected.contains(path)) {
      text += fmt::format("  '{}' is there: {}\n", path, show(entry));
    }
  }
  return text;
}

}  // namespace pmemfs::crash
