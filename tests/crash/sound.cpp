#include "crash/sound.hpp"

#include <fmt/format.h>

#include <stdexcept>

#include "check/check.hpp"

namespace pmemfs::crash {

void require_sound(const Media& media) {
  const auto report = check::check(*media.region, media.host.get(), {});
  if (!report) {
    throw std::runtime_error(fmt::format("fsck fails: errno {}", report.code()));
  }
  if (report->clean() && report->complete) {
    return;
  }
  std::string text = "fsck finds something to repair:";
  for (const check::Finding& f : report->findings) {
    text +=
        fmt::format("\n  inode {} block {} '{}': {}", f.ino.value, f.block.value, f.path, f.what);
  }
  throw std::runtime_error(text);
}

}  // namespace pmemfs::crash
