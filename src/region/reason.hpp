#pragma once

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

}  // namespace pmemfs::region
