#include "exercise.hpp"

#include "answers.hpp"
#include "base/log.hpp"
#include "operate.hpp"
#include "pmemfs/filesystem.hpp"
#include "store/store.hpp"
#include "walk.hpp"

namespace pmemfs::test {
namespace {

std::unique_ptr<Filesystem> mount(Region& region, BackingDir* host, Answers& answers) {
  store::OpenReport report;
  auto store = store::Store::open(region, &report);
  // Whether it is a region at all, and one that this program knows, is for open to say.
  if (!store) {
    const int code = store.code();
    (void)answers.plain(code, "opening the store");
    return nullptr;
  }
  FilesystemOptions options;
  options.background = false;
  options.collect_orphans = report.may_collect;
  auto fs = Filesystem::open(std::move(*store), host, options);
  if (!answers.plain(fs, "opening the filesystem")) {
    return nullptr;
  }
  return std::move(*fs);
}

void read_only_pass(const Sample& sample, const DamageImage& damage, std::uint64_t size,
                    Answers& answers) {
  GuardedRegion region(*sample.image, size);
  damage(region.bytes());
  region.set_read_only(true);
  const auto host = sample.host_copy();
  if (const auto fs = mount(region, host.get(), answers)) {
    (void)walk(*fs, answers);
  }
}

void writable_pass(const Sample& sample, const DamageImage& damage, std::uint64_t focus,
                   std::uint64_t size, Answers& answers) {
  GuardedRegion region(*sample.image, size);
  damage(region.bytes());
  const auto host = sample.host_copy();
  if (const auto fs = mount(region, host.get(), answers)) {
    const std::vector<FoundName> names = walk(*fs, answers);
    operate(*fs, names, focus, answers);
    (void)answers.plain(fs->close(), "unmount");
  }
  if (const auto again = mount(region, host.get(), answers)) {
    (void)walk(*again, answers);
  }
}

}  // namespace

std::string damage_met(Region& region, BackingDir* host) {
  base::log::init_callback([](base::log::Level, const std::string&) {});
  Answers answers;
  if (const auto fs = mount(region, host, answers)) {
    (void)walk(*fs, answers);
  }
  return answers.damage();
}

std::string exercise(const Sample& sample, const DamageImage& damage, std::uint64_t focus,
                     std::uint64_t size) {
  base::log::init_callback([](base::log::Level, const std::string&) {});  // damage is the point
  Answers answers;
  read_only_pass(sample, damage, size, answers);
  writable_pass(sample, damage, focus, size, answers);
  return answers.complaint();
}

}  // namespace pmemfs::test
