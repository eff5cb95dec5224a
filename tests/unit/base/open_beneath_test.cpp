#include "base/open_beneath.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/catch.hpp"
#include "support/temp_dir.hpp"

using pmemfs::Result;
using pmemfs::base::open_beneath;
using pmemfs::base::UniqueFd;
using pmemfs::test::TempDir;

namespace {

UniqueFd open_folder(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  REQUIRE(fd);
  return fd;
}

}  // namespace

TEST_CASE("open_beneath makes and opens a file, with its mode, closed on exec") {
  const TempDir dir;
  const UniqueFd folder = open_folder(dir.path());
  const Result<UniqueFd> made = open_beneath(folder.get(), "f", O_RDWR | O_CREAT | O_EXCL, 0600);
  REQUIRE(made);
  struct stat st {};
  REQUIRE(::fstat(made->get(), &st) == 0);
  CHECK((st.st_mode & 07777) == 0600);
  CHECK((::fcntl(made->get(), F_GETFD) & FD_CLOEXEC) != 0);
  CHECK(open_beneath(folder.get(), "f", O_RDONLY));
  CHECK(open_beneath(folder.get(), "f", O_RDWR | O_CREAT | O_EXCL, 0600).code() == EEXIST);
  CHECK(open_beneath(folder.get(), "g", O_RDONLY).code() == ENOENT);
  CHECK(open_beneath(folder.get(), ".", O_RDONLY | O_DIRECTORY));
}

TEST_CASE("open_beneath is not led away by a symbolic link, wherever it points") {
  const TempDir dir;
  const UniqueFd folder = open_folder(dir.path());
  REQUIRE(open_beneath(folder.get(), "f", O_WRONLY | O_CREAT, 0600));
  REQUIRE(::mkdir((dir / "sub").c_str(), 0700) == 0);
  REQUIRE(::symlink("f", (dir / "to_f").c_str()) == 0);
  REQUIRE(::symlink("sub", (dir / "to_sub").c_str()) == 0);
  REQUIRE(::symlink("/", (dir / "to_root").c_str()) == 0);
  CHECK(open_beneath(folder.get(), "to_f", O_RDONLY).code() == ELOOP);
  CHECK(open_beneath(folder.get(), "to_sub/x", O_WRONLY | O_CREAT, 0600).code() == ELOOP);
  CHECK(open_beneath(folder.get(), "to_sub", O_RDONLY | O_DIRECTORY).code() == ENOTDIR);
  CHECK(open_beneath(folder.get(), "to_root", O_RDONLY).code() == ELOOP);
}

TEST_CASE("open_beneath does not leave its folder") {
  const TempDir dir;
  const UniqueFd folder = open_folder(dir.path());
  CHECK(open_beneath(folder.get(), "..", O_RDONLY | O_DIRECTORY).code() == EXDEV);
  CHECK(open_beneath(folder.get(), "/", O_RDONLY | O_DIRECTORY).code() == EXDEV);
  CHECK(open_beneath(folder.get(), "/etc/passwd", O_RDONLY).code() == EXDEV);
}

TEST_CASE("open_beneath does not enter another mount") {
  struct stat root {};
  struct stat proc {};
  if (::stat("/", &root) != 0 || ::stat("/proc", &proc) != 0 || root.st_dev == proc.st_dev) {
    PMEMFS_SKIP("needs /proc to be a mount");
  }
  CHECK(open_beneath(open_folder("/").get(), "proc", O_RDONLY | O_DIRECTORY).code() == EXDEV);
}

TEST_CASE("open_beneath does not wait for the other end of a pipe") {
  const TempDir dir;
  const UniqueFd folder = open_folder(dir.path());
  REQUIRE(::mkfifo((dir / "pipe").c_str(), 0600) == 0);
  CHECK(open_beneath(folder.get(), "pipe", O_RDONLY));
  CHECK(open_beneath(folder.get(), "pipe", O_WRONLY).code() == ENXIO);
}
