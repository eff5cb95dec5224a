// Making and removing names: every type, every errno.

#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

#include "support/mount_fixture.hpp"

namespace pmemfs::test {
namespace {

// One way to make a name, to run the same checks over all of them.
struct Maker {
  const char* what;
  int (*make)(const std::string& path);
};

int make_regular(const std::string& path) {
  const int fd = sys::open(path, O_CREAT | O_EXCL | O_RDWR);
  return fd < 0 ? -1 : ::close(fd);
}

const std::vector<Maker>& makers() {
  static const std::vector<Maker> kAll{
      {"open O_CREAT|O_EXCL", make_regular},
      {"mkdir",
       [](const std::string& p) {
         return sys::mkdir(p);
       }},
      {"symlink",
       [](const std::string& p) {
         return sys::symlink("target", p);
       }},
      {"mknod regular",
       [](const std::string& p) {
         return sys::mknod(p, S_IFREG | 0644U);
       }},
      {"mknod fifo",
       [](const std::string& p) {
         return sys::mknod(p, S_IFIFO | 0644U);
       }},
      {"mknod socket",
       [](const std::string& p) {
         return sys::mknod(p, S_IFSOCK | 0644U);
       }},
      {"mknod char",
       [](const std::string& p) {
         return sys::mknod(p, S_IFCHR | 0644U, makedev(1, 3));
       }},
      {"mknod block",
       [](const std::string& p) {
         return sys::mknod(p, S_IFBLK | 0644U, makedev(7, 0));
       }},
  };
  return kAll;
}

}  // namespace

POSIX_CASE("names: making over what exists is EEXIST, whatever it is") {
  make_file(place / "file");
  NEED_OK(sys::mkdir(place / "dir"));
  NEED_OK(sys::symlink("nowhere", place / "dangling"));
  NEED_OK(sys::mknod(place / "fifo", S_IFIFO | 0644U));
  for (const Maker& maker : makers()) {
    for (const char* name : {"file", "dir", "dangling", "fifo"}) {
      INFO(maker.what << " over " << name);
      EXPECT_ERRNO(EEXIST, maker.make(place / name));
    }
    EXPECT_ERRNO(EEXIST, maker.make(place / "."));
  }
  CHECK(names_in(place.path()) == std::vector<std::string>{"dangling", "dir", "fifo", "file"});
}

POSIX_CASE("names: making below what is missing, no directory, a loop or too long a name") {
  make_file(place / "file");
  NEED_OK(sys::symlink("loop", place / "loop"));
  const std::string too_long(256, 'n');
  for (const Maker& maker : makers()) {
    INFO(maker.what);
    EXPECT_ERRNO(ENOENT, maker.make(place / "missing/name"));
    EXPECT_ERRNO(ENOTDIR, maker.make(place / "file/name"));
    EXPECT_ERRNO(ELOOP, maker.make(place / "loop/name"));
    EXPECT_ERRNO(ENAMETOOLONG, maker.make(place / too_long));
    EXPECT_ERRNO(ENAMETOOLONG, maker.make(place / (too_long + "/name")));
    EXPECT_ERRNO(ENAMETOOLONG, maker.make(place / std::string(4096, '/')));
    EXPECT_ERRNO(ENOENT, maker.make(""));
  }
  CHECK(names_in(place.path()).size() == 2);
}

POSIX_CASE("names: making and removing in a directory of another user is EACCES") {
  NEED_OK(sys::mkdir(place / "closed", 0755));
  make_file(place / "closed/file");
  NEED_OK(sys::mkdir(place / "closed/dir"));
  NEED_OK(sys::mkdir(place / "dark", 0700));
  make_file(place / "dark/file");
  for (const char* name : {"closed/new", "dark/new"}) {
    INFO(name);
    EXPECT_ERRNO_AS(kAlice, EACCES, make_regular(place / name));
    EXPECT_ERRNO_AS(kAlice, EACCES, sys::mkdir(place / name));
    EXPECT_ERRNO_AS(kAlice, EACCES, sys::symlink("x", place / name));
    EXPECT_ERRNO_AS(kAlice, EACCES, sys::mknod(place / name, S_IFIFO | 0644U));
  }
  EXPECT_ERRNO_AS(kAlice, EACCES, sys::unlink(place / "closed/file"));
  EXPECT_ERRNO_AS(kAlice, EACCES, sys::rmdir(place / "closed/dir"));
  EXPECT_ERRNO_AS(kAlice, EACCES, sys::rename(place / "closed/file", place / "closed/new"));
  EXPECT_ERRNO_AS(kAlice, EACCES, sys::access(place / "dark/file", F_OK));
  EXPECT_ERRNO_AS(kAlice, EACCES, sys::unlink(place / "dark/file"));
  CHECK(names_in(place / "closed") == std::vector<std::string>{"dir", "file"});
}

POSIX_CASE("names: device nodes need the right, other types do not") {
  NEED_OK(sys::mkdir(place / "open"));
  NEED_OK(sys::chmod(place / "open", 0777));
  EXPECT_ERRNO_AS(kAlice, EPERM, sys::mknod(place / "open/c", S_IFCHR | 0644U, makedev(1, 3)));
  EXPECT_ERRNO_AS(kAlice, EPERM, sys::mknod(place / "open/b", S_IFBLK | 0644U, makedev(1, 3)));
  EXPECT_OK_AS(kAlice, sys::mknod(place / "open/f", S_IFIFO | 0644U));
  EXPECT_OK_AS(kAlice, sys::mknod(place / "open/s", S_IFSOCK | 0644U));
  EXPECT_OK_AS(kAlice, sys::mknod(place / "open/r", S_IFREG | 0644U));
  CHECK(stat_of(place / "open/f").st_uid == kAlice.uid);
  EXPECT_ERRNO(EPERM, sys::mknod(place / "open/d", S_IFDIR | 0755U));
  EXPECT_ERRNO(EINVAL, sys::mknod(place / "open/l", S_IFLNK | 0755U));
}

POSIX_CASE("names: each type is what stat and readdir say") {
  struct Sort {
    const char* name;
    mode_t type;
    unsigned char entry;
  };
  const std::vector<Sort> sorts{{"reg", S_IFREG, DT_REG},    {"dir", S_IFDIR, DT_DIR},
                                {"lnk", S_IFLNK, DT_LNK},    {"fifo", S_IFIFO, DT_FIFO},
                                {"sock", S_IFSOCK, DT_SOCK}, {"chr", S_IFCHR, DT_CHR},
                                {"blk", S_IFBLK, DT_BLK}};
  make_file(place / "reg");
  NEED_OK(sys::mkdir(place / "dir"));
  NEED_OK(sys::symlink("reg", place / "lnk"));
  NEED_OK(sys::mknod(place / "fifo", S_IFIFO | 0640U));
  NEED_OK(sys::mknod(place / "sock", S_IFSOCK | 0640U));
  NEED_OK(sys::mknod(place / "chr", S_IFCHR | 0640U, makedev(4095, 1048575)));
  NEED_OK(sys::mknod(place / "blk", S_IFBLK | 0640U, makedev(8, 17)));
  for (const Sort& sort : sorts) {
    INFO(sort.name);
    CHECK((stat_of(place / sort.name).st_mode & S_IFMT) == sort.type);
  }
  CHECK(stat_of(place / "chr").st_rdev == makedev(4095, 1048575));
  CHECK(stat_of(place / "blk").st_rdev == makedev(8, 17));
  CHECK(mode_of(place / "fifo") == 0640);
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::opendir(place.path().c_str()), &::closedir);
  REQUIRE(stream);
  std::size_t found = 0;
  while (const dirent* entry = ::readdir(stream.get())) {
    for (const Sort& sort : sorts) {
      if (std::string_view(entry->d_name) == sort.name) {
        ++found;
        INFO(sort.name);
        CHECK(entry->d_type == sort.entry);
        CHECK(entry->d_ino == inode_of(place / sort.name));
      }
    }
  }
  CHECK(found == sorts.size());
}

