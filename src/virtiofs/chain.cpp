#include "virtiofs/chain.hpp"

#include <algorithm>
#include <cstring>

namespace pmemfs::virtiofs {

void Chain::clear() {
  readable.clear();
  writable.clear();
  readable_bytes = 0;
  room = 0;
  unreachable = false;
  memory.reset();
}

void Chain::gather(std::span<std::byte> into, std::size_t from) const {
  for (auto piece = readable.begin(); !into.empty(); ++piece) {
    const std::size_t skipped = std::min(piece->size(), from);
    const std::size_t n = std::min(piece->size() - skipped, into.size());
    std::memcpy(into.data(), piece->data() + skipped, n);
    into = into.subspan(n);
    from -= skipped;
  }
}

void Chain::leave(std::size_t from, std::vector<iovec>& where) const {
  where.clear();
  for (const std::span<std::byte> piece : readable) {
    const std::size_t skipped = std::min(piece.size(), from);
    from -= skipped;
    if (skipped < piece.size()) {
      where.push_back({piece.data() + skipped, piece.size() - skipped});
    }
  }
}

bool Chain::scatter(std::span<const iovec> pieces, std::size_t& written) const {
  std::size_t total = 0;
  for (const iovec& piece : pieces) {
    if (piece.iov_len > room - total) {
      return false;
    }
    total += piece.iov_len;
  }
  auto target = writable.begin();
  std::size_t at = 0;
  for (const iovec& piece : pieces) {
    std::span<const std::byte> left(static_cast<const std::byte*>(piece.iov_base), piece.iov_len);
    while (!left.empty()) {
      if (at == target->size()) {
        ++target;
        at = 0;
      }
      const std::size_t n = std::min(left.size(), target->size() - at);
      if (target->data() + at != left.data()) {  // else it was put there
        std::memcpy(target->data() + at, left.data(), n);
      }
      left = left.subspan(n);
      at += n;
    }
  }
  written = total;
  return true;
}

const char* ChainReader::read(std::uint16_t head, Chain& chain) {
  chain.head = head;
  if (const char* wrong = walk(head, chain); wrong != nullptr) {
    return wrong;
  }
  chain.unreachable = reads_end_ || writes_end_;
  if (!chain.unreachable ||
      (chain.readable_bytes >= kMessageHeader && chain.room >= kAnswerHeader)) {
    return nullptr;
  }
  return reads_end_ ? "a descriptor is outside of the guest's memory"
                    : "a descriptor to be written is outside of the guest's memory";
}

const char* ChainReader::walk(std::uint16_t head, Chain& chain) {
  std::uint16_t index = head;
  for (;;) {
    if (index >= num_) {
      return "a descriptor's index is beyond the ring";
    }
    wire::Descriptor descriptor{};
    std::memcpy(&descriptor, table_ + index * sizeof descriptor, sizeof descriptor);
    if ((descriptor.flags & wire::kIndirect) != 0) {
      return read_indirect(descriptor, chain);
    }
    if (const char* wrong = add(descriptor, chain); wrong != nullptr) {
      return wrong;
    }
    if ((descriptor.flags & wire::kNext) == 0) {
      return nullptr;
    }
    index = descriptor.next;
  }
}

const char* ChainReader::read_indirect(const wire::Descriptor& table, Chain& chain) {
  constexpr std::size_t kSize = sizeof(wire::Descriptor);
  if (!indirect_) {
    return "an indirect table was not agreed on";
  }
  if ((table.flags & (wire::kNext | wire::kDeviceWrites)) != 0) {
    return "an indirect table is followed by more, or is to be written";
  }
  const std::uint32_t count = table.len / kSize;
  if (table.len == 0 || table.len % kSize != 0 || count > num_) {
    return "an indirect table has no whole descriptors, or more than the ring";
  }
  std::uint16_t index = 0;
  for (;;) {
    if (index >= count) {
      return "a descriptor's index is beyond the indirect table";
    }
    wire::Descriptor descriptor{};
    const std::uint64_t offset = index * kSize;
    if (!memory_.read(table.address + offset, std::as_writable_bytes(std::span(&descriptor, 1)))) {
      return "an indirect table is outside of the guest's memory";
    }
    if ((descriptor.flags & wire::kIndirect) != 0) {
      return "an indirect table in an indirect table";
    }
    if (const char* wrong = add(descriptor, chain); wrong != nullptr) {
      return wrong;
    }
    if ((descriptor.flags & wire::kNext) == 0) {
      return nullptr;
    }
    index = descriptor.next;
  }
}

const char* ChainReader::add(const wire::Descriptor& descriptor, Chain& chain) {
  if (++seen_ > num_) {
    return "a chain has more descriptors than the ring";
  }
  if (descriptor.len == 0) {
    return "a descriptor of no bytes";
  }
  if ((descriptor.flags & wire::kDeviceWrites) != 0) {
    writing_ = true;
    add_writable(descriptor, chain);
    return nullptr;
  }
  if (writing_) {
    return "a descriptor to be read behind one to be written";
  }
  add_readable(descriptor, chain);
  return nullptr;
}

// What is too long for a message is counted, but not kept: a chain has few pieces.
void ChainReader::add_readable(const wire::Descriptor& descriptor, Chain& chain) {
  if (reads_end_) {
    return;
  }
  const std::uint64_t held = memory_.held(descriptor.address, descriptor.len, false);
  reads_end_ = held < descriptor.len;
  const std::uint64_t kept = std::min<std::uint64_t>(chain.readable_bytes, kMostMessage);
  memory_.pieces(descriptor.address, std::min(held, kMostMessage - kept), chain.readable);
  chain.readable_bytes += held;
}

void ChainReader::add_writable(const wire::Descriptor& descriptor, Chain& chain) {
  if (writes_end_) {
    return;
  }
  const std::uint64_t held = memory_.held(descriptor.address, descriptor.len, true);
  writes_end_ = held < descriptor.len;
  const std::size_t n = std::min<std::size_t>(held, kMostMessage - chain.room);
  chain.room += n;
  memory_.pieces(descriptor.address, n, chain.writable);
}

}  // namespace pmemfs::virtiofs
