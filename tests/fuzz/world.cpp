#include "world.hpp"

#include <array>
#include <cerrno>

namespace pmemfs::fuzz {
namespace {

constexpr int kMostSteps = 400;

bool one_of(int code, std::initializer_list<int> codes) {
  return std::find(codes.begin(), codes.end(), code) != codes.end();
}

}  // namespace

World::World(Input& input) : input_(input), rig_((input.byte() & 1U) != 0) {}

void World::run() {
  for (int i = 0; i < kMostSteps && !input_.empty(); ++i) {
    step();
  }
  compare();
  remount();
}

void World::step() {
  using Operation = void (World::*)();
  static constexpr std::array<Operation, 32> kOperations{
      &World::create,   &World::create,    &World::make_other, &World::make_other,
      &World::link,     &World::remove,    &World::remove,     &World::rename,
      &World::rename,   &World::rename,    &World::tmpfile,    &World::link_nameless,
      &World::open,     &World::open,      &World::release,    &World::write,
      &World::write,    &World::write,     &World::read,       &World::truncate,
      &World::truncate, &World::allocate,  &World::copy,       &World::seek,
      &World::sync,     &World::chmod,     &World::set_xattr,  &World::remove_xattr,
      &World::durable,  &World::rearrange, &World::crash,      &World::remount};
  (this->*kOperations[input_.below(kOperations.size())])();
}

ModelNode& World::directory() {
  const auto all = model_.directories();
  return *all[input_.below(all.size())];
}

std::string World::name() {
  static const std::array<std::string, 7> kNames{
      "a", "b", "c", "d", "e", std::string(100, 'm'), std::string(255, 'l')};
  return kNames[input_.below(kNames.size())];
}

NodePtr World::node() {
  const auto all = model_.nodes();
  return all[input_.below(all.size())];
}

World::Open* World::file() {
  return open_.empty() ? nullptr : &open_[input_.below(open_.size())];
}

void World::forget_open_files() {
  for (Open& o : open_) {
    o.node->opens = 0;
  }
  open_.clear();
}

void World::remount() {
  forget_open_files();
  rig_.remount();
  compare();
}

// Host files are the host's to keep until they are synced.
void World::crash() {
  const std::uint16_t seed = input_.word();
  if (rig_.backing()) {
    demand(fs().sync().ok(), "sync");
  }
  forget_open_files();
  rig_.crash(seed);
  compare();
}

void World::rearrange() {
  const auto plain = [](const auto& done, const char* what) {
    demand(one_of(done.code(), {0, EBUSY, ENOSPC, EINVAL, EOPNOTSUPP, ETXTBSY, EISDIR}), what);
  };
  switch (input_.below(7)) {
    case 0:
      return plain(fs().defrag(InodeNo(), {}), "defrag of all");
    case 1:
      return plain(fs().defrag(InodeNo(node()->ino), {}), "defrag");
    case 2:
      return plain(fs().make_frames(1 + input_.below(3), {}), "make_frames");
    case 3:
      return plain(fs().evacuate(std::uint64_t{input_.word()} << 10U, 4096U * input_.byte(), {}),
                   "evacuate");
    case 4:
      return plain(fs().grow((16U + input_.below(16)) << 20U), "grow");
    case 5:
      return plain(fs().shrink_region((16U + input_.below(16)) << 20U, {}), "shrink");
    default:
      return fs().shrink();
  }
}

}  // namespace pmemfs::fuzz
