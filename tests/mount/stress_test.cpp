// Many processes at random operations. PMEMFS_STRESS_OPS lengthens the runs, PMEMFS_SEED repeats
// one.

#include <fstream>
#include <map>
#include <set>

#include "mount/stress_worker.hpp"
#include "support/mount_fixture.hpp"
#include "support/mount_random.hpp"

namespace pmemfs::test {
namespace {

constexpr std::uint64_t kWorkers = 4;
constexpr std::uint64_t kOperations = 3000;
constexpr TreeDetail kModelled{false, true, false, true};

// Where a worker leaves its model for the parent.
std::string manifest(const Place& place, std::uint64_t worker) {
  return place / ("manifest" + std::to_string(worker));
}

void save(const Tree& tree, const std::string& path) {
  std::ofstream file(path);
  for (const auto& [name, description] : tree) {
    file << name << '\t' << description << '\n';
  }
}

Tree load(const std::string& path) {
  std::ifstream file(path);
  Tree tree;
  for (std::string line; std::getline(file, line);) {
    const std::size_t tab = line.find('\t');
    tree[line.substr(0, tab)] = line.substr(tab + 1);
  }
  return tree;
}

std::string subtree(const Place& place, std::uint64_t worker) {
  return place / ("w" + std::to_string(worker));
}

void check_subtrees(const Place& place) {
  for (std::uint64_t i = 0; i < kWorkers; ++i) {
    INFO("worker " << i);
    const std::string difference =
        tree_difference(load(manifest(place, i)), tree_of(subtree(place, i), kModelled));
    INFO(difference);
    CHECK(difference.empty());
  }
}

Errno work(const Place& place, std::uint64_t seed, std::uint64_t worker, std::uint64_t operations) {
  ::umask(022);
  StressWorker own(subtree(place, worker), seed + worker);
  own.run(operations);
  save(own.expected(), manifest(place, worker));
  return {};
}

// One of the many at the same few names: any operation may lose any race, but only in these ways.
Errno scramble(const std::string& root, std::uint64_t seed, std::uint64_t operations) {
  Random random(seed);
  const std::set<int> fair{ENOENT, EEXIST, ENOTEMPTY, ENOTDIR, EISDIR,
                           EINVAL, EPERM,  ELOOP,     ENODATA};
  const auto name = [&] {
    std::string path = root;
    for (std::uint64_t depth = random.below(3); depth < 3; ++depth) {
      path += "/s" + std::to_string(random.below(5));
    }
    return path;
  };
  for (std::uint64_t i = 0; i < operations; ++i) {
    const std::string one = name();
    const std::string two = name();
    int rc = 0;
    switch (random.below(10)) {
      case 0:
        rc = UniqueFd(sys::open(one, O_CREAT | O_RDWR)).get();
        break;
      case 1:
        rc = sys::mkdir(one);
        break;
      case 2:
        rc = sys::symlink("s1", one);
        break;
      case 3:
        rc = sys::link(one, two);
        break;
      case 4:
        rc = sys::unlink(one);
        break;
      case 5:
        rc = sys::rmdir(one);
        break;
      case 6:
        rc = sys::rename(one, two);
        break;
      case 7:
        rc = sys::rename(one, two, RENAME_EXCHANGE);
        break;
      case 8:
        rc = sys::chmod(one, 0755);
        break;
      default:
        rc = sys::mknod(one, S_IFIFO | 0644U);
        break;
    }
    if (rc < 0 && !fair.contains(errno)) {
      return Errno{errno};
    }
  }
  return {};
}

// Link counts agree with the names found.
void check_links(const std::string& root) {
  std::map<ino_t, std::pair<nlink_t, nlink_t>> files;  // by inode: names found, link count
  const auto walk = [&](const auto& self, const std::string& dir) -> void {
    nlink_t subdirectories = 0;
    for (const std::string& name : names_in(dir)) {
      const std::string path = std::string(dir).append("/").append(name);
      const struct stat st = stat_of(path);
      if (S_ISDIR(st.st_mode)) {
        ++subdirectories;
        CHECK(inode_of(path + "/..") == inode_of(dir));
        self(self, path);
      } else {
        ++files[st.st_ino].first;
        files[st.st_ino].second = st.st_nlink;
      }
    }
    CHECK(links_of(dir) == subdirectories + 2);
  };
  walk(walk, root);
  for (const auto& [inode, counts] : files) {
    CHECK(counts.first == counts.second);
  }
}

}  // namespace

POSIX_CASE("stress: subtrees of one writer each are as modelled, after remounts too") {
  const std::uint64_t seed = Random::any_seed();
  const std::uint64_t operations = number_from("PMEMFS_STRESS_OPS", kOperations);
  INFO("repeat with PMEMFS_SEED=" << seed << " PMEMFS_STRESS_OPS=" << operations);
  {
    std::vector<std::unique_ptr<Child>> children;
    for (std::uint64_t i = 0; i < kWorkers; ++i) {
      NEED_OK(sys::mkdir(subtree(place, i)));
      children.push_back(
          std::make_unique<Child>([&, i] { return work(place, seed, i, operations); }));
    }
    for (const auto& child : children) {
      REQUIRE(child->wait() == Errno{});
    }
  }
  check_subtrees(place);
  if (place.has_mount()) {
    place.mount().remount();
    check_subtrees(place);
    place.mount().kill_and_remount();
    check_subtrees(place);
  }
}

POSIX_CASE("stress: many writers at the same names leave a sound tree") {
  const std::uint64_t seed = Random::any_seed();
  const std::uint64_t operations = number_from("PMEMFS_STRESS_OPS", kOperations);
  INFO("PMEMFS_SEED=" << seed);
  {
    std::vector<std::unique_ptr<Child>> children;
    for (std::uint64_t i = 0; i < kWorkers; ++i) {
      children.push_back(
          std::make_unique<Child>([&, i] { return scramble(place.path(), seed + i, operations); }));
    }
    for (const auto& child : children) {
      CHECK(child->wait() == Errno{});
    }
  }
  check_links(place.path());
  if (place.has_mount()) {
    const Tree before = tree_of(place.path());
    place.mount().remount();
    check_links(place.path());
    CHECK(tree_difference(before, tree_of(place.path())).empty());
  }
}

PMEMFS_CASE("stress: the kernel forgets inodes, handles and working directories stay good") {
  make_file(place / "unlinked", "still here");
  NEED_OK(sys::mkdir(place / "dir"));
  const UniqueFd unlinked = open_file(place / "unlinked", O_RDWR);
  const UniqueFd dir = open_file(place / "dir", O_RDONLY | O_DIRECTORY);
  NEED_OK(sys::unlink(place / "unlinked"));
  for (int round = 0; round < 5; ++round) {
    for (int i = 0; i < 200; ++i) {
      const std::string name = place / ("f" + std::to_string(i));
      sys::unlink(name);
      make_file(name, std::to_string(round * i));
    }
    const UniqueFd control = open_file("/proc/sys/vm/drop_caches", O_WRONLY);
    CHECK(write_all(control.get(), "2"));  // inodes and names
    for (int i = 0; i < 200; ++i) {
      REQUIRE(content_of(place / ("f" + std::to_string(i))) == std::to_string(round * i));
    }
    CHECK(pread_some(unlinked.get(), 100, 0) == "still here");
    CHECK(stat_of(unlinked.get()).st_nlink == 0);
    EXPECT_OK(::mkdirat(dir.get(), std::to_string(round).c_str(), 0755));
  }
  CHECK(names_in(place / "dir").size() == 5);
  check_links(place.path());
}

POSIX_CASE("stress: writers and readers of one file never see a torn record") {
  constexpr std::size_t kSize = 4096;
  const std::uint64_t rounds = number_from("PMEMFS_STRESS_OPS", kOperations);
  make_file(place / "file", std::string(kSize * 8, 'a'));
  std::vector<std::unique_ptr<Child>> children;
  for (int who = 0; who < 2; ++who) {
    children.push_back(std::make_unique<Child>([&, who] {
      const UniqueFd fd = open_file(place / "file", O_RDWR);
      Random random(static_cast<std::uint64_t>(who));
      for (std::uint64_t i = 0; i < rounds; ++i) {
        const std::string data(kSize, static_cast<char>('a' + random.below(26)));
        if (!pwrite_all(fd.get(), data, static_cast<off_t>(random.below(8) * kSize))) {
          return Errno{errno};
        }
      }
      return Errno{};
    }));
  }
  for (const auto& child : children) {
    CHECK(child->wait() == Errno{});
  }
  const std::string content = content_of(place / "file");
  REQUIRE(content.size() == 8 * kSize);
  for (std::size_t block = 0; block < 8; ++block) {
    CHECK((content.substr(block * kSize, kSize) == std::string(kSize, content[block * kSize])));
  }
}

}  // namespace pmemfs::test
