// A million files: what the first and the last 10 000 creations, look-ups and removals cost. Leaves
// the files: the caller throws the filesystem away.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "work.hpp"

namespace pmemfs::bench {
namespace {

constexpr std::uint64_t kAll = 1'000'000;

class Many {
 public:
  Many(const std::string& parent, std::uint64_t dirs) {
    for (std::uint64_t i = 0; i < dirs; ++i) {
      const std::string path = fmt::format("{}/many{}", parent, i);
      require(::mkdir(path.c_str(), 0755) == 0, path);
      dirs_.emplace_back(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      require(static_cast<bool>(dirs_.back()), path);
    }
  }

  void create(std::uint64_t i) const {
    const base::UniqueFd fd(
        ::openat(dir(i), name(i).c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    require(static_cast<bool>(fd), "create");
  }
  void stat(std::uint64_t i) const {
    struct stat st {};
    require(::fstatat(dir(i), name(i).c_str(), &st, 0) == 0, "stat");
  }
  void unlink(std::uint64_t i) const {
    require(::unlinkat(dir(i), name(i).c_str(), 0) == 0, "unlink");
  }

 private:
  [[nodiscard]] int dir(std::uint64_t i) const { return dirs_[i % dirs_.size()].get(); }
  static std::string name(std::uint64_t i) { return fmt::format("file{:07}", i); }

  std::vector<base::UniqueFd> dirs_;
};

// So that each stat is a look-up.
void drop_caches() {
  const base::UniqueFd fd(::open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC));
  require(static_cast<bool>(fd) && ::write(fd.get(), "2", 1) == 1, "drop_caches");
}

// Creates [from, to), stats them cold, removes them.
void edge(const Many& many, const std::string& when, std::uint64_t from, std::uint64_t to,
          Figures& out) {
  out.push_back(timed_loop("create_" + when, from, to, [&](auto i) { many.create(i); }));
  drop_caches();
  out.push_back(timed_loop("stat_" + when, from, to, [&](auto i) { many.stat(i); }));
  out.push_back(timed_loop("unlink_" + when, from, to, [&](auto i) { many.unlink(i); }));
}

Figures many_in(const Job& job, std::uint64_t dirs) {
  const std::uint64_t all = or_default(job.count, kAll);
  const std::uint64_t part = std::min<std::uint64_t>(10'000, all / 2);
  const Many many(job.dir, dirs);
  Figures out;
  edge(many, "first", 0, part, out);
  out.push_back(timed_loop("create_between", 0, all - part, [&](auto i) { many.create(i); }));
  edge(many, "last", all - part, all, out);
  return out;
}

}  // namespace

Figures many_in_one(const Job& job) {
  return many_in(job, 1);
}
Figures many_in_1000(const Job& job) {
  return many_in(job, 1000);
}

}  // namespace pmemfs::bench
