#include "vm/cuts/model.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <set>
#include <utility>

namespace pmemfs::vm {
namespace {

constexpr std::array<const char*, 8> kNames = {"a", "b", "c", "d", "p/x", "p/y", "q/x", "q/y"};
constexpr std::array<const char*, 2> kDirectories = {"p", "q"};
constexpr std::size_t kMostCells = 2048;  // of a file: 128 KiB
constexpr int kTries = 100;

std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15U;
  x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27U)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31U);
}

class Dice {
 public:
  Dice(const Who& who, std::uint64_t sequence)
      : state_(mix(mix(mix(who.seed) + who.worker) + sequence)) {}
  std::size_t below(std::size_t limit) { return (state_ = mix(state_)) % limit; }
  template <typename Array>
  std::string pick(const Array& from) {
    return from[below(from.size())];
  }

 private:
  std::uint64_t state_;
};

bool can_be_made(const State& state, const std::string& path) {
  const std::size_t slash = path.find('/');
  return !state.contains(path) &&
         (slash == std::string::npos || state.contains(path.substr(0, slash)));
}

bool is_empty(const State& state, const std::string& directory) {
  const auto below = state.lower_bound(directory + "/");
  return below == state.end() || !below->first.starts_with(directory + "/");
}

const Node* file_at(const State& state, const std::string& path) {
  const auto found = state.find(path);
  return found != state.end() && found->second->type == Node::Type::kFile ? found->second.get()
                                                                          : nullptr;
}

// Chooses cells or a size; false when the file has none that fit.
bool choose_range(Dice& dice, const Node& file, Operation& op) {
  const std::size_t size = file.cells.size();
  if (op.action == Action::kTruncate) {
    op.count = file.durable ? size + dice.below(300) : dice.below(kMostCells);
    return op.count != size && op.count <= kMostCells;
  }
  const bool append = op.action == Action::kWrite && dice.below(2) == 0;
  op.first = append ? size : dice.below(size + 1);
  op.count = 1 + dice.below(dice.below(4) == 0 ? 512 : 40);
  if (op.action == Action::kStore) {
    op.count = std::min(op.count, size - op.first);
  }
  return op.count > 0 && op.first + op.count <= kMostCells;
}

bool can_rename(const State& state, const Operation& op) {
  const auto from = state.find(op.path);
  const auto to = state.find(op.other);
  if (from == state.end() || op.path == op.other ||
      (to == state.end() && !can_be_made(state, op.other))) {
    return false;
  }
  // Of two names of one file rename(2) leaves both.
  return to == state.end() || to->second != from->second;
}

bool can_rename_directory(const State& state, const Operation& op) {
  return state.contains(op.path) && op.path != op.other &&
         (!state.contains(op.other) || is_empty(state, op.other));
}

bool fits_file(Dice& dice, const Node& file, Operation& op) {
  switch (op.action) {
    case Action::kWrite:
    case Action::kTruncate:
      return choose_range(dice, file, op);
    case Action::kStore:
      return file.durable && choose_range(dice, file, op);
    case Action::kSetDurable:
      return !file.durable;
    case Action::kClearDurable:
      return file.durable && dice.below(4) == 0;
    case Action::kRemoveXattr:
      return file.xattr != 0;
    default:
      return true;
  }
}

// Whether the operation with these dice can be done.
bool choose(Dice& dice, const State& state, Operation& op) {
  // Names once, data three times as often, since it needs names.
  constexpr std::array kActions = {
      Action::kCreate,      Action::kMkdir,        Action::kSymlink, Action::kLink,
      Action::kUnlink,      Action::kRmdir,        Action::kRename,  Action::kExchange,
      Action::kWrite,       Action::kWrite,        Action::kWrite,   Action::kTruncate,
      Action::kStore,       Action::kStore,        Action::kStore,   Action::kSetDurable,
      Action::kSetDurable,  Action::kClearDurable, Action::kChmod,   Action::kSetXattr,
      Action::kRemoveXattr, Action::kCreate};
  op.action = kActions[dice.below(kActions.size())];
  op.path = dice.pick(kNames);
  op.other = dice.pick(kNames);
  switch (op.action) {
    case Action::kCreate:
    case Action::kSymlink:
      return can_be_made(state, op.path);
    case Action::kMkdir:
      op.path = dice.pick(kDirectories);
      return can_be_made(state, op.path);
    case Action::kRmdir:
      op.path = dice.pick(kDirectories);
      return state.contains(op.path) && is_empty(state, op.path);
    case Action::kLink:
      return file_at(state, op.path) != nullptr && can_be_made(state, op.other);
    case Action::kUnlink:
      return state.contains(op.path);
    case Action::kRename:
      if (dice.below(4) == 0) {
        op.path = dice.pick(kDirectories);
        op.other = dice.pick(kDirectories);
        return can_rename_directory(state, op);
      }
      return can_rename(state, op);
    case Action::kExchange:
      return state.contains(op.other) && can_rename(state, op);
    default:
      const Node* const file = file_at(state, op.path);
      return file != nullptr && fits_file(dice, *file, op);
  }
}

