// One request in a ring: a chain of descriptors, first what the device reads, then what it writes.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "virtiofs/memory.hpp"
#include "virtiofs/protocol.hpp"

namespace pmemfs::virtiofs {

// The longest message in either direction: 1 MiB of data and what comes before it. Bytes.
constexpr std::size_t kMostMessage = (std::size_t{1} << 20U) + 8192;

struct Chain {
  std::uint16_t head = 0;            // what the guest knows it by
  Spans readable;                    // in order, kMostMessage bytes at most
  Spans writable;                    // in order, kMostMessage bytes at most
  std::uint64_t readable_bytes = 0;  // all of them
  std::size_t room = 0;              // bytes in `writable`
  // Some of it lies where no memory was told. Then all of the above is what comes before the first
  // such byte, to read and to write: enough to refuse the request, which must not be served.
  bool unreachable = false;
  std::shared_ptr<const GuestMemory> memory;  // keeps them mapped

  void clear();
  // Copies the readable bytes from `from` on, as many as `into` has; `readable` has as many.
  void gather(std::span<std::byte> into, std::size_t from = 0) const;
  // Where the readable bytes from `from` on lie, all of them; `readable` has them.
  void leave(std::size_t from, std::vector<iovec>& where) const;
  // Copies the pieces into the writable bytes, one after the other; `written` is their sum. False:
  // they do not fit, and nothing is copied.
  [[nodiscard]] bool scatter(std::span<const iovec> pieces, std::size_t& written) const;
};

// What each message begins with, and each answer: bytes.
constexpr std::size_t kMessageHeader = 40;
constexpr std::size_t kAnswerHeader = 16;

// Reads the chain that begins at `head` of a table of `num` descriptors in the guest's memory, and
// follows a table of its own when it says so and `indirect` is agreed on. Each descriptor is read
// once. Null, or what is wrong with the chain: one that is unreachable is, unless the headers of
// message and answer can be reached. Thread-safe.
class ChainReader {
 public:
  ChainReader(const std::byte* table, std::uint16_t num, bool indirect, const GuestMemory& memory)
      : table_(table), num_(num), indirect_(indirect), memory_(memory) {}

  const char* read(std::uint16_t head, Chain& chain);

 private:
  const char* walk(std::uint16_t head, Chain& chain);
  const char* add(const wire::Descriptor& descriptor, Chain& chain);
  void add_readable(const wire::Descriptor& descriptor, Chain& chain);
  void add_writable(const wire::Descriptor& descriptor, Chain& chain);
  const char* read_indirect(const wire::Descriptor& table, Chain& chain);

  const std::byte* table_;
  std::uint16_t num_;
  bool indirect_;
  const GuestMemory& memory_;
  unsigned seen_ = 0;       // descriptors; more than the ring has is a loop
  bool writing_ = false;    // the first one to be written was seen
  bool reads_end_ = false;  // the first byte that cannot be reached was seen, to read
  bool writes_end_ = false;
};

}  // namespace pmemfs::virtiofs
