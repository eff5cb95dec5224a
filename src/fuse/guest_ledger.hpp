// What one guest holds: references to nodes, as the answers gave them out, and open files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "pmemfs/result.hpp"
#include "pmemfs/types.hpp"

namespace pmemfs::fuse {

// A guest's name of an inode. While the guest maps files directly, a durable file has another node
// than the same inode has when it is not durable: a guest's kernel decides once, when it meets a
// node, whether it is mapped directly. See GuestSession.
struct GuestNode {
  static constexpr std::uint64_t kDirect = std::uint64_t{1} << 62U;

  std::uint64_t id = 0;

  [[nodiscard]] InodeNo ino() const { return InodeNo(id & ~kDirect); }
  [[nodiscard]] bool direct() const { return (id & kDirect) != 0; }
  [[nodiscard]] GuestNode other() const { return {id ^ kDirect}; }
  bool operator==(const GuestNode&) const = default;
};

// What a handle is used for.
enum class HandleUse : std::uint8_t { kAny, kReading, kWriting };

// A guest can use what it holds and nothing else, and give back no more than that, whatever it
// sends: the core counts one sum for all. The root is always held. Thread-safe; `give_back` and
// `close` are called without the lock.
class GuestLedger {
 public:
  struct Limits {
    std::size_t nodes = 0;
    std::size_t handles = 0;
  };
  using GiveBack = std::function<void(InodeNo ino, std::uint64_t count)>;
  using Close = std::function<void(InodeNo ino, std::uint64_t fh)>;

  GuestLedger(Limits limits, GiveBack give_back, Close close)
      : limits_(limits), give_back_(std::move(give_back)), close_(std::move(close)) {}

  // One more reference, which the core has counted; the ledger's from now on. False: too many
  // nodes, it was given back.
  [[nodiscard]] bool add(GuestNode node);
  // The guest gives references back; those that it does not hold do not count.
  void forget(GuestNode node, std::uint64_t count);

  // A request under way keeps the core's reference, whatever is forgotten meanwhile: else it could
  // meet another file under the number. False: not held.
  [[nodiscard]] bool hold(GuestNode node);
  void let_go(GuestNode node);

  // True the first time since the other node of the inode was last given out: see GuestSession.
  [[nodiscard]] bool first_refusal(GuestNode node);

  // `fh`: the edge's, opened with `flags` as open(2). The number is the guest's alone. ENFILE: too
  // many, it was closed.
  [[nodiscard]] Result<std::uint64_t> add_handle(InodeNo ino, std::uint64_t fh,
                                                 std::uint32_t flags);
  // Nothing when it was not opened for that, either.
  [[nodiscard]] std::optional<std::uint64_t> find_handle(InodeNo ino, std::uint64_t number,
                                                         HandleUse use) const;
  [[nodiscard]] std::optional<std::uint64_t> take_handle(InodeNo ino, std::uint64_t number);

  void close_handle(InodeNo ino, std::uint64_t number);

  // Closes and gives back everything. No request may be under way.
  void clear();

  [[nodiscard]] std::size_t nodes() const;
  [[nodiscard]] std::size_t handles() const;

 private:
  struct Entry {
    std::uint64_t lookups = 0;  // the guest's
    std::uint64_t owed = 0;     // to the core; not less than lookups, and not 0 while in use
    std::uint32_t uses = 0;     // requests under way
    bool refused = false;
  };
  struct Handle {
    InodeNo ino;
    std::uint64_t fh = 0;
    std::uint32_t flags = 0;
  };
  using Entries = std::unordered_map<std::uint64_t, Entry>;

  bool enter(GuestNode node);
  std::uint64_t settle(Entries::iterator entry);  // with the lock: what the core gets back

  const Limits limits_;
  const GiveBack give_back_;
  const Close close_;
  mutable std::mutex mutex_;
  Entries entries_;
  std::unordered_map<std::uint64_t, Handle> handles_;
  std::uint64_t next_handle_ = 1;
};

}  // namespace pmemfs::fuse
