#include <fmt/format.h>
#include <linux/falloc.h>

#include <array>

#include "crash/operation.hpp"

namespace pmemfs::crash {
namespace {

constexpr std::array<const char*, 8> kPaths = {"a", "b", "n", "p", "s", "d/c", "d/n", "e/n"};
constexpr std::uint64_t kMostOffset = 40'000;
constexpr std::uint64_t kMostLength = 20'000;

}  // namespace

Operation random_operation(std::mt19937_64& rng) {
  const std::string path = kPaths[rng() % kPaths.size()];
  const std::uint64_t off = rng() % kMostOffset;
  const std::uint64_t length = 1 + rng() % kMostLength;
  const char fill = static_cast<char>('a' + rng() % 26);
  const std::string where = fmt::format("{} {}+{} {}", path, off, length, fill);
  switch (rng() % 6) {
    case 0:
      return {"write " + where, [=](World& w) {
                return w.write(path, off, length, fill);
              }};
    case 1:
      return {"append " + where, [=](World& w) {
                return w.append(path, length, fill);
              }};
    case 2:
      return {"truncate " + where, [=](World& w) {
                return w.truncate(path, off);
              }};
    case 3: {
      Operation store{"store " + where, [=](World& w) {
                        return w.store(path, off, length, fill);
                      }};
      store.stores.push_back({path, off, length});
      return store;
    }
    case 4: {
      Operation punch{"punch " + where, [=](World& w) {
                        return w.allocate(path, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off,
                                          length);
                      }};
      punch.gradual = true;
      return punch;
    }
    default:
      return {"fsync " + path, [=](World& w) { return w.fsync(path); }, {path}};
  }
}

}  // namespace pmemfs::crash
