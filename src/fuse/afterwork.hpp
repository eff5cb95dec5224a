// What nobody waits for: done by a worker when no request waits, so that it runs while the client
// wakes up and not before its next request is served.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "fuse/request.hpp"
#include "pmemfs/types.hpp"

namespace pmemfs::fuse {

// References that the kernel gave back, and inodes whose registration is needed no longer, of one
// worker. Not thread-safe: its worker's alone.
//
// Until an item is done the core takes the kernel for still holding the inode, which is what it
// thought a moment before; only the space of deleted files comes back later. So what may need space
// does not overtake it (Request::may_overtake), and no more than kMost items wait.
class Afterwork {
 public:
  struct Item {
    InodeNo ino;
    std::uint64_t references = 0;  // 0: the registration alone
  };
  // Must not throw.
  using Do = std::function<void(const Item&)>;
  static constexpr std::size_t kMost = 64;

  explicit Afterwork(Do work) : do_(std::move(work)) { items_.reserve(kMost); }

  // Later, in the order of the calls; when kMost wait already, those are done first.
  void add(const Item& item);
  // The oldest item. False when there is none.
  bool do_one();
  void do_all();
  // All of it, unless `request` may be served before (Request::may_overtake).
  void make_way_for(const Request& request);

 private:
  Do do_;
  std::vector<Item> items_;
  std::size_t next_ = 0;  // of items_, the first that is not done
};

}  // namespace pmemfs::fuse
