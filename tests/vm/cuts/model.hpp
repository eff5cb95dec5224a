// What a worker does between two power cuts, and what must be there afterwards. Its operations
// follow from (seed, worker, sequence number) and nothing else, so that a number says all about a
// tree: the log outside the machine needs no more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace pmemfs::vm {

inline constexpr std::size_t kCell = 64;  // bytes: content is made of cells, each by one operation

struct Who {
  std::uint64_t seed = 0;
  std::uint64_t worker = 0;
};

enum class Action : std::uint8_t {
  kCreate,
  kMkdir,
  kSymlink,
  kLink,
  kUnlink,
  kRmdir,
  kRename,
  kExchange,
  kWrite,     // pwrite, also past the end
  kTruncate,  // either way; of a durable file it only grows
  kStore,     // through a shared mapping of a durable file, flushed
  kSetDurable,
  kClearDurable,
  kChmod,
  kSetXattr,
  kRemoveXattr,
};
const char* name_of(Action action);

struct Operation {
  std::uint64_t sequence = 0;  // 1, 2, …
  Action action{};
  std::string path;  // below the worker's folder
  std::string other;
  std::size_t first = 0;  // kWrite, kStore: the range of cells; kTruncate: the size in `count`
  std::size_t count = 0;
};

struct Node {
  enum class Type : std::uint8_t { kFile, kDirectory, kSymlink };
  Type type = Type::kFile;
  std::uint32_t mode = 0;            // permissions
  std::string target;                // of a symlink
  std::vector<std::uint64_t> cells;  // which operation wrote each; 0: zeros
  bool durable = false;
  std::uint64_t xattr = 0;  // which operation set it; 0: there is none
};

// By path; two names of a file share its node.
using State = std::map<std::string, std::shared_ptr<Node>>;

// A copy that shares nothing.
State clone(const State& state);
// The operation of this number on what all before it left: one that can be done.
Operation next_operation(const Who& who, std::uint64_t sequence, const State& state);
void apply_to_model(const Operation& operation, State& state);
// The state after this many operations.
State state_after(const Who& who, std::uint64_t count);

// The bytes of cells [first, first + count).
std::string content_of(const Who& who, const std::vector<std::uint64_t>& cells, std::size_t first,
                       std::size_t count);
std::string xattr_value(std::uint64_t sequence);

}  // namespace pmemfs::vm
