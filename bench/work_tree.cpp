// A source tree, with the real programs: tar -xf and rm -rf.
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "work.hpp"

namespace pmemfs::bench {
namespace {

Figure timed_program(const std::string& name, std::vector<std::string> words) {
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) {
    argv.push_back(word.data());
  }
  argv.push_back(nullptr);
  const Stopwatch watch;
  pid_t pid = 0;
  errno = ::posix_spawnp(&pid, argv[0], nullptr, nullptr, argv.data(), environ);
  require(errno == 0, words[0]);
  int status = 0;
  require(::waitpid(pid, &status, 0) == pid, words[0]);
  if (status != 0) {
    throw std::runtime_error(words[0] + " failed");
  }
  return {name, watch.seconds(), 1};
}

}  // namespace

Figures tree(const Job& job) {
  if (job.archive.empty()) {
    throw std::runtime_error("tree needs an archive");
  }
  const std::string path = job.dir + "/tree";
  require(::mkdir(path.c_str(), 0755) == 0, path);
  Figures out;
  out.push_back(timed_program("untar", {"tar", "-xf", job.archive, "-C", path}));
  out.push_back(timed_program("rm_tree", {"rm", "-rf", path}));
  return out;
}

}  // namespace pmemfs::bench
