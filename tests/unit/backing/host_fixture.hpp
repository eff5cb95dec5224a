#pragma once

#include <fcntl.h>

#include <memory>
#include <string>
#include <vector>

#include "backing/host_dir.hpp"
#include "backing/layout.hpp"
#include "base/unique_fd.hpp"
#include "harness/catch.hpp"
#include "support/temp_dir.hpp"

namespace pmemfs::test {

// A data directory of its own, laid out, below `parent` (default: the directory for temporary
// files).
struct HostFixture {
  explicit HostFixture(const std::string& parent = kTmpfs)
      : dir(parent), data_fd(::open(dir.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    REQUIRE(backing::make_layout(data_fd.get()).ok());
    reopen(false);
  }

  void reopen(bool read_only) {
    auto opened = backing::HostDir::open_at(data_fd.get(), read_only);
    REQUIRE(opened);
    host = std::move(opened).value();
  }

  base::UniqueFd create(BackingName name) const {
    const auto fd = host->create(name);
    REQUIRE(fd);
    return base::UniqueFd(*fd);
  }

  [[nodiscard]] std::string path(BackingName name) const { return dir / backing::full_name(name); }

  TempDir dir;
  base::UniqueFd data_fd;
  std::unique_ptr<backing::HostDir> host;
};

inline constexpr BackingName kName{InodeNo(0x12ab), 7};

}  // namespace pmemfs::test
