#include "crash/promise.hpp"

#include <algorithm>

namespace pmemfs::crash {
namespace {

// What the files hold is another question: these are the facts that the region alone keeps. Sizes
// and times are left out of backing files, and of those that `gradual` says.
template <typename Gradual>
Tree without_content(const Tree& tree, Placement placement, const Gradual& gradual) {
  Tree facts = tree;
  for (auto& [path, entry] : facts) {
    if (!entry.is_file()) {
      continue;
    }
    entry.content.clear();
    if (placement == Placement::kBacking || gradual(entry)) {
      entry.size = 0;
      entry.times.clear();
    }
  }
  return facts;
}

bool byte_of(const std::string& version, std::size_t i, char c) {
  return i < version.size() && version[i] == c;
}

History joined(const History& old, const std::string& content) {
  History both = old;
  both.versions.push_back(content);
  both.least = std::min<std::uint64_t>(both.least, content.size());
  return both;
}

}  // namespace

bool History::allows(const std::string& content) const {
  std::size_t shortest = SIZE_MAX;
  std::size_t longest = 0;
  for (const std::string& version : versions) {
    shortest = std::min(shortest, version.size());
    longest = std::max(longest, version.size());
  }
  if (content.size() < std::max<std::uint64_t>(shortest, least) || content.size() > longest) {
    return false;
  }
  for (std::size_t i = 0; i < content.size(); ++i) {
    const bool had = std::any_of(versions.begin(), versions.end(), [&](const std::string& version) {
      return byte_of(version, i, content[i]);
    });
    if (!had && (content[i] != 0 || i < shortest)) {
      return false;
    }
  }
  return true;
}

Tree without_host_times(Tree tree, Placement placement) {
  for (auto& [path, entry] : tree) {
    if (placement == Placement::kBacking && entry.is_file()) {
      entry.times.clear();
    }
  }
  return tree;
}

Promises::Promises(const Tree& tree) {
  for (const auto& [path, entry] : tree) {
    if (entry.is_file()) {
      settle(entry);
    }
  }
}

const History& Promises::of(const Entry& entry) const {
  static const History kNothing{{""}, false, 0};
  const auto at = files_.find(key(entry));
  return at == files_.end() ? kNothing : at->second;
}

void Promises::settle(const Entry& e) {
  files_[key(e)] = {{e.content}, true, e.durable ? e.size : 0};
}

void Promises::note_content(const Entry& e) {
  History& history = files_.try_emplace(key(e), History{{""}, false, 0}).first->second;
  if (history.versions.back() != e.content) {
    history.versions.push_back(e.content);
  }
  history.least = e.durable ? e.size : 0;
}

// A store that reached media stands in whatever else may be found.
void Promises::note_store(const Operation::Store& store, const Tree& before, const Tree& after) {
  const auto was = before.find(store.path);
  const auto is = after.find(store.path);
  if (was == before.end() || is == after.end() || !was->second.durable) {
    return;
  }
  for (std::string& version : files_.at(key(is->second)).versions) {
    const auto end =
        std::min<std::uint64_t>({store.off + store.length, version.size(), is->second.size});
    for (std::uint64_t i = store.off; i < end; ++i) {
      version[i] = is->second.content[i];
    }
  }
}

// Whoever replaces a file that was on media by rename finds the old one or all of the new one.
void Promises::note_replacement(const Tree& before, const Tree& after) {
  for (const auto& [path, is] : after) {
    const auto was = before.find(path);
    if (was != before.end() && was->second.is_file() && is.is_file() &&
        key(was->second) != key(is) && of(was->second).synced) {
      settle(is);
    }
  }
}

Promises Promises::after(const Operation& operation, const Tree& before, const Tree& after) const {
  Promises next = *this;
  const bool all = std::count(operation.syncs.begin(), operation.syncs.end(), "*") != 0;
  for (const auto& [path, entry] : after) {
    if (!entry.is_file()) {
      continue;
    }
    next.note_content(entry);
  }
  for (const Operation::Store& store : operation.stores) {
    next.note_store(store, before, after);
  }
  for (const auto& [path, entry] : after) {
    const bool named = std::count(operation.syncs.begin(), operation.syncs.end(), path) != 0 || all;
    if (entry.is_file() && named) {
      next.settle(entry);
    }
  }
  next.note_replacement(before, after);
  return next;
}

Promises Promises::after_power_cut(const Tree& found) const {
  Promises next(found);
  for (const auto& [path, entry] : found) {
    if (entry.is_file()) {
      next.files_.at(key(entry)).synced = of(entry).synced;
    }
  }
  return next;
}

namespace {

// Which content a file may have, for one set of facts that was found.
class Judge {
 public:
  Judge(const Cut& cut, bool returned) : cut_(cut), returned_(returned) {}

