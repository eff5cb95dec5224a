// A virtual machine as a daemon sees it: a VMM at its socket, and a guest's kernel that has mounted
// what is exported there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>

#include "support/guest_messages.hpp"
#include "support/virtiofs_frontend.hpp"

namespace pmemfs::test {

// Connects, agrees on everything and sends INIT. What goes wrong throws std::runtime_error. The
// process that has it is the VMM: its window lives until this is destroyed, whatever becomes of the
// daemon. One request at a time; thread-safe.
class GuestMachine : public GuestKernel {
 public:
  static constexpr std::uint64_t kWindow = std::uint64_t{16} << 20U;

  // `window`: bytes, as the export says; 0: none is offered, or the VMM knows nothing of it.
  explicit GuestMachine(const std::string& socket, std::uint64_t window = kWindow);

  GuestReply ask(GuestRequest request) override;

  // The window from an offset on; only where something is mapped.
  [[nodiscard]] std::byte* window(std::uint64_t off = 0) const { return vmm_.window() + off; }
  void store(std::uint64_t off, std::string_view bytes) const;
  [[nodiscard]] std::string seen(std::uint64_t off, std::size_t size) const;

  // A durable file of this content, open.
  GuestFile durable_file(std::string_view name, std::string_view content);

  [[nodiscard]] const GuestReply& initialized() const { return init_; }
  [[nodiscard]] VirtiofsFrontend& vmm() { return vmm_; }

 private:
  static constexpr std::size_t kRoom = std::size_t{192} << 10U;  // of a request and its answer

  SharedMemory memory_{std::uint64_t{8} << 20U};
  VirtiofsFrontend vmm_;
  DriverRing ring_;
  std::mutex mutex_;
  GuestReply init_;
};

}  // namespace pmemfs::test
