#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>

#include <cerrno>

#include "world.hpp"

namespace pmemfs::fuzz {
namespace {

void same_code(int expected, int found, const char* what) {
  demand_equal(static_cast<std::uint64_t>(expected), static_cast<std::uint64_t>(found), what);
}

}  // namespace

void World::adopt(const NodePtr& node, const Attributes& found) {
  node->ino = found.ino.value;
  compare_attributes(*node);
  fs().forget(found.ino, 1);
}

void World::create() {
  ModelNode& dir = directory();
  const std::string n = name();
  NodePtr made;
  const int expected = Model::make(dir, n, S_IFREG | 0644U, &made);
  const auto created = fs().create(kRoot, InodeNo(dir.ino), n, 0666, O_RDWR);
  same_code(expected, created.code(), "create");
  if (created) {
    keep_open(created->opened.handle, made);
    adopt(made, created->attributes);
  }
}

void World::make_other() {
  ModelNode& dir = directory();
  const std::string n = name();
  NodePtr made;
  const std::size_t which = input_.below(4);
  Result<Attributes> found = Error(EINVAL);
  int expected = 0;
  if (which < 2) {
    if (model_.directories().size() >= kMostDirectories) {
      return;
    }
    expected = Model::make(dir, n, S_IFDIR | 0755U, &made);
    found = fs().mkdir(kRoot, InodeNo(dir.ino), n, 0777);
  } else if (which == 2) {
    const std::string target(1 + input_.word() % 4095U, 't');
    expected = Model::make(dir, n, S_IFLNK | 0777U, &made);
    found = fs().symlink(kRoot, InodeNo(dir.ino), n, target);
    if (made) {
      made->content = target;
    }
  } else {
    expected = Model::make(dir, n, S_IFIFO | 0644U, &made);
    found = fs().mknod(kRoot, InodeNo(dir.ino), n, S_IFIFO | 0666, 0);
  }
  same_code(expected, found.code(), "mkdir, symlink or mknod");
  if (found) {
    adopt(made, *found);
  }
}

void World::link() {
  const NodePtr source = node();
  ModelNode& dir = directory();
  const std::string n = name();
  const int expected = Model::link(source, dir, n);
  const auto linked = fs().link(InodeNo(source->ino), InodeNo(dir.ino), n);
  same_code(expected, linked.code(), "link");
  if (linked) {
    adopt(source, *linked);
  }
}

void World::tmpfile() {
  if (open_.size() >= kMostOpen) {
    return;
  }
  ModelNode& dir = directory();
  auto node = std::make_shared<ModelNode>();
  node->mode = S_IFREG | 0600U;
  node->nlink = 0;
  node->nameless = true;
  node->durable = dir.durable;
  const auto made = fs().tmpfile(kRoot, InodeNo(dir.ino), 0600, O_RDWR);
  same_code(0, made.code(), "tmpfile");
  keep_open(made->opened.handle, node);
  adopt(node, made->attributes);
}

// What linkat(2) does with an O_TMPFILE.
void World::link_nameless() {
  const Open* opened = file();
  if (opened == nullptr || !opened->node->nameless) {
    return;
  }
  ModelNode& dir = directory();
  const std::string n = name();
  const int expected = Model::link(opened->node, dir, n);
  const auto linked = fs().link(InodeNo(opened->node->ino), InodeNo(dir.ino), n);
  same_code(expected, linked.code(), "link of a nameless file");
  if (linked) {
    adopt(opened->node, *linked);
  }
}

void World::remove() {
  ModelNode& dir = directory();
  const std::string n = name();
  if (input_.byte() % 2 == 0) {
    const int expected = Model::unlink(dir, n);
    same_code(expected, fs().unlink(InodeNo(dir.ino), n).code(), "unlink");
  } else {
    const int expected = Model::rmdir(dir, n);
    same_code(expected, fs().rmdir(InodeNo(dir.ino), n).code(), "rmdir");
  }
}

void World::rename() {
  ModelNode& from = directory();
  ModelNode& to = directory();
  const std::string old_name = name();
  const std::string new_name = name();
  constexpr unsigned kFlags[] = {0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE};
  const unsigned flags = kFlags[input_.below(4)];
  const std::uint64_t from_ino = from.ino;
  const std::uint64_t to_ino = to.ino;
  const int expected = Model::rename(from, old_name, to, new_name, flags);
  const Status done =
      fs().rename(kRoot, InodeNo(from_ino), old_name, InodeNo(to_ino), new_name, flags);
  same_code(expected, done.code(), "rename");
}

}  // namespace pmemfs::fuzz
