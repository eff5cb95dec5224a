#include "vm/cuts/check.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>
#include <vector>

#include "base/unique_fd.hpp"
#include "pmemfs/durable.h"

namespace pmemfs::vm {
namespace {

// What a name must be, or is.
struct Entry {
  std::string traits;   // all but the content, as text
  std::string content;  // of a file
};
using Entries = std::map<std::string, Entry>;

std::string xattr_of(const std::string& path, const char* name) {
  std::array<char, 1024> value{};
  const ssize_t n = ::lgetxattr(path.c_str(), name, value.data(), value.size());
  if (n < 0) {
    return errno == ENODATA ? "none" : std::strerror(errno);
  }
  return {value.data(), static_cast<std::size_t>(n)};
}

std::string traits_of(const struct stat& st, const std::string& target, const std::string& durable,
                      const std::string& xattr) {
  std::string text = "mode " + std::to_string(st.st_mode);
  text += S_ISDIR(st.st_mode) ? "" : ", links " + std::to_string(st.st_nlink);
  text += S_ISLNK(st.st_mode) ? ", to " + target : "";
  text += S_ISREG(st.st_mode) ? ", durable " + durable + ", xattr " + xattr : "";
  return text;
}

std::string read_file(const std::string& path) {
  const base::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string content;
  std::array<char, 65536> part{};
  ssize_t n = fd ? 0 : -1;
  while (fd && (n = ::read(fd.get(), part.data(), part.size())) > 0) {
    content.append(part.data(), static_cast<std::size_t>(n));
  }
  return n < 0 ? std::string("cannot be read: ") + std::strerror(errno) : content;
}

Entry entry_at(const std::string& path) {
  struct stat st {};
  if (::lstat(path.c_str(), &st) != 0) {
    return {std::string("cannot be looked at: ") + std::strerror(errno), ""};
  }
  if (S_ISLNK(st.st_mode)) {
    std::error_code error;
    return {traits_of(st, std::filesystem::read_symlink(path, error), "", ""), ""};
  }
  if (!S_ISREG(st.st_mode)) {
    return {traits_of(st, "", "", ""), ""};
  }
  Entry entry{traits_of(st, "", xattr_of(path, PMEMFS_XATTR_DURABLE), xattr_of(path, "user.v")),
              read_file(path)};
  if (entry.content.size() != static_cast<std::size_t>(st.st_size)) {
    entry.traits += ", size " + std::to_string(st.st_size) +
                    " and so many bytes: " + std::to_string(entry.content.size());
  }
  return entry;
}

Entries found_in(const std::string& directory) {
  Entries entries;
  std::error_code error;
  std::filesystem::recursive_directory_iterator at(directory, error);
  for (const std::filesystem::recursive_directory_iterator end; !error && at != end;
       at.increment(error)) {
    const std::string path = at->path();
    entries[path.substr(directory.size() + 1)] = entry_at(path);
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    entries["(listing)"] = {error.message(), ""};
  }
  return entries;
}

Entries expected_by(const Who& who, const State& state) {
  constexpr std::array<std::uint32_t, 3> kTypes = {S_IFREG, S_IFDIR, S_IFLNK};
  std::map<const Node*, nlink_t> links;
  for (const auto& [path, node] : state) {
    links[node.get()]++;
  }
  Entries entries;
  for (const auto& [path, node] : state) {
    struct stat st {};
    st.st_mode = kTypes[static_cast<std::size_t>(node->type)] | node->mode;
    st.st_nlink = links[node.get()];
    entries[path] = {traits_of(st, node->target, node->durable ? "1" : "none",
                               node->xattr != 0 ? xattr_value(node->xattr) : "none"),
                     content_of(who, node->cells, 0, node->cells.size())};
  }
  return entries;
}

// Where the contents part, or "".
std::string content_difference(const std::string& wanted, const std::string& found) {
  if (wanted.size() != found.size()) {
    return std::to_string(found.size()) + " bytes and not " + std::to_string(wanted.size());
  }
  const auto at = std::mismatch(wanted.begin(), wanted.end(), found.begin()).first;
  return at == wanted.end() ? ""
                            : "other bytes from " + std::to_string(at - wanted.begin()) + " on";
}

std::string difference(const Entries& wanted, const Entries& found) {
  std::string text;
  for (const auto& [path, entry] : wanted) {
    const auto at = found.find(path);
    if (at == found.end()) {
      text += path + " is not there (" + entry.traits + ")\n";
      continue;
    }
    if (at->second.traits != entry.traits) {
      text += path + " is '" + at->second.traits + "' and not '" + entry.traits + "'\n";
    }
    const std::string bytes = content_difference(entry.content, at->second.content);
    if (!bytes.empty()) {
      text.append(path).append(" has ").append(bytes).append("\n");
    }
  }
  for (const auto& [path, entry] : found) {
    text += wanted.contains(path) ? "" : path + " is there (" + entry.traits + ")\n";
  }
  return text;
}

// Whether the word at `off` is that of `of`, which may be shorter.
bool same_word(const std::string& found, const std::string& of, std::size_t off) {
  const std::size_t n = std::min(sizeof(std::uint64_t), found.size() - off);
  return off + n <= of.size() && std::memcmp(found.data() + off, of.data() + off, n) == 0;
}

// Each word is the old one, the new one, or, where there was none, zero.
bool is_between(const std::string& found, const std::string& before, const std::string& after) {
  const std::size_t most = std::max(before.size(), after.size());
  if (found.size() < std::min(before.size(), after.size()) || found.size() > most) {
    return false;
  }
  const std::string zeros(most, '\0');
  for (std::size_t off = 0; off < found.size(); off += sizeof(std::uint64_t)) {
    const bool grown = off >= before.size();
    if (!same_word(found, before, off) && !same_word(found, after, off) &&
        !(grown && same_word(found, zeros, off))) {
      return false;
    }
  }
  return true;
}

// All is as before but for the data that the operation was storing.
bool all_between(const Operation& op, const Entries& before, const Entries& after,
                 const Entries& found) {
  if (op.action != Action::kWrite && op.action != Action::kStore &&
      op.action != Action::kTruncate) {
    return false;
  }
  Entries rest = found;
  for (auto& [path, entry] : rest) {
    const auto was = before.find(path);
    if (was == before.end() ||
        !is_between(entry.content, was->second.content, after.at(path).content)) {
      return false;
    }
    entry.content = was->second.content;
  }
  return difference(before, rest).empty();
}

}  // namespace

Finding check(const std::string& directory, const Who& who, std::uint64_t done) {
  State state = state_after(who, done);
  const Entries before = expected_by(who, state);
  Finding finding;
  finding.under_way = next_operation(who, done + 1, state);
  apply_to_model(finding.under_way, state);
  const Entries after = expected_by(who, state);
  const Entries found = found_in(directory);
  finding.why = difference(before, found);
  if (finding.why.empty()) {
    finding.verdict = Verdict::kBefore;
  } else if (difference(after, found).empty()) {
    finding.verdict = Verdict::kAfter;
  } else if (all_between(finding.under_way, before, after, found)) {
    finding.verdict = Verdict::kBetween;
  }
  return finding;
}

}  // namespace pmemfs::vm
