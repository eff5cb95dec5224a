// The errno edge: the one place where what the core returns or throws becomes an answer to the
// kernel.
//
// Every function answers the request exactly once and never throws. Those that return bool say
// whether the kernel took the answer; when it did not (the caller is gone), what the answer would
// have handed over is the edge's to give back.
//
// A request whose thread met a media error since it began is answered with EIO, whatever came out
// of it. Where something was to be handed over that counts as an answer that was not taken.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <new>
#include <span>
#include <string>
#include <vector>

#include "fuse/libfuse.hpp"
#include "fuse/view.hpp"
#include "pmemfs/filesystem.hpp"
#include "pmemfs/result.hpp"

namespace pmemfs::fuse {

namespace reply {

bool error(fuse_req_t req, int code) noexcept;  // 0: success without a value
bool status(fuse_req_t req, const Status& result) noexcept;
bool entry(fuse_req_t req, const Attributes& attributes, const View& view) noexcept;
bool missing(fuse_req_t req,
             const View& view) noexcept;  // "no such name", to be remembered by the kernel
bool attributes(fuse_req_t req, const Result<Attributes>& result, const View& view) noexcept;
bool open(fuse_req_t req, const fuse_file_info& info) noexcept;
bool create(fuse_req_t req, const Attributes& attributes, const fuse_file_info& info,
            const View& view) noexcept;
bool bytes(fuse_req_t req, std::span<const std::byte> data) noexcept;
// The two-step protocol of xattrs: a caller that gives no room wants to know the size.
bool sized(fuse_req_t req, std::span<const std::byte> data, std::size_t room) noexcept;
bool count(fuse_req_t req, const Result<std::size_t>& result) noexcept;

// Answers with EIO if a media error was met; false: not answered yet.
bool refused(fuse_req_t req) noexcept;

// Answers with the value, by `answer(value)` in the manner of the above, or with the error.
template <typename T, typename Answer>
bool value(fuse_req_t req, const Result<T>& result, Answer&& answer) noexcept {
  if (!result) {
    return error(req, result.code());
  }
  return !refused(req) && answer(*result);
}

// Logs what escaped from the core.
void report_escape(const char* what) noexcept;

}  // namespace reply

// Calls into the core: what is thrown becomes an errno. The result type is Status or a Result.
template <typename Call>
auto guarded(Call&& call) noexcept -> decltype(call()) {
  try {
    return call();
  } catch (const std::bad_alloc&) {
    return Error(ENOMEM);
  } catch (const std::exception& exception) {
    reply::report_escape(exception.what());
  } catch (...) {
    reply::report_escape("something unknown");
  }
  return Error(EIO);
}

// The same for calls that have no result.
template <typename Call>
Status guarded_call(Call&& call) noexcept {
  return guarded([&]() -> Status {
    call();
    return {};
  });
}

// Nobody wants to know how it ended.
template <typename Call>
void guarded_void(Call&& call) noexcept {
  static_cast<void>(guarded_call(std::forward<Call>(call)));
}

}  // namespace pmemfs::fuse
