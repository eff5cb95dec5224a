#include "core/gate.hpp"

#include <chrono>
#include <thread>

namespace pmemfs::core {

namespace {

constexpr int kReleaseRetries = 200;
constexpr std::chrono::milliseconds kReleasePause{1};

}  // namespace

// Lock: shared. The node's own descriptor must be closed, or it would be the one in the way.
Result<Lease> Lease::take_beside(Context& c, const Node& node, const InodeRecord& inode) {
  if (node.moving != nullptr) {
    return Error(EBUSY);
  }
  PMEMFS_TRY(const int fd, c.backing->open(backing_name(inode)));
  Lease lease(*c.backing, base::UniqueFd(fd));
  PMEMFS_CHECK(c.backing->take_lease(fd));
  return lease.held() ? Result<Lease>(std::move(lease)) : Error(EBUSY);
}

// The edge may be about to register the node's descriptor for an open handle.
Result<Lease> Lease::take(Context& c, Node& node, const InodeRecord& inode) {
  if (node.opens != 0) {
    return Error(EBUSY);
  }
  node.fd.reset();
  PMEMFS_TRY(Lease lease, take_beside(c, node, inode));
  node.maybe_stored = false;
  node.proven = true;
  return lease;
}

Lease::~Lease() {
  if (fd_) {
    end();
  }
}

bool Lease::held() const {
  return host_->lease_held(fd_.get());
}

void Lease::end() {
  host_->drop_lease(fd_.get());
}

Status prove_unmapped(Context& c, Node& node, const InodeRecord& inode) {
  if (!c.has_backing()) {
    return node.opens == 0 && !exported(c, inode) ? Status() : Error(EBUSY);
  }
  const auto lease = Lease::take(c, node, inode);
  if (lease.code() == ENOENT) {
    node.maybe_stored = false;
    node.proven = true;
    return {};
  }
  return lease ? Status() : Status(lease.error());
}

#ifdef PMEMFS_CONTROL_NO_GATE  // a test's control: the central property test must catch it
bool pinned(const InodeRecord& /*inode*/) {
  return false;
}
bool exported(const Context& /*c*/, const InodeRecord& /*inode*/) {
  return false;
}
#else
bool pinned(const InodeRecord& inode) {
  return is_durable(inode);
}

bool exported(const Context& c, const InodeRecord& inode) {
  const InodeNo ino(inode.ino.load());
  return c.exports.any(ino) ||
         (has_flag(inode, format::kInodeExported) && c.store->region().exported(ino.value));
}
#endif

Status may_move(Context& c, const InodeRecord& inode) {
  if (pinned(inode)) {
    c.relocations_refused++;
    return Error(ETXTBSY);
  }
  return exported(c, inode) ? Status(Error(EBUSY)) : Status();
}

// Until a RELEASE that may be under way has made it so, or there was none.
template <typename Condition>
static void wait_for_release(const Condition& holds) {
  for (int i = 0; i < kReleaseRetries && !holds(); i++) {
    std::this_thread::sleep_for(kReleasePause);
  }
}

void wait_until_idle(Context& c, Node& node) {
  wait_for_release([&] {
    const bool dropped = c.hooks.drop_backing(node.ino);
    const std::shared_lock lock(node.lock);
    return dropped && node.opens == 0;
  });
}

void wait_until_uncached(Node& node) {
  wait_for_release([&] {
    const std::shared_lock lock(node.lock);
    return node.cached_opens == 0 || node.guest_cached_opens != 0;
  });
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
  if (!Lease::take_beside(c, node, inode)) {
    return false;
  }
  node.maybe_stored = false;
  node.proven = true;
  return true;
}

}  // namespace pmemfs::core
