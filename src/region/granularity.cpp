#include "pmemfs/region.hpp"

namespace pmemfs {

std::string_view to_string(Granularity g) {
  switch (g) {
    case Granularity::kByte:
      return "byte";
    case Granularity::kCacheLine:
      return "cacheline";
    case Granularity::kPage:
      return "page";
    case Granularity::kNone:
      break;
  }
  return "none";
}

}  // namespace pmemfs
