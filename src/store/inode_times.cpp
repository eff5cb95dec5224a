#include "store/store.hpp"

namespace pmemfs::store {
namespace {

Timestamp load(const format::Le64& sec, const format::Le32& nsec) {
  return {static_cast<std::int64_t>(sec.load()), nsec.load()};
}

void save(format::Le64& sec, format::Le32& nsec, Timestamp t) {
  sec.store(static_cast<std::uint64_t>(t.sec));
  nsec.store(t.nsec);
}

}  // namespace

Timestamp atime(const format::Inode& i) {
  return load(i.atime_sec, i.atime_nsec);
}
Timestamp mtime(const format::Inode& i) {
  return load(i.mtime_sec, i.mtime_nsec);
}
Timestamp ctime(const format::Inode& i) {
  return load(i.ctime_sec, i.ctime_nsec);
}
Timestamp btime(const format::Inode& i) {
  return load(i.btime_sec, i.btime_nsec);
}

void set_atime(format::Inode& i, Timestamp t) {
  save(i.atime_sec, i.atime_nsec, t);
}
void set_mtime(format::Inode& i, Timestamp t) {
  save(i.mtime_sec, i.mtime_nsec, t);
}
void set_ctime(format::Inode& i, Timestamp t) {
  save(i.ctime_sec, i.ctime_nsec, t);
}
void set_btime(format::Inode& i, Timestamp t) {
  save(i.btime_sec, i.btime_nsec, t);
}

}  // namespace pmemfs::store