POSIX_CASE("names: a fifo, a socket and a device node work") {
  NEED_OK(sys::mknod(place / "fifo", S_IFIFO | 0644U));
  EXPECT_ERRNO(ENXIO, sys::open(place / "fifo", O_WRONLY | O_NONBLOCK));
  const UniqueFd reader = open_file(place / "fifo", O_RDONLY | O_NONBLOCK);
  const UniqueFd writer = open_file(place / "fifo", O_WRONLY | O_NONBLOCK);
  CHECK(write_all(writer.get(), "through"));
  std::string got(16, '\0');
  CHECK(::read(reader.get(), got.data(), got.size()) == 7);

  const std::string& home = place.path();
  const auto talk = [&] {
    const UniqueFd server(::socket(AF_UNIX, SOCK_STREAM, 0));
    const UniqueFd client(::socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, "socket");
    const auto* any = reinterpret_cast<const sockaddr*>(&address);
    if (sys::chdir(home) < 0 || ::bind(server.get(), any, sizeof address) < 0 ||
        ::listen(server.get(), 1) < 0 || ::connect(client.get(), any, sizeof address) < 0) {
      return Errno{errno};
    }
    return error_of(::bind(client.get(), any, sizeof address));
  };
  CHECK(in_child(talk) == Errno{EADDRINUSE});
  CHECK(S_ISSOCK(stat_of(place / "socket").st_mode));
  EXPECT_ERRNO(ENXIO, sys::open(place / "socket", O_RDWR));

  NEED_OK(sys::mknod(place / "null", S_IFCHR | 0666U, makedev(1, 3)));
  const UniqueFd null = open_file(place / "null", O_RDWR);
  CHECK(write_all(null.get(), "gone"));
  CHECK(::read(null.get(), got.data(), got.size()) == 0);
}

