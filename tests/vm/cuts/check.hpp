// A tree beside the model: is everything there that had returned, and what was under way wholly or
// not at all?
#pragma once

#include <cstdint>
#include <string>

#include "vm/cuts/model.hpp"

namespace pmemfs::vm {

enum class Verdict : std::uint8_t {
  kBefore,   // exactly what `done` operations left
  kAfter,    // the next one is wholly there, too
  kBetween,  // the next one stores data, and each word is the old or the new one
  kWrong,
};

struct Finding {
  Verdict verdict = Verdict::kWrong;
  Operation under_way;  // the next one
  std::string why;      // kWrong: a line for each difference
};

// `directory` is the worker's; that there is none is the state before the first operation.
Finding check(const std::string& directory, const Who& who, std::uint64_t done);

}  // namespace pmemfs::vm
