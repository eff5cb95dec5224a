#include "fuse/request.hpp"

#include <linux/fuse.h>

#include <cstring>
#include <span>
#include <vector>

#include "harness/catch.hpp"

namespace {

using pmemfs::fuse::Request;

template <typename T>
std::vector<std::byte> bytes_of(std::uint32_t opcode, const T& argument) {
  std::vector<std::byte> bytes(sizeof(fuse_in_header) + sizeof(T));
  fuse_in_header header{};
  header.len = static_cast<std::uint32_t>(bytes.size());
  header.opcode = opcode;
  std::memcpy(bytes.data(), &header, sizeof(header));
  std::memcpy(bytes.data() + sizeof(header), &argument, sizeof(T));
  return bytes;
}

TEST_CASE("a request tells its opcode and whether it is whole") {
  const auto bytes = bytes_of(FUSE_GETATTR, fuse_getattr_in{});
  CHECK(Request(bytes).opcode() == FUSE_GETATTR);
  CHECK(Request(bytes).complete());
  CHECK_FALSE(Request(bytes).may_take_long());
  CHECK_FALSE(Request(bytes_of(FUSE_FORGET, fuse_forget_in{})).may_take_long());
  CHECK(Request(bytes_of(FUSE_FALLOCATE, fuse_fallocate_in{})).may_take_long());
  CHECK(Request(bytes_of(FUSE_SETXATTR, fuse_setxattr_in{})).may_take_long());
}

TEST_CASE("what needs space or tells how much there is does not overtake what gives it back") {
  for (const std::uint32_t opcode : {FUSE_LOOKUP, FUSE_GETATTR, FUSE_UNLINK, FUSE_FORGET}) {
    CHECK(Request(bytes_of(opcode, fuse_getattr_in{})).may_overtake());
  }
  for (const std::uint32_t opcode :
       {FUSE_CREATE, FUSE_OPEN, FUSE_WRITE, FUSE_FALLOCATE, FUSE_MKDIR, FUSE_MKNOD, FUSE_SYMLINK,
        FUSE_LINK, FUSE_RENAME, FUSE_RENAME2, FUSE_SETATTR, FUSE_SETXATTR, FUSE_STATFS,
        FUSE_TMPFILE, FUSE_COPY_FILE_RANGE}) {
    CHECK_FALSE(Request(bytes_of(opcode, fuse_getattr_in{})).may_overtake());
  }
}

TEST_CASE("a short or overlong request is not whole and says nothing") {
  auto bytes = bytes_of(FUSE_WRITE, fuse_write_in{});
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const Request request(std::span<const std::byte>(bytes).first(size));
    CHECK_FALSE(request.complete());
    CHECK_FALSE(request.kills_suid_sgid());
    CHECK_FALSE(request.kills_sgid());
  }
  bytes.push_back(std::byte{0});
  CHECK_FALSE(Request(bytes).complete());
  CHECK_FALSE(Request().complete());
  CHECK(Request().opcode() == 0);
}

TEST_CASE("kill flags are read from the requests that carry them") {
  fuse_write_in write{};
  CHECK_FALSE(Request(bytes_of(FUSE_WRITE, write)).kills_suid_sgid());
  write.write_flags = FUSE_WRITE_KILL_SUIDGID;
  CHECK(Request(bytes_of(FUSE_WRITE, write)).kills_suid_sgid());
  CHECK_FALSE(Request(bytes_of(FUSE_READ, write)).kills_suid_sgid());

  fuse_open_in open{};
  CHECK_FALSE(Request(bytes_of(FUSE_OPEN, open)).kills_suid_sgid());
  open.open_flags = FUSE_OPEN_KILL_SUIDGID;
  CHECK(Request(bytes_of(FUSE_OPEN, open)).kills_suid_sgid());

  fuse_create_in create{};
  create.open_flags = FUSE_OPEN_KILL_SUIDGID;
  CHECK(Request(bytes_of(FUSE_CREATE, create)).kills_suid_sgid());

  fuse_setxattr_in setxattr{};
  CHECK_FALSE(Request(bytes_of(FUSE_SETXATTR, setxattr)).kills_sgid());
  setxattr.setxattr_flags = FUSE_SETXATTR_ACL_KILL_SGID;
  CHECK(Request(bytes_of(FUSE_SETXATTR, setxattr)).kills_sgid());
  CHECK_FALSE(Request(bytes_of(FUSE_SETXATTR, setxattr)).kills_suid_sgid());
}

}  // namespace
