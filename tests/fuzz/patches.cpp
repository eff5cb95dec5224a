#include "patches.hpp"

#include <algorithm>

namespace pmemfs::fuzz {

using test::Field;
using test::Kind;
using test::Structure;

namespace {

constexpr std::size_t kMostPatches = 12;
constexpr std::size_t kKinds = static_cast<std::size_t>(Kind::kSnapshotRun) + 1;
constexpr std::uint64_t kAll = ~std::uint64_t{0};

// Every kind as likely as the others, however many there are of it.
const Structure& pick(Input& input, const std::vector<Structure>& all) {
  const Kind wanted = static_cast<Kind>(input.below(kKinds));
  std::vector<const Structure*> found;
  for (const Structure& s : all) {
    if (s.kind == wanted) {
      found.push_back(&s);
    }
  }
  return found.empty() ? all[input.below(all.size())] : *found[input.below(found.size())];
}

}  // namespace

Patches::Patches(Input& input, const test::Sample& sample) {
  while (!input.empty() && patches_.size() < kMostPatches) {
    patches_.push_back(next(input, sample));
  }
}

Patches::Patch Patches::next(Input& input, const test::Sample& sample) {
  const Structure structure = pick(input, sample.structures);
  const auto fields = fields_of(structure.kind);
  const Field field = fields[input.below(fields.size())];
  const std::uint8_t how = input.byte();
  Patch p{structure, structure.at + field.offset, std::min<std::size_t>(field.size, 8), 0,
          0,         (how & 0x80U) == 0};
  switch (how % 8) {
    case 0:
      p.add = kAll;
      break;
    case 1:
      p.add = std::uint64_t{1} << input.below(p.size * 8);
      p.keep = kAll;
      break;
    case 2:
      p.add = kAll << input.below(p.size * 8);  // minus a power of two
      p.keep = kAll;
      break;
    case 3:  // what another structure of the sample has there
      p.add = test::load_number(
          sample.image->bytes(),
          std::min<std::uint64_t>(pick(input, sample.structures).at + field.offset,
                                  sample.image->bytes().size() - 8),
          p.size);
      break;
    case 4:  // where another structure lies
      p.add = pick(input, sample.structures).at / format::kBlockSize;
      break;
    case 5:
      p.add = input.word();
      break;
    case 6:
      p.add = input.number<std::uint64_t>();
      break;
    default:
      break;  // zero
  }
  return p;
}

void Patches::apply(std::span<std::byte> image) const {
  for (const Patch& p : patches_) {
    const std::uint64_t old = test::load_number(image, p.at, p.size);
    test::store_number(image, p.at, p.size, (old & p.keep) + p.add);
    if (p.reseal) {
      test::reseal(image, p.structure);
    }
  }
}

std::uint64_t Patches::focus() const {
  return patches_.empty() ? 1 : patches_.front().structure.owner;
}

}  // namespace pmemfs::fuzz
