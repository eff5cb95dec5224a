// Names in one directory: create, rename, unlink, list.
#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>

#include "work.hpp"

namespace pmemfs::bench {
namespace {

constexpr std::uint64_t kFiles = 10'000;

base::UniqueFd open_dir(const std::string& path) {
  base::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  require(static_cast<bool>(fd), path);
  return fd;
}

base::UniqueFd make_dir(const std::string& path) {
  require(::mkdir(path.c_str(), 0755) == 0 || errno == EEXIST, path);
  return open_dir(path);
}

std::string file_name(const char* stem, std::uint64_t i) {
  return fmt::format("{}{:07}", stem, i);
}

void create(int dir, std::uint64_t i, const std::vector<char>& content) {
  const std::string name = file_name("file", i);
  const base::UniqueFd fd(
      ::openat(dir, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  require(static_cast<bool>(fd), name);
  if (!content.empty()) {
    require(
        ::write(fd.get(), content.data(), content.size()) == static_cast<ssize_t>(content.size()),
        name);
  }
}

void remove(int dir, const char* stem, std::uint64_t i) {
  const std::string name = file_name(stem, i);
  require(::unlinkat(dir, name.c_str(), 0) == 0, name);
}

void move(int dir, std::uint64_t i) {
  require(::renameat(dir, file_name("file", i).c_str(), dir, file_name("moved", i).c_str()) == 0,
          "rename");
}

}  // namespace

Figures names(const Job& job) {
  const std::uint64_t n = or_default(job.count, kFiles);
  const std::string path = job.dir + "/names";
  const base::UniqueFd dir = make_dir(path);
  const std::vector<char> nothing;
  const std::vector<char> page(kPage, 'n');
  Figures out;
  out.push_back(timed_loop("create", 0, n, [&](auto i) { create(dir.get(), i, nothing); }));
  out.push_back(timed_loop("rename", 0, n, [&](auto i) { move(dir.get(), i); }));
  out.push_back(timed_loop("unlink", 0, n, [&](auto i) { remove(dir.get(), "moved", i); }));
  out.push_back(timed_loop("create_write", 0, n, [&](auto i) { create(dir.get(), i, page); }));
  out.push_back(timed_loop("unlink_4k", 0, n, [&](auto i) { remove(dir.get(), "file", i); }));
  require(::rmdir(path.c_str()) == 0, path);
  return out;
}

// What readdir_stat reads; the caller mounts afresh between the two.
Figures fill(const Job& job) {
  const base::UniqueFd dir = make_dir(job.dir + "/filled");
  const std::vector<char> nothing;
  const auto body = [&](std::uint64_t i) {
    create(dir.get(), i, nothing);
  };
  return {timed_loop("fill", 0, or_default(job.count, kFiles), body)};
}

// As ls -l does: each entry is looked at when it has been read.
Figures readdir_stat(const Job& job) {
  const std::string path = job.dir + "/filled";
  const Stopwatch watch;
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(path.c_str()), ::closedir);
  require(dir != nullptr, path);
  std::uint64_t count = 0;
  while (const dirent* entry = ::readdir(dir.get())) {
    struct stat st {};
    require(::fstatat(::dirfd(dir.get()), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0,
            entry->d_name);
    count += S_ISREG(st.st_mode) ? 1 : 0;
  }
  const double seconds = watch.seconds();
  if (count != or_default(job.count, kFiles)) {
    throw std::runtime_error(fmt::format("{} files where {} were made", count, job.count));
  }
  return {{"readdir_stat", seconds, count}};
}

}  // namespace pmemfs::bench
