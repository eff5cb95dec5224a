#include "program_output.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/crc32c.hpp"
#include "harness/catch.hpp"
#include "support/mount_fixture.hpp"

namespace pmemfs::test {

std::string check_refused(const std::vector<std::string>& words, int exit_code,
                          const std::string& mention) {
  const ProgramResult result = run_program(words);
  // Programs that are started by others put their own name first.
  const std::string name = std::filesystem::path(words.front()).filename();
  const bool itself = name != "mount.fuse.pmemfs" && name != "unshare";
  INFO(result.output);
  CHECK(result.status == exit_code);
  CHECK(std::count(result.output.begin(), result.output.end(), '\n') == 1);
  CHECK(result.output.find(itself ? name + ": " : "pmemfs: ") != std::string::npos);
  CHECK(result.output.find(mention) != std::string::npos);
  return result.output;
}

std::uint32_t fingerprint(const std::string& path) {
  namespace fs = std::filesystem;
  std::vector<std::string> paths = {path};
  if (fs::is_directory(path)) {
    for (const auto& entry : fs::recursive_directory_iterator(path)) {
      paths.push_back(entry.path());
    }
  }
  std::sort(paths.begin(), paths.end());
  std::uint32_t crc = 0;
  for (const std::string& one : paths) {
    struct stat st {};
    ::lstat(one.c_str(), &st);
    const std::string facts = one + ":" + std::to_string(st.st_mode) + ":" +
                              std::to_string(st.st_uid) + ":" + std::to_string(st.st_size);
    crc = base::crc32c(crc, facts.data(), facts.size());
    if (S_ISREG(st.st_mode)) {
      const std::string content = read_file(one);
      crc = base::crc32c(crc, content.data(), content.size());
    }
  }
  return crc;
}

void make_region(const std::string& path, const std::vector<std::string>& more) {
  std::vector<std::string> words = {program("mkfs.pmemfs"), "--emulate", "-q"};
  words.insert(words.end(), more.begin(), more.end());
  words.push_back(path);
  const ProgramResult result = run_program(words);
  INFO(result.output);
  REQUIRE(result.status == 0);
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void write_file(const std::string& path, const std::string& content) {
  std::ofstream file(path, std::ios::binary);
  file << content;
}

}  // namespace pmemfs::test
