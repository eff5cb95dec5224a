// What nobody waits for: done by a worker when no request waits, so that it runs while the client
// wakes up and not before its next request is served.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "fuse/request.hpp"
#include "pmemfs/types.hpp"

struct fuse_req;

namespace pmemfs::fuse {

class PassthroughRegistry;

// References and handles that the kernel gave back, and inodes whose registration is needed no
// longer, of one worker. Not thread-safe: its worker's alone.
//
// Until an item is done the core takes the kernel for still holding the inode or the handle, which
// is what it thought a moment before; only the space of deleted files comes back later. So what may
// need space does not overtake it (Request::may_overtake), nor does what asks for the attributes of
// an inode whose handle is to be closed; and no more than kMost items wait, and as many again that
// doing those has added (the last handle of a deleted file adds its registration).
class Afterwork {
 public:
  enum class Kind : std::uint8_t { kRegistration, kReferences, kHandle };
  struct Item {
    Kind kind = Kind::kRegistration;
    InodeNo ino;
    std::uint64_t number = 0;     // kReferences: how many; kHandle: the kernel's file handle
    fuse_req* request = nullptr;  // kHandle: to be answered
    // kRegistration: whose. Not always that of the edge whose worker it is: a guest's request may
    // be what makes a registration with the host's kernel useless.
    PassthroughRegistry* registry = nullptr;
  };
  // May add; must not throw.
  using Do = std::function<void(const Item&)>;
  static constexpr std::size_t kMost = 64;

  explicit Afterwork(Do work) : do_(std::move(work)) { items_.reserve(2 * kMost); }

  // Later, in the order of the calls; when kMost wait already, those are done first.
  void add(const Item& item);
  // The oldest item. False when there is none.
  bool do_one();
  void do_all();
  // All of it, unless `request` may be served before.
  void make_way_for(const Request& request);

 private:
  [[nodiscard]] bool closes(InodeNo ino) const;

  Do do_;
  std::vector<Item> items_;
  std::size_t next_ = 0;  // of items_, the first that is not done
  bool doing_ = false;    // an item
};

}  // namespace pmemfs::fuse
