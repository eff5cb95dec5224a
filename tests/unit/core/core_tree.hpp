// Everything that a filesystem of a CoreRig shows, as text, to compare it with itself later.
#pragma once

#include <dirent.h>

#include <map>
#include <string>
#include <vector>

#include "core_rig.hpp"

namespace pmemfs::test {

using CoreTree = std::map<std::string, std::string>;  // by path

namespace detail {

inline std::string xattrs_text(Filesystem& fs, InodeNo ino) {
  std::string text;
  const auto names = fs.listxattr(kRoot, ino);
  REQUIRE(names.code() == 0);
  for (const std::string& name : *names) {
    const auto value = fs.getxattr(ino, name);
    text += " " + name + "=" +
            (value ? std::to_string(std::hash<std::string_view>{}(
                         {reinterpret_cast<const char*>(value->data()), value->size()}))
                   : "errno " + std::to_string(value.code()));
  }
  return text;
}

inline std::string content_text(CoreRig& rig, const Attributes& a) {
  const auto opened = rig.fs().open_file(a.ino, O_RDONLY, false);
  if (!opened) {
    return " errno " + std::to_string(opened.code());
  }
  std::string content(a.size, '?');
  const auto n =
      rig.fs().read(opened->handle, 0, std::as_writable_bytes(std::span(content.data(), a.size)));
  rig.fs().release(opened->handle);
  return " read " + std::to_string(n ? *n : static_cast<std::size_t>(n.code())) + " content " +
         std::to_string(std::hash<std::string>{}(content));
}

inline std::string entry_text(CoreRig& rig, const Attributes& a) {
  std::string text = "ino " + std::to_string(a.ino.value) + " mode " + std::to_string(a.mode) +
                     " links " + std::to_string(a.nlink) + " owner " + std::to_string(a.uid) +
                     " size " + std::to_string(a.size) + (a.durable ? " durable" : "");
  if (S_ISLNK(a.mode)) {
    text += " to " + *rig.fs().readlink(a.ino);
  }
  if (S_ISREG(a.mode)) {
    text += content_text(rig, a);
  }
  return text + xattrs_text(rig.fs(), a.ino);
}

inline void add_tree(CoreRig& rig, InodeNo dir, const std::string& path, CoreTree& tree) {
  std::vector<std::string> names;
  std::uint64_t cookie = 0;
  for (bool more = true; more;) {
    more = false;
    const auto take = [&](const ListedEntry& e) {
      cookie = e.next;
      if (e.type == DT_FIFO) {  // of which there may be many
        tree[path + std::string(e.name)] = "fifo " + std::to_string(e.ino.value);
      } else if (e.name != "." && e.name != "..") {
        names.emplace_back(e.name);
      }
      return more = true;
    };
    REQUIRE(rig.fs().list(dir, cookie, false, take).ok());
  }
  for (const std::string& name : names) {
    const Attributes a = rig.stat(name, dir);
    tree[path + name] = entry_text(rig, a);
    if (S_ISDIR(a.mode)) {
      add_tree(rig, a.ino, path + name + "/", tree);
    }
  }
}

}  // namespace detail

// Without times; the names of a hard-linked file are each there.
inline CoreTree tree_of(CoreRig& rig) {
  CoreTree tree;
  tree["."] = detail::entry_text(rig, *rig.fs().getattr(kRootInode));
  detail::add_tree(rig, kRootInode, "", tree);
  return tree;
}

// What differs, one line for each path; "" when nothing does.
inline std::string difference_of(const CoreTree& wanted, const CoreTree& found) {
  std::string text;
  for (const auto& [path, entry] : wanted) {
    const auto at = found.find(path);
    if (at == found.end() || at->second != entry) {
      text.append(path).append(": was ").append(entry).append("; is ").append(
          at == found.end() ? "gone" : at->second);
      text += '\n';
    }
  }
  for (const auto& [path, entry] : found) {
    if (!wanted.contains(path)) {
      text.append(path).append(": is new, ").append(entry) += '\n';
    }
  }
  return text;
}

}  // namespace pmemfs::test
