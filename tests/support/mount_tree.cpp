#include "support/mount_tree.hpp"

#include <filesystem>
#include <sstream>

#include "support/mount_sys.hpp"

namespace pmemfs::test {
namespace {

constexpr int kLinesShown = 20;

std::string describe(const std::string& path, const TreeDetail& detail) {
  const struct stat st = stat_of(path);
  std::ostringstream text;
  text << std::oct << st.st_mode << std::dec << ' ' << st.st_uid << ':' << st.st_gid
       << " links=" << st.st_nlink;
  if (!S_ISDIR(st.st_mode)) {
    text << " size=" << st.st_size << " rdev=" << st.st_rdev;
  }
  if (detail.times) {
    text << " mtime=" << st.st_mtim.tv_sec << '.' << st.st_mtim.tv_nsec;
  }
  if (detail.inodes) {
    text << " ino=" << st.st_ino;
  }
  if (S_ISLNK(st.st_mode)) {
    std::string target;
    sys::readlink(path, target);
    text << " target=" << target;
  }
  if (detail.content && S_ISREG(st.st_mode)) {
    text << " content=" << hash_of(content_of(path));
  }
  if (detail.xattrs) {
    for (const std::string& name : xattr_names_of(path)) {
      text << ' ' << name << '=' << hash_of(xattr_of(path, name));
    }
  }
  return text.str();
}

}  // namespace

std::string hash_of(const std::string& content) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : content) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  }
  std::ostringstream text;
  text << std::hex << hash;
  return text.str();
}

Tree tree_of(const std::string& root, const TreeDetail& detail) {
  namespace fs = std::filesystem;
  Tree tree;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root)) {
    const std::string path = entry.path();
    tree[path.substr(root.size() + 1)] = describe(path, detail);
  }
  return tree;
}

std::string tree_difference(const Tree& expected, const Tree& found) {
  std::ostringstream text;
  int lines = 0;
  const auto line = [&](const std::string& path, const std::string& what) {
    if (++lines <= kLinesShown) {
      text << path << ": " << what << '\n';
    }
  };
  for (const auto& [path, description] : expected) {
    const auto other = found.find(path);
    if (other == found.end()) {
      line(path, "missing, expected " + description);
    } else if (other->second != description) {
      line(path, "expected " + description + "\n    found " + other->second);
    }
  }
  for (const auto& [path, description] : found) {
    if (!expected.contains(path)) {
      line(path, "unexpected: " + description);
    }
  }
  if (lines > kLinesShown) {
    text << "and " << lines - kLinesShown << " more\n";
  }
  return text.str();
}

}  // namespace pmemfs::test