POSIX_CASE("names: open's own refusals") {
  make_file(place / "file", "x");
  NEED_OK(sys::mkdir(place / "dir"));
  NEED_OK(sys::symlink("file", place / "link"));
  NEED_OK(sys::symlink("new", place / "dangling"));
  EXPECT_ERRNO(ENOENT, sys::open(place / "missing", O_RDONLY));
  EXPECT_ERRNO(ENOTDIR, sys::open(place / "file", O_RDONLY | O_DIRECTORY));
  EXPECT_ERRNO(ENOTDIR, sys::open(place / "file/", O_RDONLY));
  EXPECT_ERRNO(ELOOP, sys::open(place / "link", O_RDONLY | O_NOFOLLOW));
  EXPECT_ERRNO(EISDIR, sys::open(place / "dir", O_WRONLY));
  EXPECT_ERRNO(EISDIR, sys::open(place / "dir", O_RDWR));
  EXPECT_ERRNO(EISDIR, sys::open(place / "dir", O_RDONLY | O_CREAT));
  EXPECT_ERRNO(EISDIR, sys::open(place / "dir", O_RDONLY | O_TRUNC));
  EXPECT_ERRNO(EEXIST, sys::open(place / "dangling", O_RDWR | O_CREAT | O_EXCL));
  CHECK_FALSE(exists(place / "new"));
  EXPECT_OK(UniqueFd(sys::open(place / "dangling", O_RDWR | O_CREAT)).get());
  CHECK(S_ISREG(stat_of(place / "new").st_mode));
  const UniqueFd by_path = open_file(place / "link", O_PATH | O_NOFOLLOW);
  CHECK(S_ISLNK(stat_of(by_path.get()).st_mode));
}

