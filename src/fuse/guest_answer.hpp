// What libfuse answers, made into what a guest is to see.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <span>
#include <vector>

#include "fuse/guest_ledger.hpp"
#include "fuse/guest_message.hpp"
#include "fuse/guest_rights.hpp"
#include "fuse/guest_session.hpp"

namespace pmemfs::fuse {

// The answer to one request on its way out. Not thread-safe: its request's alone.
class GuestAnswer {
 public:
  // What was agreed upon with the guest.
  struct Terms {
    bool direct = false;  // FUSE_ATTR_DAX means something
    bool mapped = false;  // what the request is about is mapped directly, or everything is
    const GuestRights& rights;
  };

  GuestAnswer(const GuestMessage& request, const GuestOptions& options, Terms terms,
              GuestLedger& ledger)
      : request_(request), options_(options), terms_(terms), ledger_(ledger) {}

  // Translates it, marks what may be mapped directly, enters in the ledger what it carries. An
  // errno: what was entered is given back, and the guest is to be told that instead.
  [[nodiscard]] int prepare(std::span<iovec> parts);
  // The guest did not take it: what was entered is given back.
  void take_back();

 private:
  [[nodiscard]] int translate(fuse_attr& attr) const;
  [[nodiscard]] int reach(InodeNo ino, std::uint64_t size) const;
  int enter_entry(std::span<std::byte> entry);
  int enter_handle(std::span<std::byte> open, InodeNo ino, std::uint32_t flags);
  int enter_created(std::span<std::byte> both);
  static void allow_mapped_writes(std::span<std::byte> open);
  void enter_listing(std::span<std::byte> entries);
  void take_back_nodes(std::size_t first);
  void translate_acl(iovec& part);
  int pass(std::span<iovec> parts);

  const GuestMessage& request_;
  const GuestOptions& options_;
  Terms terms_;
  GuestLedger& ledger_;
  std::vector<GuestNode> nodes_;  // entered, one reference each
  InodeNo opened_;                // entered, with `handle_`
  std::uint64_t handle_ = 0;
  std::vector<std::byte> copy_;
};

}  // namespace pmemfs::fuse
