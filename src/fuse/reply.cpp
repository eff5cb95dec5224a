#include "fuse/reply.hpp"

#include <cerrno>

#include "base/log.hpp"
#include "base/media_faults.hpp"
#include "fuse/buffers.hpp"
#include "fuse/convert.hpp"

namespace pmemfs::fuse::reply {
namespace {

// Whatever came out of the request, zeros that no medium holds may have had a part in it.
bool met_media_error() noexcept {
  const bool met = base::media_errors_met() != this_thread().media_errors_met;
  if (met) {
    base::log::warn_once("media-error",
                         "uncorrectable memory errors in the region: what they took is answered "
                         "with EIO; pmemfsctl status counts them");
  }
  return met;
}

}  // namespace

bool refused(fuse_req_t req) noexcept {
  if (!met_media_error()) {
    return false;
  }
  fuse_reply_err(req, EIO);
  return true;
}

bool error(fuse_req_t req, int code) noexcept {
  if (met_media_error()) {
    code = EIO;
  }
  // The kernel takes ENOSYS as "never ask again" for the whole mount. Where that is meant, there is
  // no operation and libfuse says it.
  return fuse_reply_err(req, code == ENOSYS ? EOPNOTSUPP : code) == 0;
}

bool status(fuse_req_t req, const Status& result) noexcept {
  return error(req, result.code());
}

bool entry(fuse_req_t req, const Attributes& attributes, const View& view) noexcept {
  if (refused(req)) {
    return false;
  }
  const fuse_entry_param param = to_entry(attributes, view);
  return fuse_reply_entry(req, &param) == 0;
}

bool missing(fuse_req_t req, const View& view) noexcept {
  if (refused(req)) {
    return false;
  }
  const fuse_entry_param param = missing_entry(view);
  return fuse_reply_entry(req, &param) == 0;
}

bool attributes(fuse_req_t req, const Result<Attributes>& result, const View& view) noexcept {
  return value(req, result, [req, &view](const Attributes& attributes) {
    const struct stat st = to_stat(attributes, view);
    return fuse_reply_attr(req, &st, attribute_timeout(attributes, view)) == 0;
  });
}

bool open(fuse_req_t req, const fuse_file_info& info) noexcept {
  if (refused(req)) {
    return false;
  }
  return fuse_reply_open(req, &info) == 0;
}

bool create(fuse_req_t req, const Attributes& attributes, const fuse_file_info& info,
            const View& view) noexcept {
  if (refused(req)) {
    return false;
  }
  const fuse_entry_param param = to_entry(attributes, view);
  return fuse_reply_create(req, &param, &info) == 0;
}

bool bytes(fuse_req_t req, std::span<const std::byte> data) noexcept {
  if (refused(req)) {
    return false;
  }
  return fuse_reply_buf(req, reinterpret_cast<const char*>(data.data()), data.size()) == 0;
}

bool sized(fuse_req_t req, std::span<const std::byte> data, std::size_t room) noexcept {
  if (refused(req)) {
    return false;
  }
  if (room == 0) {
    return fuse_reply_xattr(req, data.size()) == 0;
  }
  return data.size() > room ? error(req, ERANGE) : bytes(req, data);
}

bool count(fuse_req_t req, const Result<std::size_t>& result) noexcept {
  return value(req, result, [req](std::size_t count) { return fuse_reply_write(req, count) == 0; });
}

void report_escape(const char* what) noexcept {
  base::log::error("an exception reached the FUSE edge: {}", what);
}

}  // namespace pmemfs::fuse::reply
