#include "fuse/afterwork.hpp"

#include <algorithm>

namespace pmemfs::fuse {

void Afterwork::add(const Item& item) {
  // What doing an item adds waits behind the others: done here, it would do them within each other.
  if (items_.size() >= kMost && !doing_) {
    do_all();
  }
  items_.push_back(item);
}

bool Afterwork::do_one() {
  if (items_.empty()) {
    return false;
  }
  // A copy, and out of the list: doing it may add to that.
  const Item item = items_[next_];
  if (++next_ == items_.size()) {
    items_.clear();
    next_ = 0;
  }
  doing_ = true;
  do_(item);
  doing_ = false;
  return true;
}

void Afterwork::do_all() {
  while (do_one()) {
  }
}

bool Afterwork::closes(InodeNo ino) const {
  return std::any_of(
      items_.begin() + static_cast<std::ptrdiff_t>(next_), items_.end(),
      [ino](const Item& item) { return item.kind == Kind::kHandle && item.ino == ino; });
}

void Afterwork::make_way_for(const Request& request) {
  if (!request.may_overtake() || closes(request.node())) {
    do_all();
  }
}

}  // namespace pmemfs::fuse
