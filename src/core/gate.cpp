#include "core/gate.hpp"

#include <chrono>
#include <thread>

namespace pmemfs::core {

namespace {

constexpr int kReleaseRetries = 200;
constexpr std::chrono::milliseconds kReleasePause{1};

// A lease on a fresh descriptor is granted only when nobody else has the file.
Status take_and_drop_lease(Context& c, const InodeRecord& inode) {
  auto opened = c.backing->open(backing_name(inode));
  if (!opened) {
    return opened.error();
  }
  const base::UniqueFd fd(*opened);
  PMEMFS_CHECK(c.backing->take_lease(fd.get()));
  const bool held = c.backing->lease_held(fd.get());
  c.backing->drop_lease(fd.get());
  return held ? Status() : Error(EBUSY);
}

}  // namespace

Status prove_unmapped(Context& c, Node& node, const InodeRecord& inode) {
  if (!c.has_backing()) {
    return node.opens == 0 ? Status() : Error(EBUSY);
  }
  node.fd.reset();
  Status proven = take_and_drop_lease(c, inode);
  if (proven.code() == ENOENT) {
    proven = {};
  }
  if (proven) {
    node.maybe_stored = false;
    node.proven = true;
  }
  return proven;
}

bool pinned(const InodeRecord& inode) {
#ifdef PMEMFS_CONTROL_NO_GATE  // a test's control: the central property test must catch it
  return false && is_durable(inode);
#else
  return is_durable(inode);
#endif
}

Status may_move(Context& c, Node& node, const InodeRecord& inode) {
  if (pinned(inode)) {
    c.relocations_refused++;
    return Error(ETXTBSY);
  }
  return c.has_backing() ? prove_unmapped(c, node, inode) : Status();
}

void wait_until_idle(Context& c, Node& node) {
  for (int i = 0; i < kReleaseRetries; i++) {
    const bool dropped = c.hooks.drop_backing(node.ino);
    std::shared_lock lock(node.lock);
    if (dropped && node.opens == 0) {
      return;
    }
    lock.unlock();
    std::this_thread::sleep_for(kReleasePause);
  }
}

bool proven_unmapped(Context& c, Node& node, const InodeRecord& inode) {
  if (node.writers != 0) {
    return false;
  }
  if (!node.maybe_stored && (node.proven || !c.store->mappings_suspected())) {
    return true;
  }
  if (node.opens != 0 || node.fd) {
    return false;
  }
  if (!take_and_drop_lease(c, inode)) {
    return false;
  }
  node.maybe_stored = false;
  node.proven = true;
  return true;
}

}  // namespace pmemfs::core
