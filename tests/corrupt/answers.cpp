#include "answers.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

namespace pmemfs::test {
namespace {

constexpr std::array kPlain{
    EPERM,   ENOENT,       EIO,       ENXIO,   EACCES,     EBUSY,   EEXIST, EXDEV,     ENODEV,
    ENOTDIR, EISDIR,       EINVAL,    EFBIG,   ETXTBSY,    ENOSPC,  EROFS,  EMLINK,    ERANGE,
    ELOOP,   ENAMETOOLONG, ENOTEMPTY, EUCLEAN, EOPNOTSUPP, ENODATA, EDQUOT, EOVERFLOW, EAGAIN};

}  // namespace

bool Answers::plain(int code, std::string_view call) {
  if (code == 0) {
    return true;
  }
  if (damage_.empty() && (code == EUCLEAN || code == EIO)) {
    damage_ = call;
  }
  if (std::find(kPlain.begin(), kPlain.end(), code) == kPlain.end()) {
    wrong(std::string(call) + " answers errno " + std::to_string(code));
  }
  return false;
}

void Answers::wrong(const std::string& what) {
  if (complaint_.empty()) {
    complaint_ = what;
  }
}

}  // namespace pmemfs::test