POSIX_CASE("names: unlink and rmdir refuse what is not theirs") {
  make_file(place / "file");
  NEED_OK(sys::mkdir(place / "full"));
  NEED_OK(sys::mkdir(place / "full/inner"));
  NEED_OK(sys::symlink("full", place / "link"));
  EXPECT_ERRNO(EISDIR, sys::unlink(place / "full"));
  EXPECT_ERRNO(ENOTDIR, sys::unlink(place / "file/"));
  EXPECT_ERRNO(ENOENT, sys::unlink(place / "missing"));
  EXPECT_ERRNO(ENOTDIR, sys::rmdir(place / "file"));
  EXPECT_ERRNO(ENOTDIR, sys::rmdir(place / "link"));
  EXPECT_ERRNO(ENOENT, sys::rmdir(place / "missing"));
  EXPECT_ERRNO(ENOTEMPTY, sys::rmdir(place / "full"));
  EXPECT_ERRNO(EINVAL, sys::rmdir(place / "full/inner/."));
  EXPECT_ERRNO(ENOTEMPTY, sys::rmdir(place / "full/inner/.."));
  EXPECT_ERRNO(ENAMETOOLONG, sys::unlink(place / std::string(256, 'x')));
  EXPECT_ERRNO(ENAMETOOLONG, sys::rmdir(place / std::string(256, 'x')));
  EXPECT_OK(sys::unlink(place / "link"));
  EXPECT_OK(sys::rmdir(place / "full/inner"));
  EXPECT_OK(sys::rmdir(place / "full/"));
  EXPECT_ERRNO(ENOENT, sys::rmdir(place / "full"));
}

POSIX_CASE("names: a mount point cannot be removed or renamed") {
  NEED_OK(sys::mkdir(place / "point"));
  NEED_OK(::mount("none", (place / "point").c_str(), "tmpfs", 0, "size=64k"));
  EXPECT_ERRNO(EBUSY, sys::rmdir(place / "point"));
  EXPECT_ERRNO(EBUSY, sys::rename(place / "point", place / "other"));
  NEED_OK(sys::mkdir(place / "empty"));
  EXPECT_ERRNO(EBUSY, sys::rename(place / "empty", place / "point"));
  NEED_OK(::umount((place / "point").c_str()));
  EXPECT_OK(sys::rmdir(place / "point"));
}

PMEMFS_CASE("names: the root of the mount is busy") {
  const std::string& root = place.mount().root();
  EXPECT_ERRNO(EBUSY, sys::rmdir(root));
  EXPECT_ERRNO(EBUSY, sys::rename(root, root + "2"));
  CHECK(inode_of(root) == 1);
}

POSIX_CASE("names: symlinks keep their target byte for byte") {
  std::string longest(4095, 't');
  for (std::size_t i = 100; i < longest.size(); i += 100) {
    longest[i] = '/';
  }
  for (const std::string& target :
       {std::string("a"), std::string("/abs/../x"), std::string("\xff\x01 odd\n"),
        std::string(59, 's'), std::string(60, 's'), std::string(61, 's'), longest}) {
    INFO("length " << target.size());
    const std::string link = place / ("l" + std::to_string(target.size()));
    NEED_OK(sys::symlink(target, link));
    std::string found;
    EXPECT_OK(sys::readlink(link, found));
    CHECK((found == target));
    CHECK(stat_of(link).st_size == static_cast<off_t>(target.size()));
    CHECK(mode_of(link) == 0777);
  }
  EXPECT_ERRNO(ENAMETOOLONG, sys::symlink(longest + "t", place / "longer"));
  EXPECT_ERRNO(ENOENT, sys::symlink("", place / "empty"));
  make_file(place / "file");
  std::string found;
  EXPECT_ERRNO(EINVAL, sys::readlink(place / "file", found));
  EXPECT_ERRNO(ENOENT, sys::readlink(place / "missing", found));
}

POSIX_CASE("names: forty symlinks are followed, one more is ELOOP") {
  make_file(place / "s0", "reached");
  for (int i = 1; i <= 41; ++i) {
    NEED_OK(sys::symlink("s" + std::to_string(i - 1), place / ("s" + std::to_string(i))));
  }
  CHECK(content_of(place / "s40") == "reached");
  EXPECT_ERRNO(ELOOP, sys::open(place / "s41", O_RDONLY));
}

}  // namespace pmemfs::test
