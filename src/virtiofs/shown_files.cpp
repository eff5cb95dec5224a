#include "virtiofs/shown_files.hpp"

namespace pmemfs::virtiofs {

Status ShownFiles::add(int fd) {
  PMEMFS_TRY(const FileId file, FileId::of(fd));
  if (filesystem_ == 0 || file.filesystem != filesystem_) {
    const std::lock_guard lock(mutex_);
    if (files_.insert(file).second) {
      in_order_.push_back(file);
    }
    if (in_order_.size() > kMost) {
      files_.erase(in_order_.front());
      in_order_.pop_front();
    }
  }
  return {};
}

bool ShownFiles::has(const FileId& file) const {
  if (filesystem_ != 0 && file.filesystem == filesystem_) {
    return true;
  }
  const std::lock_guard lock(mutex_);
  return files_.contains(file);
}

}  // namespace pmemfs::virtiofs
