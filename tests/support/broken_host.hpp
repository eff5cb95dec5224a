// Hosts that break a rule, for the controls of tests that cut the power.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "pmemfs/backing_dir.hpp"
#include "support/chooser.hpp"

namespace pmemfs::test {

inline constexpr std::uint64_t kSeeds = 80;

// Passes everything on; controls override what they break.
class Passing : public BackingDir {
 public:
  explicit Passing(BackingDir& host) : host_(host) {}
  Result<int> create(BackingName n) override { return host_.create(n); }
  Result<int> open(BackingName n) override { return host_.open(n); }
  Status unlink(BackingName n) override { return host_.unlink(n); }
  Result<HostStat> stat(BackingName n) override { return host_.stat(n); }
  Result<HostStat> stat_fd(int fd) override { return host_.stat_fd(fd); }
  Result<std::size_t> read(int fd, std::uint64_t o, void* d, std::size_t n) override {
    return host_.read(fd, o, d, n);
  }
  Result<std::size_t> write(int fd, std::uint64_t o, const void* s, std::size_t n) override {
    return host_.write(fd, o, s, n);
  }
  Result<std::size_t> copy(int f, std::uint64_t fo, int t, std::uint64_t to,
                           std::size_t n) override {
    return host_.copy(f, fo, t, to, n);
  }
  Status truncate(int fd, std::uint64_t size) override { return host_.truncate(fd, size); }
  Status allocate(int fd, int mode, std::uint64_t o, std::uint64_t l) override {
    return host_.allocate(fd, mode, o, l);
  }
  Result<std::uint64_t> seek(int fd, std::uint64_t o, int whence) override {
    return host_.seek(fd, o, whence);
  }
  Status set_times(int fd, Timestamp a, Timestamp m) override { return host_.set_times(fd, a, m); }
  Result<std::vector<HostExtent>> extents(int fd, std::size_t most) override {
    return host_.extents(fd, most);
  }
  void set_nodefrag(int fd, bool on) override { host_.set_nodefrag(fd, on); }
  Status touch(int fd, std::uint64_t o, std::uint64_t l) override { return host_.touch(fd, o, l); }
  Status sync_file(int fd) override { return host_.sync_file(fd); }
  Status sync_parent(BackingName n) override { return host_.sync_parent(n); }
  Status sync_all() override { return host_.sync_all(); }
  Status take_lease(int fd) override { return host_.take_lease(fd); }
  [[nodiscard]] bool lease_held(int fd) override { return host_.lease_held(fd); }
  void drop_lease(int fd) override { host_.drop_lease(fd); }
  Status for_each(const std::function<void(BackingName)>& ours,
                  const std::function<void(const std::string&)>& foreign) override {
    return host_.for_each(ours, foreign);
  }
  Result<HostSpace> space() override { return host_.space(); }

 private:
  BackingDir& host_;
};

class NoSync final : public Passing {
 public:
  using Passing::Passing;
  Status sync_file(int /*fd*/) override { return {}; }
  Status sync_parent(BackingName /*n*/) override { return {}; }
};

using Scenario = std::function<bool(RandomChooser&)>;

// In how many of the seeds the scenario found the promise broken.
inline int broken(const Scenario& holds) {
  int count = 0;
  for (std::uint64_t seed = 1; seed <= kSeeds; seed++) {
    RandomChooser chooser(seed);
    if (!holds(chooser)) {
      count++;
    }
  }
  return count;
}

}  // namespace pmemfs::test
