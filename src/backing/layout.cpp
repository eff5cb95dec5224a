#include "backing/layout.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <string_view>

#include "backing/host_open.hpp"
#include "backing/names.hpp"
#include "base/file_flags.hpp"

namespace pmemfs::backing {
namespace {

constexpr std::size_t kUuidText = 36;

// 8-4-4-4-12 lower-case hex digits.
std::string text_of(const format::Uuid& uuid) {
  std::string text;
  for (std::size_t i = 0; i < uuid.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) {
      text += '-';
    }
    text += directory_name(uuid[i]);
  }
  return text;
}

Result<format::Uuid> uuid_of(std::string_view text) {
  format::Uuid uuid{};
  std::size_t at = 0;
  for (std::size_t i = 0; i < uuid.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) {
      if (text.substr(at, 1) != "-") {
        return Error(EUCLEAN);
      }
      ++at;
    }
    const auto byte = parse_directory(text.substr(at, 2));
    if (!byte) {
      return Error(EUCLEAN);
    }
    uuid[i] = static_cast<std::uint8_t>(*byte);
    at += 2;
  }
  return uuid;
}

}  // namespace

Status make_layout(int data_fd) {
  (void)base::prefer_dax(data_fd);
  for (unsigned i = 0; i < kDirectories; ++i) {
    const std::string name = directory_name(i);
    if (::mkdirat(data_fd, name.c_str(), 0700) != 0 && errno != EEXIST) {
      return Error(errno);
    }
    PMEMFS_TRY(const base::UniqueFd directory,
               open_beneath(data_fd, name.c_str(), O_RDONLY | O_DIRECTORY));
    PMEMFS_CHECK(check_private_directory(directory.get()));
    (void)base::prefer_dax(directory.get());  // one that exists inherited nothing
  }
  return ::syncfs(data_fd) == 0 ? Status() : Status(Error(errno));
}

Status write_owner(int data_fd, const format::Uuid& uuid) {
  PMEMFS_TRY(const base::UniqueFd file,
             open_beneath(data_fd, kOwnerName, O_WRONLY | O_CREAT, 0600));
  PMEMFS_CHECK(check_private_file(file.get()));
  const std::string line = text_of(uuid) + "\n";
  const ssize_t n = ::pwrite(file.get(), line.data(), line.size(), 0);
  if (n != static_cast<ssize_t>(line.size())) {
    return Error(n < 0 ? errno : ENOSPC);
  }
  const bool synced =
      ::ftruncate(file.get(), n) == 0 && ::fsync(file.get()) == 0 && ::fsync(data_fd) == 0;
  return synced ? Status() : Status(Error(errno));
}

Result<format::Uuid> read_owner(int data_fd) {
  PMEMFS_TRY(const base::UniqueFd file, open_beneath(data_fd, kOwnerName, O_RDONLY));
  PMEMFS_CHECK(check_private_file(file.get()));
  std::array<char, kUuidText + 2> text{};  // one more than a whole file has
  const ssize_t n = ::pread(file.get(), text.data(), text.size(), 0);
  if (n < 0) {
    return Error(errno);
  }
  if (n != static_cast<ssize_t>(kUuidText + 1) || text[kUuidText] != '\n') {
    return Error(EUCLEAN);
  }
  return uuid_of(std::string_view(text.data(), kUuidText));
}

}  // namespace pmemfs::backing
