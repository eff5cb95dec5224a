#pragma once

#include <cstdint>
#include <string>

#include "vm/cuts/model.hpp"

namespace pmemfs::vm {

// What makes a store durable here.
enum class Medium : std::uint8_t {
  kDirectory,  // fsync; for durable files nothing but a flush
  kExtents,    // nothing: write(2) is durable when it returns. No shared mappings of durable files.
};

// Does the operation, and returns when it must be durable; `after` is the state that it leads to.
// May be repeated after a power cut that left it half done. Throws std::system_error.
void perform(const std::string& directory, const Who& who, const Operation& operation,
             const State& after, Medium medium);

}  // namespace pmemfs::vm
