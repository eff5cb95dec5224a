#include "core/context.hpp"

#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <ctime>
#include <utility>

#include "base/unique_fd.hpp"
#include "core/reap.hpp"

namespace pmemfs::core {

HandleId HandleTable::add(std::shared_ptr<Handle> handle) {
  const std::unique_lock guard(mutex_);
  const HandleId id = next_++;
  handles_.emplace(id, std::move(handle));
  return id;
}

std::shared_ptr<Handle> HandleTable::find(HandleId id) const {
  const std::shared_lock guard(mutex_);
  const auto found = handles_.find(id);
  return found == handles_.end() ? nullptr : found->second;
}

std::shared_ptr<Handle> HandleTable::take(HandleId id) {
  const std::unique_lock guard(mutex_);
  const auto node = handles_.extract(id);
  return node.empty() ? nullptr : node.mapped();
}

std::uint64_t HandleTable::size() const {
  const std::shared_lock guard(mutex_);
  return handles_.size();
}

void HandleTable::clear() {
  std::unordered_map<HandleId, std::shared_ptr<Handle>> gone;
  const std::unique_lock guard(mutex_);
  gone.swap(handles_);
}

Context::Context(std::unique_ptr<store::Store> s, BackingDir* b, FilesystemOptions o)
    : store(std::move(s)),
      backing(b),
      options(std::move(o)),
      passthrough(options.passthrough),
      nodes([this](Node& node) { reap(*this, node); },
            [this](const Node& node) {
              if (node.directory) {
                index_bytes -= node.directory->memory_bytes();
              }
            }) {}

Timestamp now() {
  timespec t{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &t);
  return {t.tv_sec, static_cast<std::uint32_t>(t.tv_nsec)};
}

// The kernel stamps files finer than its coarse clock ticks (6.13 and newer) and shows that time
// nowhere but on a file.
Timestamp file_time() {
  static const base::UniqueFd kFile(::memfd_create("pmemfs-time", MFD_CLOEXEC));
  struct stat st {};
  if (::futimens(kFile.get(), nullptr) != 0 || ::fstat(kFile.get(), &st) != 0) {
    return now();
  }
  return {st.st_mtim.tv_sec, static_cast<std::uint32_t>(st.st_mtim.tv_nsec)};
}

Result<InodeRecord> read_inode(Context& c, const Node& node) {
  Result<InodeRecord> read = c.store->inode(node.ino);
  if (!read || !is_regular(*read)) {
    return read;
  }
  // The size of a file with a backing file is the host's.
  const std::uint64_t size = c.has_backing() ? 0 : read->size.load();
  if (std::max(size, read->durable_len.load()) > format::kMaxFileSize) {
    return Error(EUCLEAN);
  }
  return read;
}

Status commit_inode(Context& c, InodeRecord& inode) {
  store::Change change(*c.store);
  change.put_inode(inode);
  return change.commit();
}

}  // namespace pmemfs::core
