#include "mount/stress_worker.hpp"

#include <algorithm>
#include <array>
#include <sstream>
#include <stdexcept>
#include <vector>

namespace pmemfs::test {
namespace {

constexpr std::uint64_t kNames = 24;  // per directory, so that names collide
constexpr std::size_t kMaxNodes = 400;

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

std::string join(const std::string& dir, const std::string& name) {
  return dir.empty() ? name : dir + "/" + name;
}

}  // namespace

void StressWorker::run(std::uint64_t operations) {
  for (std::uint64_t i = 0; i < operations; ++i) {
    step();
  }
}

void StressWorker::step() {
  using Operation = void (StressWorker::*)();
  static constexpr std::array<Operation, 18> kOperations{&StressWorker::make_file_or_node,
                                                         &StressWorker::make_file_or_node,
                                                         &StressWorker::make_file_or_node,
                                                         &StressWorker::make_directory,
                                                         &StressWorker::make_directory,
                                                         &StressWorker::make_symlink,
                                                         &StressWorker::make_link,
                                                         &StressWorker::remove,
                                                         &StressWorker::remove,
                                                         &StressWorker::remove,
                                                         &StressWorker::rename,
                                                         &StressWorker::rename,
                                                         &StressWorker::exchange,
                                                         &StressWorker::write,
                                                         &StressWorker::cut,
                                                         &StressWorker::change_mode,
                                                         &StressWorker::change_owner,
                                                         &StressWorker::change_xattr};
  ++count_;
  if (nodes_.size() > kMaxNodes) {
    remove();
    return;
  }
  (this->*random_.pick(kOperations))();
}

void StressWorker::add(const std::string& path, mode_t mode, Errno result) {
  expect("make", path, nodes_.contains(path) ? Errno{EEXIST} : Errno{}, result);
  if (!(result == Errno{})) {
    return;
  }
  auto node = std::make_shared<Node>(Node{mode, 0, 0, {}, {}});
  const auto parent = nodes_.find(parent_of(path));
  if (parent != nodes_.end() && (parent->second->mode & S_ISGID) != 0) {
    node->gid = parent->second->gid;
    node->mode |= S_ISDIR(mode) ? static_cast<mode_t>(S_ISGID) : 0U;
  }
  nodes_[path] = std::move(node);
}

void StressWorker::make_file_or_node() {
  const std::string path = new_or_old_name(any_directory());
  if (random_.one_in(6)) {
    add(path, S_IFIFO | 0640U, error_of(sys::mknod(full(path), S_IFIFO | 0640U)));
    return;
  }
  const UniqueFd fd(sys::open(full(path), O_CREAT | O_EXCL | O_RDWR, 0644));
  add(path, S_IFREG | 0644U, error_of(fd.get()));
  if (fd) {
    const std::string data = pattern(random_.below(3000), count_);
    expect("write", path, Errno{}, write_all(fd.get(), data) ? Errno{} : Errno{errno});
    nodes_[path]->content = data;
  }
}

void StressWorker::make_directory() {
  const std::string path = new_or_old_name(any_directory());
  if (std::count(path.begin(), path.end(), '/') < 6) {
    add(path, S_IFDIR | 0755U, error_of(sys::mkdir(full(path))));
  }
}

void StressWorker::make_symlink() {
  const std::string path = new_or_old_name(any_directory());
  const std::string target(1 + random_.below(300), 't');
  const Errno result = error_of(sys::symlink(target, full(path)));
  add(path, S_IFLNK | 0777U, result);
  if (result == Errno{}) {
    nodes_[path]->content = target;
  }
}

void StressWorker::make_link() {
  const std::string from = any_path();
  if (from.empty()) {
    return;
  }
  const std::string to = new_or_old_name(any_directory());
  const Errno expected = nodes_.contains(to)  ? Errno{EEXIST}
                         : is_directory(from) ? Errno{EPERM}
                                              : Errno{};
  expect("link", from + " " + to, expected, error_of(sys::link(full(from), full(to))));
  if (expected == Errno{}) {
    nodes_[to] = nodes_[from];
  }
}

void StressWorker::remove() {
  const std::string path = any_path();
  if (path.empty()) {
    return;
  }
  if (is_directory(path)) {
    const Errno expected = is_empty(path) ? Errno{} : Errno{ENOTEMPTY};
    expect("rmdir", path, expected, error_of(sys::rmdir(full(path))));
    if (!(expected == Errno{})) {
      return;
    }
  } else {
    expect("unlink", path, Errno{}, error_of(sys::unlink(full(path))));
  }
  nodes_.erase(path);
}

Errno StressWorker::rename_result(const std::string& from, const std::string& to) const {
  const auto target = nodes_.find(to);
  if (lies_in(to, from)) {
    return Errno{from == to ? 0 : EINVAL};
  }
  if (lies_in(from, to)) {
    return Errno{ENOTEMPTY};
  }
  if (target == nodes_.end()) {
    return {};
  }
  if (is_directory(from) != is_directory(to)) {
    return Errno{is_directory(from) ? ENOTDIR : EISDIR};
  }
  return is_directory(to) && !is_empty(to) ? Errno{ENOTEMPTY} : Errno{};
}

void StressWorker::rename() {
  const std::string from = any_path();
  if (from.empty()) {
    return;
  }
  const std::string to = new_or_old_name(any_directory());
  const bool replace = !random_.one_in(3);
  Errno expected = rename_result(from, to);
  if (!replace && nodes_.contains(to) && !(expected == Errno{EINVAL}) && !lies_in(from, to)) {
    expected = Errno{EEXIST};
  }
  if (!replace && (lies_in(from, to) || lies_in(to, from)) && nodes_.contains(to)) {
    return;  // which of the two errors comes first is nobody's contract
  }
  expect("rename", from + " " + to, expected,
         error_of(sys::rename(full(from), full(to), replace ? 0 : RENAME_NOREPLACE)));
  const bool same = nodes_.contains(to) && nodes_[to] == nodes_[from];
  if (expected == Errno{} && !same) {
    put(to, take(from));
  }
}

void StressWorker::exchange() {
  const std::string one = any_path();
  const std::string two = any_path();
  if (one.empty() || one == two) {
    return;
  }
  const bool nested = lies_in(one, two) || lies_in(two, one);
  expect("exchange", one + " " + two, nested ? Errno{EINVAL} : Errno{},
         error_of(sys::rename(full(one), full(two), RENAME_EXCHANGE)));
  if (!nested) {
    const Nodes first = take(one);
    put(one, take(two));
    put(two, first);
  }
}

void StressWorker::write() {
  const std::string path = any_path_of(S_IFREG);
  if (path.empty()) {
    return;
  }
  std::string& content = nodes_[path]->content;
  const std::uint64_t off = random_.below(20'000);
  const std::string data = pattern(1 + random_.below(6000), count_);
  const UniqueFd fd = open_file(full(path), O_RDWR);
  expect("write", path, Errno{},
         pwrite_all(fd.get(), data, static_cast<off_t>(off)) ? Errno{} : Errno{errno});
  content.resize(std::max<std::size_t>(content.size(), off + data.size()), '\0');
  content.replace(off, data.size(), data);
}

void StressWorker::cut() {
  const std::string path = any_path_of(S_IFREG);
  if (!path.empty()) {
    const std::uint64_t size = random_.below(15'000);
    expect("truncate", path, Errno{},
           error_of(sys::truncate(full(path), static_cast<off_t>(size))));
    nodes_[path]->content.resize(size, '\0');
  }
}

void StressWorker::change_mode() {
  const std::string path = any_path();
  if (!path.empty() && !S_ISLNK(nodes_[path]->mode)) {
    const auto bits = static_cast<mode_t>(random_.below(010000));
    expect("chmod", path, Errno{}, error_of(sys::chmod(full(path), bits)));
    nodes_[path]->mode = (nodes_[path]->mode & S_IFMT) | bits;
  }
}

void StressWorker::change_owner() {
  const std::string path = any_path();
  if (path.empty()) {
    return;
  }
  Node& node = *nodes_[path];
  node.uid = static_cast<uid_t>(random_.below(70'000));
  node.gid = static_cast<gid_t>(random_.below(70'000));
  expect("chown", path, Errno{}, error_of(sys::lchown(full(path), node.uid, node.gid)));
  if (!S_ISDIR(node.mode)) {
    node.mode &= ~static_cast<mode_t>(S_ISUID);
    if ((node.mode & S_IXGRP) != 0) {
      node.mode &= ~static_cast<mode_t>(S_ISGID);
    }
  }
}

void StressWorker::change_xattr() {
  const std::string path = any_path();
  if (path.empty()) {
    return;
  }
  const std::string name = "trusted.name" + std::to_string(random_.below(6));
  auto& xattrs = nodes_[path]->xattrs;
  if (random_.one_in(3)) {
    expect("removexattr", path, xattrs.erase(name) != 0 ? Errno{} : Errno{ENODATA},
           error_of(sys::removexattr(full(path), name)));
    return;
  }
  xattrs[name] = pattern(random_.below(400), count_);
  expect("setxattr", path, Errno{}, error_of(sys::setxattr(full(path), name, xattrs[name])));
}

std::string StressWorker::any_directory() {
  return random_.one_in(4) ? "" : any_path_of(S_IFDIR);
}

std::string StressWorker::new_or_old_name(const std::string& dir) {
  return join(dir, "n" + std::to_string(random_.below(kNames)));
}

std::string StressWorker::any_path() {
  return nodes_.empty() ? "" : random_.pick(nodes_).first;
}

std::string StressWorker::any_path_of(mode_t type) {
  for (int tries = 0; tries < 20; ++tries) {
    std::string path = any_path();
    if (path.empty() || (nodes_[path]->mode & S_IFMT) == type) {
      return path;
    }
  }
  return "";
}

bool StressWorker::is_directory(const std::string& path) const {
  const auto node = nodes_.find(path);
  return node != nodes_.end() && S_ISDIR(node->second->mode);
}

bool StressWorker::is_empty(const std::string& dir) const {
  const auto next = nodes_.lower_bound(dir + "/");
  return next == nodes_.end() || !lies_in(next->first, dir);
}

bool StressWorker::lies_in(const std::string& path, const std::string& dir) const {
  return path == dir ? is_directory(dir) : path.rfind(dir + "/", 0) == 0;
}

StressWorker::Nodes StressWorker::take(const std::string& path) {
  Nodes taken;
  for (auto at = nodes_.begin(); at != nodes_.end();) {
    const bool inside = at->first == path || at->first.rfind(path + "/", 0) == 0;
    if (inside) {
      taken[at->first.substr(path.size())] = at->second;
      at = nodes_.erase(at);
    } else {
      ++at;
    }
  }
  return taken;
}

void StressWorker::put(const std::string& path, const Nodes& nodes) {
  for (const auto& [tail, node] : nodes) {
    nodes_[path + tail] = node;
  }
}

void StressWorker::expect(const char* what, const std::string& path, Errno expected,
                          Errno found) const {
  if (!(expected == found)) {
    throw std::runtime_error("operation " + std::to_string(count_) + ", " + what + " " + path +
                             ": expected " + Catch::StringMaker<Errno>::convert(expected) +
                             ", got " + Catch::StringMaker<Errno>::convert(found));
  }
}

std::string StressWorker::describe(const std::string& path, const Node& node) const {
  const bool directory = S_ISDIR(node.mode);
  long links = 0;
  for (const auto& [other, other_node] : nodes_) {
    if (directory) {
      links += parent_of(other) == path && S_ISDIR(other_node->mode) ? 1 : 0;
    } else {
      links += other_node.get() == &node ? 1 : 0;
    }
  }
  std::ostringstream text;
  text << std::oct << node.mode << std::dec << ' ' << node.uid << ':' << node.gid
       << " links=" << links + (directory ? 2 : 0);
  if (!directory) {
    text << " size=" << node.content.size() << " rdev=0";
  }
  if (S_ISLNK(node.mode)) {
    text << " target=" << node.content;
  }
  if (S_ISREG(node.mode)) {
    text << " content=" << hash_of(node.content);
  }
  for (const auto& [name, value] : node.xattrs) {
    text << ' ' << name << '=' << hash_of(value);
  }
  return text.str();
}

Tree StressWorker::expected() const {
  Tree tree;
  for (const auto& [path, node] : nodes_) {
    tree[path] = describe(path, *node);
  }
  return tree;
}

}  // namespace pmemfs::test
