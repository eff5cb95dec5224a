#pragma once

#include <cstring>
#include <string>
#include <utility>

#include "pmemfs/result.hpp"

// How this layer tells a person why something was refused: beside the errno, one line without a
// newline that names the path, the cause and the way out. mkfs and mount print it as it is.
namespace pmemfs::region {

// Sets `why` and gives the error to return.
[[nodiscard]] inline Error because(std::string& why, int code, std::string text) {
  why = std::move(text);
  return Error(code);
}

// What the system says of `code`, an errno value: "`shown`: No such file or directory".
[[nodiscard]] inline Error because_errno(std::string& why, int code, const std::string& shown) {
  return because(why, code, shown + ": " + std::strerror(code));
}

}  // namespace pmemfs::region