  std::optional<std::string> judge(const Tree& found) const {
    if (as(found, cut_.after, true)) {
      return {};
    }
    if (!returned_ && (as(found, cut_.before, false) || between(found))) {
      return {};
    }
    return (returned_ ? "returned, but what it did is not found:\n"
                      : "neither as before nor as after; compared with before:\n" +
                            differs(found, cut_.before) + " compared with after:\n") +
           differs(found, cut_.after);
  }

 private:
  [[nodiscard]] std::string differs(const Tree& found, const Tree& expected) const {
    return difference(without_host_times(found, cut_.placement),
                      without_host_times(expected, cut_.placement));
  }

  [[nodiscard]] Tree facts(const Tree& tree) const {
    return without_content(tree, cut_.placement, [](const Entry&) { return false; });
  }

  [[nodiscard]] bool as(const Tree& found, const Tree& expected, bool after) const {
    if (facts(found) != facts(expected)) {
      return false;
    }
    return every_file(found, [&](const std::string& path, const Entry& entry) {
      return cut_.placement == Placement::kExtents
                 ? extents_allow(entry, expected.at(path), path, after)
                 : host_allows(entry, after);
    });
  }

  template <typename F>
  static bool every_file(const Tree& found, F allowed) {
    return std::all_of(found.begin(), found.end(), [&](const auto& item) {
      return !item.second.is_file() || allowed(item.first, item.second);
    });
  }

  // The facts of before and after may be the same, as those of an overwritten file's are when no
  // time has passed: then all of it is one state.
  [[nodiscard]] bool told_apart() const { return facts(cut_.before) != facts(cut_.after); }

  [[nodiscard]] bool extents_allow(const Entry& entry, const Entry& expected,
                                   const std::string& path, bool after) const {
    if (entry.content == expected.content) {
      return true;
    }
    if (returned_ || (after && told_apart())) {
      return false;
    }
    History both{{cut_.before.at(path).content, content_after(entry)}, true, expected.size};
    both.versions.front().resize(expected.size);
    both.versions.back().resize(expected.size);
    return both.allows(entry.content);
  }

  // Names and flags that tell of the operation's end bring what it promises.
  [[nodiscard]] bool host_allows(const Entry& entry, bool after) const {
    return returned_ || (after && told_apart()) ? cut_.new_promises.of(entry).allows(entry.content)
                                                : under_way(entry);
  }

  // While data is on its way.
  [[nodiscard]] bool under_way(const Entry& entry) const {
    return joined(cut_.old_promises.of(entry), content_after(entry)).allows(entry.content);
  }

  [[nodiscard]] std::string content_after(const Entry& entry) const {
    for (const auto& [path, other] : cut_.after) {
      if (other.ino == entry.ino && other.generation == entry.generation) {
        return other.content;
      }
    }
    return entry.content;
  }

  // Several changes, one after the other, as a durable file grows: first to its size, with zeros.
  [[nodiscard]] bool gradual(const Entry& entry) const {
    return cut_.operation.gradual || entry.durable;
  }

  [[nodiscard]] bool between(const Tree& found) const {
    const auto facts = [&](const Tree& tree) {
      return without_content(tree, cut_.placement, [&](const Entry& e) { return gradual(e); });
    };
    if (facts(found) != facts(cut_.before)) {
      return false;
    }
    return every_file(found, [&](const std::string& path, const Entry& entry) {
      if (cut_.placement == Placement::kBacking) {
        return under_way(entry);
      }
      const std::string& before = cut_.before.at(path).content;
      const History both{{before, content_after(entry)}, true, 0};
      return gradual(entry) ? both.allows(entry.content) : entry.content == before;
    });
  }

  const Cut& cut_;
  bool returned_;
};

}  // namespace

std::optional<std::string> judge(const Tree& found, const Cut& cut, bool returned) {
  return Judge(cut, returned).judge(found);
}

}  // namespace pmemfs::crash
