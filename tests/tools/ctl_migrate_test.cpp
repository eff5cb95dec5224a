// pmemfsctl migrate between two live mounts of different kinds.
#include <sys/mman.h>

#include <nlohmann/json.hpp>

#include "harness/catch.hpp"
#include "pmemfs/durable.h"
#include "program_output.hpp"
#include "support/acl_text.hpp"
#include "support/mount_fixture.hpp"

using namespace pmemfs::test;
using Json = nlohmann::json;

namespace {

constexpr const char* kAcl = "u::rw- u:2001:r-- g::r-- m::rw- o::---";

struct Pair {
  Mount from;
  Mount to;
  explicit Pair(Kind kind)
      : from(MountSpec{kind}),
        to(MountSpec{kind == Kind::kFile ? Kind::kDirectory : Kind::kFile}) {}
};

template <typename Body>
void in_both_directions(const Body& body) {
  need_mounting();
  for (const Kind kind : {Kind::kDirectory, Kind::kFile}) {
    INFO("from a region of kind " << name_of(kind));
    Pair pair(kind);
    body(pair.from, pair.to);
  }
}

Json migrate(const std::string& path, const std::string& to) {
  const ProgramResult result =
      run_program({program("pmemfsctl"), "migrate", "--json", "--to=" + to, path});
  INFO(result.output);
  REQUIRE(result.status == 0);
  return Json::parse(result.output);
}

std::string reason_of(const Json& report, const std::string& path) {
  for (const Json& file : report["left"]) {
    if (file["path"] == path) {
      return file["reason"];
    }
  }
  return "not left";
}

void make_tree(const Mount& mount) {
  NEED_OK(sys::mkdir(mount / "tree"));
  NEED_OK(sys::mkdir(mount / "tree/sub"));
  NEED_OK(sys::mkdir(mount / "tree/empty"));
  make_file(mount / "tree/plain", pattern(300'000, 1), 0640);
  NEED_OK(sys::setxattr(mount / "tree/plain", "user.note", "kept"));
  NEED_OK(sys::setxattr(mount / "tree/plain", kAccessAcl, acl(kAcl)));
  make_file(mount / "tree/setuid", "x");
  NEED_OK(sys::lchown(mount / "tree/setuid", 2001, 2002));
  NEED_OK(sys::chmod(mount / "tree/setuid", 04755));
  {
    const UniqueFd sparse = open_file(mount / "tree/sub/sparse", O_RDWR | O_CREAT);
    NEED_OK(::ftruncate(sparse.get(), 8 << 20));
    REQUIRE(::pwrite(sparse.get(), "end", 3, (8 << 20) - 3) == 3);
  }
  make_file(mount / "tree/sub/linked", "two names");
  NEED_OK(sys::link(mount / "tree/sub/linked", mount / "tree/linked too"));
  NEED_OK(sys::symlink("sub/sparse", mount / "tree/link"));
  NEED_OK(sys::mknod(mount / "tree/fifo", S_IFIFO | 0600));
  NEED_OK(sys::chmod(mount / "tree/fifo", 0620));
  const timespec times[2] = {{1'000'000'000, 5}, {1'100'000'000, 7}};
  for (const char* name : {"tree/plain", "tree/link", "tree/sub"}) {
    NEED_OK(::utimensat(AT_FDCWD, (mount / name).c_str(), times, AT_SYMLINK_NOFOLLOW));
  }
}

void check_tree(const Mount& mount) {
  CHECK(content_of(mount / "tree/plain") == pattern(300'000, 1));
  CHECK(mode_of(mount / "tree/plain") == 0660);  // the mask of the ACL
  CHECK(xattr_of(mount / "tree/plain", "user.note") == "kept");
  CHECK(decode_acl(xattr_of(mount / "tree/plain", kAccessAcl)) == kAcl);
  CHECK(mode_of(mount / "tree/setuid") == 04755);
  CHECK(stat_of(mount / "tree/setuid").st_uid == 2001);
  CHECK(stat_of(mount / "tree/setuid").st_gid == 2002);
  CHECK(stat_of(mount / "tree/sub/sparse").st_size == 8 << 20);
  CHECK(stat_of(mount / "tree/sub/sparse").st_blocks <= 4096);
  CHECK(inode_of(mount / "tree/sub/linked") == inode_of(mount / "tree/linked too"));
  CHECK(content_of(mount / "tree/linked too") == "two names");
  std::string target;
  CHECK(sys::readlink(mount / "tree/link", target) > 0);
  CHECK(target == "sub/sparse");
  CHECK(S_ISFIFO(stat_of(mount / "tree/fifo").st_mode));
  CHECK(mode_of(mount / "tree/fifo") == 0620);
  CHECK(exists(mount / "tree/empty"));
  for (const char* name : {"tree/plain", "tree/link", "tree/sub"}) {
    INFO(name);
    CHECK(stat_of(mount / name).st_mtim.tv_sec == 1'100'000'000);
    CHECK(stat_of(mount / name).st_mtim.tv_nsec == 7);
  }
}

}  // namespace

TEST_CASE("migrate: a tree with all that files are and have") {
  in_both_directions([](Mount& from, Mount& to) {
    make_tree(from);
    CHECK(exists(from / "tree/sub/sparse"));  // the kernel knows the name
    const Json report = migrate(from / "tree", to.root());
    INFO(report.dump(2));
    CHECK(report["left"].empty());
    CHECK(report["files_moved"] == 6);
    check_tree(to);
    CHECK_FALSE(exists(from / "tree"));
    CHECK_FALSE(exists(from / "tree/sub/sparse"));
    from.remount();
    CHECK(names_in(from.root()).empty());
    to.kill_and_remount();
    check_tree(to);
  });
}

TEST_CASE("migrate: durable and open files stay, with sizes and paths, and all else goes") {
  in_both_directions([](Mount& from, Mount& to) {
    NEED_OK(sys::mkdir(from / "dir"));
    make_file(from / "dir/durable", pattern(8192, 1));
    NEED_OK(sys::setxattr(from / "dir/durable", PMEMFS_XATTR_DURABLE, "1"));
    make_file(from / "open", "is read");
    make_file(from / "dir/goes", "x");
    make_file(from / "outside", "two names");
    NEED_OK(sys::link(from / "outside", from / "dir/inside"));
    const UniqueFd reader = open_file(from / "open", O_RDONLY);
    Json report = migrate(from / "dir", to.root());
    CHECK(reason_of(report, from / "dir/durable") == "durable");
    CHECK(reason_of(report, from / "dir/inside") == "has other names, too");
    CHECK(report["left"].size() == 2);
    CHECK(report["left"][0]["bytes"] == 8192);
    report = migrate(from.root(), to.root());
    CHECK(reason_of(report, from / "dir/durable") == "durable");
    CHECK(reason_of(report, from / "open") == "in use");
    CHECK(report["left"].size() == 2);
    CHECK(names_in(from.root()) == std::vector<std::string>{"dir", "open"});
    CHECK(names_in(from / "dir") == std::vector<std::string>{"durable"});
    CHECK(content_of(from / "dir/durable") == pattern(8192, 1));
    CHECK(names_in(to / "dir") == std::vector<std::string>{"goes", "inside"});
    CHECK(inode_of(to / "dir/inside") == inode_of(to / "outside"));
  });
}

TEST_CASE("migrate: a file that is mapped and not open any more stays") {
  need_mounting();
  const Mount from(MountSpec{Kind::kDirectory});
  const Mount to(MountSpec{Kind::kFile});
  make_file(from / "mapped", pattern(4096, 1));
  void* at = nullptr;
  {
    const UniqueFd file = open_file(from / "mapped", O_RDWR);
    at = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  }
  REQUIRE(at != MAP_FAILED);
  CHECK(reason_of(migrate(from / "mapped", to.root()), from / "mapped") == "in use");
  static_cast<char*>(at)[0] = 'A';
  NEED_OK(::munmap(at, 4096));
  CHECK(migrate(from / "mapped", to.root())["left"].empty());
  CHECK(content_of(to / "mapped").front() == 'A');
}

TEST_CASE("migrate: ended between copy and removal it goes on, and what is there is not replaced") {
  in_both_directions([](Mount& from, Mount& to) {
    make_file(from / "copied", pattern(100'000, 1));
    make_file(from / "other", "mine");
    // What an earlier run left.
    REQUIRE(run_program({"cp", "-a", from / "copied", to / "copied"}).status == 0);
    make_file(to / "other", "not mine");
    const Json report = migrate(from.root(), to.root());
    CHECK(reason_of(report, from / "other") == "exists at the new place");
    CHECK(report["left"].size() == 1);
    CHECK(names_in(from.root()) == std::vector<std::string>{"other"});
    CHECK(content_of(from / "other") == "mine");
    CHECK(content_of(to / "other") == "not mine");
    CHECK(content_of(to / "copied") == pattern(100'000, 1));
  });
}

TEST_CASE("migrate: no room at the new place leaves the file, and nothing there") {
  need_mounting();
  const Mount from(MountSpec{Kind::kDirectory});
  const Mount to(MountSpec{.kind = Kind::kFile, .region_size = "16M", .host_size = "20M"});
  make_file(from / "large", pattern(60U << 20U, 1));
  CHECK(reason_of(migrate(from / "large", to.root()), from / "large") == "no room elsewhere");
  CHECK(names_in(to.root()).empty());
  CHECK((content_of(from / "large") == pattern(60U << 20U, 1)));
}

TEST_CASE("what migrate refuses, with one line each") {
  need_mounting();
  const Mount from(MountSpec{Kind::kFile});
  const Mount to(MountSpec{Kind::kDirectory});
  make_file(from / "file", "x");
  const std::string ctl = program("pmemfsctl");
  check_refused({ctl, "migrate", from / "file"}, 1, "--to=DIR");
  check_refused({ctl, "migrate", "--to=" + to.root(), "/"}, 32, "not on a mounted pmemfs");
  check_refused({ctl, "migrate", "--to=/", from / "file"}, 32, "not on a mounted pmemfs");
  check_refused({ctl, "migrate", "--to=" + from.root(), from / "file"}, 32, "same region");
  check_refused({ctl, "migrate", "--to=" + to.root(), from / "missing"}, 32, "No such file");
  check_refused({ctl, "migrate", "--to=" + to.root() + "/missing", from / "file"}, 32,
                "No such file");
  CHECK(exists(from / "file"));
}
