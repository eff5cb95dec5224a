#include "tools/mount_table.hpp"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>

#include "tools/mount_options.hpp"
#include "tools/size.hpp"

namespace pmemfs::tools {
namespace {

bool is_octal(char c) {
  return c >= '0' && c <= '7';
}

// "\040" and its like stand for spaces, tabs, newlines and backslashes.
std::string unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && is_octal(text[i + 1]) && is_octal(text[i + 2]) &&
        is_octal(text[i + 3])) {
      out += static_cast<char>(((text[i + 1] - '0') << 6) | ((text[i + 2] - '0') << 3) |
                               (text[i + 3] - '0'));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::optional<dev_t> parse_device(std::string_view text) {
  const std::size_t colon = std::min(text.find(':'), text.size());
  const auto major_number = parse_number(text.substr(0, colon));
  const auto minor_number = parse_number(text.substr(std::min(colon + 1, text.size())));
  if (!major_number || !minor_number) {
    return std::nullopt;
  }
  return ::makedev(static_cast<unsigned>(*major_number), static_cast<unsigned>(*minor_number));
}

// "36 35 98:0 /root /mnt rw,noatime shared:1 - ext4 /dev/vda rw"
std::optional<MountEntry> parse_line(const std::string& line) {
  const std::size_t dash = line.find(" - ");
  if (dash == std::string::npos) {
    return std::nullopt;
  }
  std::istringstream left(line.substr(0, dash));
  std::istringstream right(line.substr(dash + 3));
  std::string parent;
  std::string device;
  std::string root;
  std::string mount_point;
  std::string source;
  MountEntry entry;
  left >> entry.id >> parent >> device >> root >> mount_point >> entry.options;
  right >> entry.type >> source >> entry.super_options;
  const auto number = parse_device(device);
  if (!left || !right || !number) {
    return std::nullopt;
  }
  entry.device = *number;
  entry.mount_point = unescape(mount_point);
  entry.source = unescape(source);
  return entry;
}

// The last of them is the topmost.
template <typename Predicate>
std::optional<MountEntry> find_last(Predicate wanted) {
  std::vector<MountEntry> table = read_mount_table();
  const auto found = std::find_if(table.rbegin(), table.rend(), wanted);
  return found == table.rend() ? std::nullopt : std::optional(std::move(*found));
}

bool lies_in(std::string_view path, std::string_view directory) {
  return path == directory ||
         (path.starts_with(directory) && path.substr(directory.size()).starts_with('/'));
}

}  // namespace

std::vector<MountEntry> parse_mount_table(std::string_view text) {
  std::vector<MountEntry> table;
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    if (auto entry = parse_line(line)) {
      table.push_back(std::move(*entry));
    }
  }
  return table;
}

std::vector<MountEntry> read_mount_table() {
  std::ifstream file("/proc/self/mountinfo");
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  return parse_mount_table(text);
}

std::optional<MountEntry> find_mount_point(const std::string& directory) {
  return find_last([&](const MountEntry& entry) { return entry.mount_point == directory; });
}

std::optional<MountEntry> find_mounted_region(const std::string& region) {
  return find_last([&](const MountEntry& entry) {
    return entry.type == kFilesystemType && entry.source == region;
  });
}

std::optional<MountEntry> find_mount_of(const std::string& path) {
  struct statx st {};
  if (::statx(AT_FDCWD, path.c_str(), AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_MNT_ID, &st) ==
      0) {
    const dev_t device = ::makedev(st.stx_dev_major, st.stx_dev_minor);
    const bool id_known = (st.stx_mask & STATX_MNT_ID) != 0;
    return find_last([&](const MountEntry& entry) {
      return entry.type == kFilesystemType &&
             (id_known ? entry.id == st.stx_mnt_id : entry.device == device);
    });
  }
  const std::string name = canonical_path(path).value_or(path);
  return find_last([&](const MountEntry& entry) {
    return entry.type == kFilesystemType && lies_in(name, entry.mount_point);
  });
}

std::optional<MountEntry> find_mount_holding(int fd) {
  struct stat st {};
  if (::fstat(fd, &st) != 0) {
    return std::nullopt;
  }
  return find_last([&](const MountEntry& entry) { return entry.device == st.st_dev; });
}

bool device_is_mounted(dev_t device) {
  return find_last([&](const MountEntry& entry) { return entry.device == device; }).has_value();
}

std::optional<std::string> canonical_path(const std::string& path) {
  const std::unique_ptr<char, decltype(&std::free)> whole(::realpath(path.c_str(), nullptr),
                                                          &std::free);
  if (whole) {
    return std::string(whole.get());
  }
  std::string text = path;
  while (text.size() > 1 && text.ends_with('/')) {
    text.pop_back();
  }
  const std::size_t slash = text.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : text.substr(0, slash + 1);
  const std::string name = slash == std::string::npos ? text : text.substr(slash + 1);
  const std::unique_ptr<char, decltype(&std::free)> parent(::realpath(folder.c_str(), nullptr),
                                                           &std::free);
  if (!parent || name.empty() || name == "." || name == "..") {
    return std::nullopt;
  }
  const std::string prefix = parent.get();
  return prefix == "/" ? prefix + name : prefix + "/" + name;
}

unsigned long flags_of(const MountEntry& entry) {
  unsigned long flags = 0;
  for (const std::string& list : {entry.options, entry.super_options}) {
    flags |= parse_mount_options(std::span(&list, 1), true).flags();
  }
  return flags;
}

}  // namespace pmemfs::tools
