// The one gate before anything that moves a file's data or ends its promise: is it pinned, and may
// a mapping of it exist?
#pragma once

#include "core/context.hpp"

namespace pmemfs::core {

// Asks the kernel through a lease whether any open file or mapping of the backing file exists, of
// this daemon's time or before (docs/DESIGN.md, the gate). EBUSY when one may. Closes the node's
// own descriptor. Lock: exclusive. `wait_until_idle` ran before the lock was taken.
Status prove_unmapped(Context& c, Node& node, const InodeRecord& inode);

// The kernel's word that no other open file and no mapping of a backing file exists, through a
// descriptor of our own: the only one through which its data may move then.
class Lease {
 public:
  // EBUSY when somebody may have the file; ENOENT when there is none. Closes the node's own
  // descriptor. Lock: exclusive. `wait_until_idle` ran before the lock was taken.
  static Result<Lease> take(Context& c, Node& node, const InodeRecord& inode);
  Lease(Lease&&) = default;
  Lease& operator=(Lease&&) = delete;
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  ~Lease();

  [[nodiscard]] int fd() const { return fd_.get(); }
  // False from the moment on at which anybody opened the file, or asked to.
  [[nodiscard]] bool held() const;
  // For one who must open the file: it ends at once, for good. From any thread that sees it.
  void end();

 private:
  friend bool proven_unmapped(Context& c, Node& node, const InodeRecord& inode);
  Lease(BackingDir& host, base::UniqueFd fd) : host_(&host), fd_(std::move(fd)) {}
  static Result<Lease> take_beside(Context& c, const Node& node, const InodeRecord& inode);

  BackingDir* host_;
  base::UniqueFd fd_;
};

// Durable files are pinned: their data never moves. Every planner of moves asks this, too.
[[nodiscard]] bool pinned(const InodeRecord& inode);

// Virtual machines map, or may map, blocks of the file, in the books of this mount or as the kernel
// knows. Until none does its blocks are neither moved nor freed, nor is its number given to another
// file. Of host files the books alone tell here; what their blocks need the lease does. Lock:
// shared.
[[nodiscard]] bool exported(const Context& c, const InodeRecord& inode);

// Before data is moved. EBUSY when virtual machines map it; ETXTBSY, and counted, when the file is
// pinned. On the host extents have no direct mapping: what the page cache maps does not care where
// its blocks lie. A backing file moves under a Lease only. Lock: shared.
Status may_move(Context& c, const InodeRecord& inode);

// Lets the edge drop its cached registration, and waits a moment for RELEASE requests that lag
// behind close(2). No locks held.
void wait_until_idle(Context& c, Node& node);

// The same for handles of the mount whose mappings would be cached pages. Guests' kernels send
// RELEASE before close(2) returns: while one of these has the file cached, nothing is waited for.
// No locks held.
void wait_until_uncached(Node& node);

// True when no writer and no mapping can change the file unseen: its attributes may be cached long.
// Looks at what is known and, when nobody has the file open, asks the kernel. Lock: shared.
bool proven_unmapped(Context& c, Node& node, const InodeRecord& inode);

}  // namespace pmemfs::core
