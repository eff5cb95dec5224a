#include "check_rig.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <deque>
#include <stdexcept>

#include "base/log.hpp"
#include "harness/catch.hpp"
#include "pmemfs/filesystem.hpp"
#include "store/store.hpp"
#include "support/acl_text.hpp"

namespace pmemfs::test {
namespace {

constexpr Caller kRoot{.uid = 0, .gid = 0, .pid = 1, .umask = 022};
constexpr std::string_view kAclAccess = "system.posix_acl_access";

std::span<const std::byte> bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

std::unique_ptr<Filesystem> mount(Region& region, BackingDir* host, bool collect = true) {
  store::OpenReport report;
  auto store = store::Store::open(region, &report);
  REQUIRE(store.code() == 0);
  FilesystemOptions options;
  options.background = false;
  options.passthrough = true;
  options.collect_orphans = collect && report.may_collect;
  auto fs = Filesystem::open(std::move(*store), host, options);
  REQUIRE(fs.code() == 0);
  return std::move(*fs);
}

// Short forms that require success.
class Maker {
 public:
  Maker(Filesystem& fs, std::map<std::string, std::uint64_t>& inodes) : fs_(fs), inodes_(inodes) {}

  InodeNo note(const std::string& path, const Result<Attributes>& made) {
    REQUIRE(made.code() == 0);
    inodes_[path] = made->ino.value;
    fs_.forget(made->ino, 1);
    return made->ino;
  }
  InodeNo dir(const std::string& path, InodeNo in, std::string_view name) {
    return note(path, fs_.mkdir(kRoot, in, name, 0755));
  }
  InodeNo file(const std::string& path, InodeNo in, std::string_view name,
               std::string_view content) {
    auto made = fs_.create(kRoot, in, name, 0644, O_RDWR);
    REQUIRE(made.code() == 0);
    inodes_[path] = made->attributes.ino.value;
    write(made->opened.handle, 0, content);
    fs_.release(made->opened.handle);
    fs_.forget(made->attributes.ino, 1);
    return made->attributes.ino;
  }
  void write(HandleId handle, std::uint64_t off, std::string_view content) {
    REQUIRE(fs_.write(handle, off, bytes(content), false, false).code() == 0);
  }
  void xattr(InodeNo ino, std::string_view name, std::span<const std::byte> value) {
    REQUIRE(fs_.setxattr(kRoot, ino, name, value, 0, false).code() == 0);
  }

