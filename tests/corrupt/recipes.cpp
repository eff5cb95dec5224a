#include "recipes.hpp"

#include <algorithm>
#include <array>
#include <map>

namespace pmemfs::test {
namespace {

constexpr std::array kSpoils{Spoil::kFlip, Spoil::kZero, Spoil::kOnes,   Spoil::kMore,
                             Spoil::kLess, Spoil::kSign, Spoil::kAnother};

const char* text(Spoil spoil) {
  constexpr std::array kTexts{"flip", "zero", "ones", "more", "less", "sign", "another"};
  return kTexts[static_cast<std::size_t>(spoil)];
}

// Arrays are spoilt in their first bytes, but filled as a whole.
void fill(std::span<std::byte> image, std::uint64_t at, const Field& field, std::byte value) {
  std::fill_n(image.begin() + static_cast<std::ptrdiff_t>(at), field.size, value);
}

// Structures with the same key are alike, but for inodes those of one owner.
std::string key_of(std::span<const std::byte> image, const Structure& s) {
  std::string key = std::to_string(static_cast<int>(s.kind)) + ":";
  if (s.kind != Kind::kInode) {
    return key + std::to_string(s.owner);
  }
  const auto inode = load_as<format::Inode>(image, s.at);
  return key + std::to_string(inode.mode.load()) + (inode.data.load() != 0 ? "d" : "") +
         (inode.xattrs.load() != 0 ? "x" : "") + std::to_string(inode.flags.load()) + "n" +
         std::to_string(inode.nlink.load());
}

// The first two and the last of each group stand for it.
std::vector<Structure> chosen_of(const Sample& sample) {
  std::map<std::string, std::vector<Structure>> groups;
  for (const Structure& s : sample.structures) {
    groups[key_of(sample.image->bytes(), s)].push_back(s);
  }
  std::vector<Structure> chosen;
  for (const auto& [key, group] : groups) {
    for (std::size_t i = 0; i < group.size(); ++i) {
      if (i < 2 || i + 1 == group.size() || group[i].kind == Kind::kIndexBlock) {
        chosen.push_back(group[i]);
      }
    }
  }
  return chosen;
}

Structure next_of_kind(const std::vector<Structure>& all, const Structure& s) {
  const auto same = [&](const Structure& o) {
    return o.kind == s.kind && o.at > s.at;
  };
  auto found = std::find_if(all.begin(), all.end(), same);
  if (found == all.end()) {
    found =
        std::find_if(all.begin(), all.end(), [&](const Structure& o) { return o.kind == s.kind; });
  }
  return *found;
}

}  // namespace

void Recipe::apply(std::span<std::byte> image) const {
  const std::uint64_t at = structure.at + field.offset;
  const std::size_t size = std::min<std::size_t>(field.size, 8);
  const std::uint64_t old = load_number(image, at, size);
  switch (spoil) {
    case Spoil::kFlip:
      store_number(image, at, size, old ^ 4U);
      return;
    case Spoil::kZero:
      fill(image, at, field, std::byte{0});
      break;
    case Spoil::kOnes:
      fill(image, at, field, std::byte{0xFF});
      break;
    case Spoil::kMore:
      store_number(image, at, size, old + 1);
      break;
    case Spoil::kLess:
      store_number(image, at, size, old - 1);
      break;
    case Spoil::kSign:
      store_number(image, at, size, old ^ (std::uint64_t{1} << (size * 8 - 1)));
      break;
    case Spoil::kAnother:
      std::copy_n(image.begin() + static_cast<std::ptrdiff_t>(another.at + field.offset),
                  field.size, image.begin() + static_cast<std::ptrdiff_t>(at));
      break;
  }
  reseal(image, structure);
}

std::string Recipe::name() const {
  return sample->name + "/" + std::string(to_string(structure.kind)) + " " +
         std::to_string(structure.owner) + " at " + std::to_string(structure.at) + "/" +
         std::string(field.name) + "/" + text(spoil);
}

std::vector<Recipe> recipes_for(const Sample& sample) {
  std::vector<Recipe> all;
  for (const Structure& s : chosen_of(sample)) {
    const Structure another = next_of_kind(sample.structures, s);
    for (const Field& field : fields_of(s.kind)) {
      for (const Spoil spoil : kSpoils) {
        all.push_back({&sample, s, another, field, spoil});
      }
    }
  }
  return all;
}

}  // namespace pmemfs::test
