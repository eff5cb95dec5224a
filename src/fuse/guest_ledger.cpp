#include "fuse/guest_ledger.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>

namespace pmemfs::fuse {
namespace {

bool serves(std::uint32_t flags, HandleUse use) {
  const std::uint32_t mode = flags & O_ACCMODE;
  switch (use) {
    case HandleUse::kReading:
      return mode != O_WRONLY;
    case HandleUse::kWriting:
      return mode != O_RDONLY;
    default:
      return true;
  }
}

}  // namespace

bool GuestLedger::add(GuestNode node) {
  if (enter(node)) {
    return true;
  }
  give_back_(node.ino(), 1);
  return false;
}

bool GuestLedger::enter(GuestNode node) {
  const std::lock_guard lock(mutex_);
  auto found = entries_.find(node.id);
  if (found == entries_.end()) {
    if (entries_.size() >= limits_.nodes) {
      return false;
    }
    found = entries_.emplace(node.id, Entry{}).first;
  }
  found->second.lookups++;
  found->second.owed++;
  if (const auto other = entries_.find(node.other().id); other != entries_.end()) {
    other->second.refused = false;
  }
  return true;
}

std::uint64_t GuestLedger::settle(Entries::iterator entry) {
  Entry& e = entry->second;
  const std::uint64_t keep = e.uses != 0 ? std::max<std::uint64_t>(e.lookups, 1) : e.lookups;
  // The root is used without being owed for.
  const std::uint64_t back = e.owed > keep ? e.owed - keep : 0;
  e.owed -= back;
  if (e.owed == 0 && e.uses == 0) {
    entries_.erase(entry);
  }
  return back;
}

void GuestLedger::forget(GuestNode node, std::uint64_t count) {
  std::uint64_t back = 0;
  {
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(node.id);
    if (found == entries_.end()) {
      return;
    }
    found->second.lookups -= std::min(count, found->second.lookups);
    back = settle(found);
#ifdef PMEMFS_CONTROL_TRUSTED_FORGET  // a test's control: fuzz_guest_messages must catch it
    back = std::max(back, count);
#endif
  }
  if (back != 0) {
    give_back_(node.ino(), back);
  }
}

bool GuestLedger::hold(GuestNode node) {
  if (node.id == kRootInode.value) {
    return true;
  }
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(node.id);
  if (found == entries_.end() || found->second.lookups == 0) {
    return false;
  }
  found->second.uses++;
  return true;
}

void GuestLedger::let_go(GuestNode node) {
  if (node.id == kRootInode.value) {
    return;
  }
  std::uint64_t back = 0;
  {
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(node.id);
    found->second.uses--;
    back = settle(found);
  }
  if (back != 0) {
    give_back_(node.ino(), back);
  }
}

bool GuestLedger::first_refusal(GuestNode node) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(node.id);
  return found != entries_.end() && !std::exchange(found->second.refused, true);
}

Result<std::uint64_t> GuestLedger::add_handle(InodeNo ino, std::uint64_t fh, std::uint32_t flags) {
  {
    const std::lock_guard lock(mutex_);
    if (handles_.size() < limits_.handles) {
      const std::uint64_t number = next_handle_++;
      handles_.emplace(number, Handle{ino, fh, flags});
      return number;
    }
  }
  close_(ino, fh);
  return Error(ENFILE);
}

void GuestLedger::close_handle(InodeNo ino, std::uint64_t number) {
  if (const auto fh = take_handle(ino, number)) {
    close_(ino, *fh);
  }
}

std::optional<std::uint64_t> GuestLedger::find_handle(InodeNo ino, std::uint64_t number,
                                                      HandleUse use) const {
  const std::lock_guard lock(mutex_);
  const auto found = handles_.find(number);
  if (found == handles_.end() || found->second.ino != ino || !serves(found->second.flags, use)) {
    return std::nullopt;
  }
  return found->second.fh;
}

std::optional<std::uint64_t> GuestLedger::take_handle(InodeNo ino, std::uint64_t number) {
  const std::lock_guard lock(mutex_);
  const auto found = handles_.find(number);
  if (found == handles_.end() || found->second.ino != ino) {
    return std::nullopt;
  }
  const std::uint64_t fh = found->second.fh;
  handles_.erase(found);
  return fh;
}

void GuestLedger::clear() {
  std::unordered_map<std::uint64_t, Handle> handles;
  Entries entries;
  {
    const std::lock_guard lock(mutex_);
    handles.swap(handles_);
    entries.swap(entries_);
  }
  for (const auto& [number, handle] : handles) {
    close_(handle.ino, handle.fh);
  }
  for (const auto& [id, entry] : entries) {
    give_back_(GuestNode{id}.ino(), entry.owed);
  }
}

std::size_t GuestLedger::nodes() const {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

std::size_t GuestLedger::handles() const {
  const std::lock_guard lock(mutex_);
  return handles_.size();
}

}  // namespace pmemfs::fuse