 private:
  Filesystem& fs_;
  std::map<std::string, std::uint64_t>& inodes_;
};

std::string content_of(Filesystem& fs, InodeNo ino) {
  const auto opened = fs.open_file(ino, O_RDONLY, false);
  if (!opened) {
    return "<errno " + std::to_string(opened.code()) + ">";
  }
  std::vector<std::byte> buffer(1U << 20U);
  const auto n = fs.read(opened->handle, 0, buffer);
  fs.release(opened->handle);
  if (!n) {
    return "<errno " + std::to_string(n.code()) + ">";
  }
  return {reinterpret_cast<const char*>(buffer.data()), *n};
}

std::string xattrs_of(Filesystem& fs, InodeNo ino) {
  std::string text;
  const auto names = fs.listxattr(kRoot, ino);
  if (!names) {
    return " <errno " + std::to_string(names.code()) + ">";
  }
  for (const std::string& name : *names) {
    const auto value = fs.getxattr(ino, name);
    text +=
        " " + name + "=" +
        (value ? std::to_string(value->size()) : "<errno " + std::to_string(value.code()) + ">");
  }
  return text;
}

std::string text_of(Filesystem& fs, InodeNo ino) {
  const auto a = fs.getattr(ino);
  if (!a) {
    return "<errno " + std::to_string(a.code()) + ">";
  }
  std::string text = fmt::format("{:o} {}", a->mode, a->nlink);
  if (a->durable) {
    text += " durable";
  }
  if (S_ISREG(a->mode)) {
    text += " " + content_of(fs, ino);
  } else if (S_ISLNK(a->mode)) {
    const auto target = fs.readlink(ino);
    text += " " + (target ? *target : "<errno " + std::to_string(target.code()) + ">");
  }
  return text + xattrs_of(fs, ino);
}

Tree tree_of(Filesystem& fs) {
  Tree tree;
  std::deque<std::pair<std::string, InodeNo>> left{{"", kRootInode}};
  while (!left.empty()) {
    const auto [path, dir] = left.front();
    left.pop_front();
    REQUIRE(tree.size() < 10000);
    tree[path.empty() ? "/" : path] = text_of(fs, dir);
    std::vector<std::pair<std::string, InodeNo>> found;
    const Status listed = fs.list(dir, 0, false, [&, &path = path](const ListedEntry& e) {
      if (e.name != "." && e.name != "..") {
        found.emplace_back(path + "/" + std::string(e.name), e.ino);
      }
      return true;
    });
    if (!listed) {
      tree[path + "/*"] = "<errno " + std::to_string(listed.code()) + ">";
    }
    for (auto& [name, ino] : found) {
      const auto a = fs.getattr(ino);
      if (a && S_ISDIR(a->mode)) {
        left.emplace_back(name, ino);
      } else {
        tree[name] = text_of(fs, ino);
      }
    }
  }
  return tree;
}

}  // namespace

CheckRig::CheckRig(Data data, const Hook& on_fence) : data_(data) {
  base::log::init_callback([](base::log::Level, const std::string&) {});  // damage is the point
  region_ = std::make_unique<SimRegion>(format::kMinRegionSize);
  host_ = data == Data::kBacking ? std::make_unique<SimBackingDir>() : nullptr;
  store::FormatOptions format;
  format.kind = data == Data::kBacking ? format::RegionKind::kDirectory : format::RegionKind::kFile;
  format.uuid.fill(7);
  REQUIRE(store::Store::format(*region_, format).ok());
  if (on_fence) {
    region_->on_fence([&](SimRegion& region) { on_fence(region, host_.get()); });
  }
  fill();
  region_->on_fence({});
  tree_ = look();
}

void CheckRig::fill() {
  const auto fs = mount(*region_, host_.get());
  Maker make(*fs, inodes_);
  inodes_["/"] = 1;
  const InodeNo a = make.file("/a", kRootInode, "a", "content of a");
  const InodeNo dir = make.dir("/dir", kRootInode, "dir");
  const InodeNo sub = make.dir("/dir/sub", dir, "sub");
  make.file("/dir/sub/deep", sub, "deep", "content of deep");
  make.note("/dir/second", fs->link(a, dir, "second"));
  const InodeNo many = make.dir("/many", kRootInode, "many");
  for (int i = 0; i < 100; ++i) {
    const std::string name = "a name that takes more than a single slot " + std::to_string(i);
    make.note("/many/" + name, fs->symlink(kRoot, many, name, std::to_string(i)));
  }
  auto holes = fs->create(kRoot, kRootInode, "holes", 0644, O_RDWR);
  REQUIRE(holes.code() == 0);
  inodes_["/holes"] = holes->attributes.ino.value;
  for (std::uint64_t i = 0; i < 20; ++i) {
    make.write(holes->opened.handle, i * 8192, "piece " + std::to_string(i));
  }
  fs->release(holes->opened.handle);
  fs->forget(holes->attributes.ino, 1);
  const InodeNo xattrs = make.file("/xattrs", kRootInode, "xattrs", "x");
  make.xattr(xattrs, "user.small", bytes("value"));
  make.xattr(xattrs, "user.large", bytes(std::string(5000, 'l')));
  const std::string acl = test::acl("u::rw- u:7:rwx g::r-- m::rwx o::---");
  make.xattr(xattrs, kAclAccess, std::as_bytes(std::span(acl)));
  make.note("/link", fs->symlink(kRoot, kRootInode, "link", "a"));
  make.note("/long", fs->symlink(kRoot, kRootInode, "long", std::string(200, 't')));
  make.note("/fifo", fs->mknod(kRoot, kRootInode, "fifo", S_IFIFO | 0644, 0));
  const InodeNo durable = make.file("/durable", kRootInode, "durable", std::string(10000, 'd'));
  make.xattr(durable, "user.pmemfs.mmap_durable", bytes("1"));
  REQUIRE(fs->close().ok());
}

void CheckRig::damage(const std::function<void(std::span<std::byte>)>& change) {
  std::vector<std::byte> image(region_->data(), region_->data() + region_->size());
  change(image);
  region_ = std::make_unique<SimRegion>(image);
}

check::Report CheckRig::check(bool repair) {
  check::Options options;
  options.repair = repair;
  auto report = check::check(*region_, host_.get(), options);
  REQUIRE(report.code() == 0);
  return std::move(*report);
}

check::Report CheckRig::check_copy() {
  KeepAll all;
  const auto copy = region_->crash(all);
  auto report = check::check(*copy, host_.get(), {});
  REQUIRE(report.code() == 0);
  return std::move(*report);
}

Tree CheckRig::look() {
  const auto fs = mount(*region_, host_.get());
  Tree tree = tree_of(*fs);
  REQUIRE(fs->close().ok());
  return tree;
}

std::set<std::string> problems(const check::Report& report) {
  std::set<std::string> found;
  for (const check::Finding& f : report.findings) {
    found.emplace(to_string(f.problem));
  }
  return found;
}

std::string describe(const check::Report& report) {
  std::string text;
  for (const check::Finding& f : report.findings) {
    text += fmt::format("{}: inode {} {}: {}{}\n", to_string(f.problem), f.ino.value, f.path,
                        f.what, f.repaired ? " (repaired)" : "");
  }
  for (const std::string& note : report.notes) {
    text += "note: " + note + "\n";
  }
  return text;
}

}  // namespace pmemfs::test