// What lies below moves along.
void move_name(State& state, const std::string& from, const std::string& to) {
  State moved;
  for (auto at = state.lower_bound(from); at != state.end();) {
    if (at->first == from || at->first.starts_with(from + "/")) {
      moved[to + at->first.substr(from.size())] = std::move(at->second);
      at = state.erase(at);
    } else {
      ++at;
    }
  }
  for (auto& [path, node] : moved) {
    state[path] = std::move(node);
  }
}

void change_file(const Operation& op, Node& file) {
  switch (op.action) {
    case Action::kWrite:
    case Action::kStore:
      file.cells.resize(std::max(file.cells.size(), op.first + op.count));
      std::fill_n(file.cells.begin() + static_cast<std::ptrdiff_t>(op.first), op.count,
                  op.sequence);
      break;
    case Action::kTruncate:
      file.cells.resize(op.count);
      break;
    case Action::kSetDurable:
    case Action::kClearDurable:
      file.durable = op.action == Action::kSetDurable;
      break;
    case Action::kChmod:
      file.mode = static_cast<std::uint32_t>(0600U + op.sequence % 0100U);
      break;
    case Action::kSetXattr:
    case Action::kRemoveXattr:
      file.xattr = op.action == Action::kSetXattr ? op.sequence : 0;
      break;
    default:
      break;
  }
}

std::shared_ptr<Node> made_by(const Operation& op) {
  auto node = std::make_shared<Node>();
  switch (op.action) {
    case Action::kMkdir:
      node->type = Node::Type::kDirectory;
      node->mode = 0755;
      break;
    case Action::kSymlink:
      node->type = Node::Type::kSymlink;
      node->mode = 0777;
      node->target = std::string(op.sequence % 200 + 1, 't') + std::to_string(op.sequence);
      break;
    default:
      node->mode = 0644;
      break;
  }
  return node;
}

}  // namespace

const char* name_of(Action action) {
  constexpr std::array kWords = {"create",        "mkdir",    "symlink",   "link",
                                 "unlink",        "rmdir",    "rename",    "exchange",
                                 "write",         "truncate", "store",     "set-durable",
                                 "clear-durable", "chmod",    "set-xattr", "remove-xattr"};
  return kWords[static_cast<std::size_t>(action)];
}

State clone(const State& state) {
  std::map<const Node*, std::shared_ptr<Node>> copies;
  State copy;
  for (const auto& [path, node] : state) {
    std::shared_ptr<Node>& one = copies[node.get()];
    one = one ? one : std::make_shared<Node>(*node);
    copy[path] = one;
  }
  return copy;
}

Operation next_operation(const Who& who, std::uint64_t sequence, const State& state) {
  Dice dice(who, sequence);
  for (int i = 0; i < kTries; ++i) {
    Operation op;
    op.sequence = sequence;
    if (choose(dice, state, op)) {
      return op;
    }
  }
  return {sequence, state.contains("a") ? Action::kUnlink : Action::kCreate, "a", "", 0, 0};
}

void apply_to_model(const Operation& op, State& state) {
  switch (op.action) {
    case Action::kCreate:
    case Action::kMkdir:
    case Action::kSymlink:
      state[op.path] = made_by(op);
      break;
    case Action::kLink:
      state[op.other] = state.at(op.path);
      break;
    case Action::kUnlink:
    case Action::kRmdir:
      state.erase(op.path);
      break;
    case Action::kRename:
      move_name(state, op.path, op.other);
      break;
    case Action::kExchange:
      std::swap(state.at(op.path), state.at(op.other));
      break;
    default:
      change_file(op, *state.at(op.path));
      break;
  }
}

State state_after(const Who& who, std::uint64_t count) {
  State state;
  for (std::uint64_t sequence = 1; sequence <= count; ++sequence) {
    apply_to_model(next_operation(who, sequence, state), state);
  }
  return state;
}

std::string content_of(const Who& who, const std::vector<std::uint64_t>& cells, std::size_t first,
                       std::size_t count) {
  constexpr std::size_t kWords = kCell / sizeof(std::uint64_t);
  std::string bytes(count * kCell, '\0');
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t writer = cells[first + i];
    for (std::size_t word = 0; writer != 0 && word < kWords; ++word) {
      // Never zero, so that a lost word is not taken for one that was not written.
      const std::uint64_t value =
          mix(mix(who.seed * 64 + who.worker) ^ (writer << 20U) ^ ((first + i) * kWords + word)) |
          1U;
      std::memcpy(bytes.data() + i * kCell + word * sizeof(value), &value, sizeof(value));
    }
  }
  return bytes;
}

std::string xattr_value(std::uint64_t sequence) {
  return std::string(sequence % 300, 'v') + std::to_string(sequence);
}

}  // namespace pmemfs::vm
