// Blocks of a directory with any content behind right checksums: whatever the directory lists can
// be found and removed, and what is inserted is listed.
#include <sys/stat.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/log.hpp"
#include "input.hpp"
#include "pmemfs/filesystem.hpp"
#include "store/directory.hpp"
#include "store/store.hpp"
#include "support/damage.hpp"
#include "support/guarded_region.hpp"

namespace {

using namespace pmemfs;
using store::Change;
using store::Directory;
using test::Kind;
using test::Structure;

constexpr Caller kRoot{.uid = 0, .gid = 0, .pid = 1, .umask = 022};

// A root directory of a few blocks, some of its entries removed.
struct Base {
  Base() {
    std::vector<std::byte> zeros(format::kMinRegionSize);
    const test::MediaImage empty(zeros);
    test::GuardedRegion region(empty);
    store::FormatOptions options;
    options.kind = format::RegionKind::kFile;
    fuzz::demand(store::Store::format(region, options).ok(), "format");
    store::OpenReport report;
    FilesystemOptions quiet;
    quiet.background = false;
    auto opened = store::Store::open(region, &report);
    auto fs = Filesystem::open(std::move(opened).value(), nullptr, quiet);
    for (std::size_t i = 0; i < 70; ++i) {
      fuzz::demand(made(**fs, "n" + std::to_string(i) + std::string(i * 3, 'x')), "mknod");
    }
    for (std::size_t i = 0; i < 70; i += 4) {
      const std::string name = "n" + std::to_string(i) + std::string(i * 3, 'x');
      fuzz::demand((*fs)->unlink(kRootInode, name).ok(), "unlink");
    }
    image.emplace(region.bytes());
    headers = test::structures_of(image->bytes(), Kind::kDirHeader, 1);
  }
  static bool made(Filesystem& fs, const std::string& name) {
    return fs.mknod(kRoot, kRootInode, name, S_IFIFO | 0600, 0).ok();
  }

  std::optional<test::MediaImage> image;
  std::vector<Structure> headers;
};

// Any bytes anywhere in the blocks, a fresh entry in any slot, any bitmaps.
void spoil(fuzz::Input& input, std::span<std::byte> image, const std::vector<Structure>& headers) {
  for (int i = 0; i < 12 && !input.empty(); ++i) {
    const std::uint64_t block = headers[input.below(headers.size())].at;
    const std::uint64_t slot = block + input.below(format::kDirSlots) * format::kDirSlotSize;
    switch (input.below(4)) {
      case 0: {
        const auto bytes = input.bytes(1 + input.below(16));
        const std::uint64_t at = block + input.word() % format::kBlockSize;
        for (std::size_t b = 0; b < bytes.size() && at + b < block + format::kBlockSize; ++b) {
          image[at + b] = static_cast<std::byte>(bytes[b]);
        }
        break;
      }
      case 1:
        test::store_number(image, block + offsetof(format::DirHeader, heads), 8,
                           input.number<std::uint64_t>());
        break;
      case 2:
        test::store_number(image, block + offsetof(format::DirHeader, used), 8,
                           input.number<std::uint64_t>() | 1U);
        break;
      default:
        test::store_number(image, slot + offsetof(format::Dentry, ino), 8, input.byte());
        test::store_number(image, slot + offsetof(format::Dentry, name_len), 1, input.byte());
        test::store_number(image, slot + offsetof(format::Dentry, hash), 4, input.byte());
    }
  }
}

// Makes all crcs right, and the number of entries what the bitmaps say. Entries: each slot that a
// header calls a head.
void seal_all(std::span<std::byte> image, const std::vector<Structure>& headers) {
  std::uint64_t entries = 0;
  for (const Structure& h : headers) {
    test::reseal(image, h);
    const std::uint64_t heads =
        test::load_number(image, h.at + offsetof(format::DirHeader, heads), 8);
    for (std::uint64_t slot = 0; slot < format::kDirSlots; ++slot) {
      if ((heads >> slot & 1U) != 0) {
        ++entries;
        const std::uint64_t at = h.at + slot * format::kDirSlotSize;
        test::reseal(image, {Kind::kDentry, at, at, Kind::kDentry, 1});
      }
    }
  }
  const Structure root = test::find_structure(image, Kind::kInode, 1);
  test::alter<format::Inode>(image, root, [&](format::Inode& i) { i.entries.store(entries); });
}

using Listing = std::multimap<std::string, std::uint64_t>;

Listing list(const Directory& dir) {
  Listing names;
  std::uint64_t position = 0;
  for (;;) {
    const auto entry = dir.next(position);
    fuzz::demand(entry.ok(), "a directory that is loaded cannot be listed");
    if (!*entry) {
      return names;
    }
    fuzz::demand((*entry)->position >= position, "a listing goes back");
    const std::string_view name = (*entry)->name;
    fuzz::demand(!name.empty() && name.size() <= format::kMaxName, "the length of a name");
    fuzz::demand(name.find('/') == std::string_view::npos, "a name with a slash");
    fuzz::demand(name.find('\0') == std::string_view::npos, "a name with a zero");
    names.emplace(name, (*entry)->ino.value);
    position = (*entry)->position + 1;
  }
}

// Inserts and removes; after each the listing is what it must be.
void change(store::Store& store, std::unique_ptr<Directory>& dir) {
  Listing names = list(*dir);
  for (const std::string& name :
       {std::string("short"), std::string(255, 'l'), std::string(100, 'm')}) {
    if (dir->find(name).code() != ENOENT) {
      continue;
    }
    Change change(store);
    format::Inode inode = *store.inode(kRootInode);
    fuzz::demand(dir->insert(change, inode, name, InodeNo(5), 1).ok(), "insert");
    change.put_inode(inode);
    fuzz::demand(change.commit().ok(), "commit");
    names.emplace(name, 5);
    fuzz::demand(list(*dir) == names, "the listing after an insertion");
  }
  for (auto at = names.begin(); at != names.end();) {
    const auto entry = dir->find(at->first);
    // Its hash may be another's: listed, but not found.
    if (!entry || names.count(at->first) > 1) {
      ++at;
      continue;
    }
    fuzz::demand_equal(at->second, entry->ino.value, "the inode of a name");
    Change change(store);
    format::Inode inode = *store.inode(kRootInode);
    fuzz::demand(dir->remove(change, inode, *entry).ok(), "remove");
    change.put_inode(inode);
    fuzz::demand(change.commit().ok(), "commit");
    at = names.erase(at);
  }
  fuzz::demand(list(*dir) == names, "the listing after removals");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Base kBase;
  base::log::init_callback([](base::log::Level, const std::string&) {});
  fuzz::Input input(data, size);
  test::GuardedRegion region(*kBase.image);
  spoil(input, region.bytes(), kBase.headers);
  seal_all(region.bytes(), kBase.headers);
  store::OpenReport report;
  auto store = store::Store::open(region, &report);
  fuzz::demand(store.ok(), "open");
  auto dir = Directory::load(**store, *(*store)->inode(kRootInode));
  if (!dir) {
    fuzz::demand_equal(EUCLEAN, static_cast<std::uint64_t>(dir.code()), "the error of a directory");
    return 0;
  }
  change(**store, *dir);
  auto again = Directory::load(**store, *(*store)->inode(kRootInode));
  fuzz::demand(again.ok(), "a directory that was changed cannot be loaded");
  fuzz::demand(list(**again) == list(**dir), "the listing after loading anew");
  return 0;
}
