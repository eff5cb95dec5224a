#include "fuse/capabilities.hpp"

#include <cstdint>

#include "fuse/buffers.hpp"

namespace pmemfs::fuse {
namespace {

// Libfuse before 3.18 has the 32-bit words only; all that is used here lies in them.
template <typename Connection>
bool want(Connection& connection, std::uint64_t flag) {
  if constexpr (requires { connection.want_ext; }) {
    return fuse_set_feature_flag(&connection, flag);
  } else {
    const auto bit = static_cast<std::uint32_t>(flag);
    const bool capable = (connection.capable & bit) != 0;
    connection.want |= capable ? bit : 0U;
    return capable;
  }
}

template <typename Connection>
void refuse(Connection& connection, std::uint64_t flag) {
  if constexpr (requires { connection.want_ext; }) {
    fuse_unset_feature_flag(&connection, flag);
  } else {
    connection.want &= ~static_cast<std::uint32_t>(flag);
  }
}

// INTERRUPT is of no use to us, and keeping book of it costs libfuse a lock that all threads share.
template <typename Connection>
void refuse_interrupts(Connection& connection) {
  if constexpr (requires { connection.no_interrupt; }) {
    connection.no_interrupt = 1;
  }
}

// Read-ahead and RELEASE requests under way at once; the kernel's own default is 12.
constexpr unsigned kMaxBackground = 64;

constexpr std::uint64_t kWanted[] = {
    FUSE_CAP_ASYNC_READ,
    FUSE_CAP_ASYNC_DIO,
    FUSE_CAP_ATOMIC_O_TRUNC,   // O_TRUNC comes with OPEN, no SETATTR
    FUSE_CAP_DONT_MASK,        // the umask counts only where no default ACL does: the core knows
    FUSE_CAP_PARALLEL_DIROPS,  // off unless asked for
    FUSE_CAP_POSIX_ACL,        // the kernel checks permissions, ACLs included
    FUSE_CAP_CACHE_SYMLINKS,
    FUSE_CAP_IOCTL_DIR,
    // Without AUTO: that one guesses from a directory's first lookups whether attributes are
    // wanted, and readdir with stat of a fresh mount becomes a LOOKUP for each entry of every part
    // but the first.
    FUSE_CAP_READDIRPLUS,
};

constexpr std::uint64_t kUnwanted[] = {
    FUSE_CAP_READDIRPLUS_AUTO,
    FUSE_CAP_WRITEBACK_CACHE,  // switches passthrough off
    FUSE_CAP_FLOCK_LOCKS,      // the kernel's own locks are right for a local filesystem
    FUSE_CAP_POSIX_LOCKS,
    FUSE_CAP_HANDLE_KILLPRIV,       // superseded by V2
    FUSE_CAP_DIRECT_IO_ALLOW_MMAP,  // a file without a direct mapping must refuse shared ones, not
                                    // fake them
    FUSE_CAP_SPLICE_READ,           // data go to and from memory that is mapped here
    FUSE_CAP_SPLICE_WRITE,
    FUSE_CAP_SPLICE_MOVE,
};

}  // namespace

Granted negotiate(fuse_conn_info& connection, const Wanted& wanted) {
  for (const std::uint64_t flag : kUnwanted) {
    refuse(connection, flag);
  }
#ifdef FUSE_CAP_OVER_IO_URING
  refuse(connection, FUSE_CAP_OVER_IO_URING);
#endif
  for (const std::uint64_t flag : kWanted) {
    want(connection, flag);
  }
  if (wanted.by_handle) {
    want(connection, FUSE_CAP_EXPORT_SUPPORT);  // node ids and generations are stable
  }
  if (wanted.compare) {
    want(connection, FUSE_CAP_AUTO_INVAL_DATA);
  } else {
    refuse(connection, FUSE_CAP_AUTO_INVAL_DATA);
  }
  Granted granted;
  granted.answered = true;
  granted.setxattr_ext = want(connection, FUSE_CAP_SETXATTR_EXT);
  granted.killpriv_v2 = want(connection, FUSE_CAP_HANDLE_KILLPRIV_V2);
  if (wanted.passthrough) {
    granted.passthrough = want(connection, FUSE_CAP_PASSTHROUGH);
    // The kernel stacks two filesystems at most. Unstacked backing files leave room for an
    // overlayfs on top of the mount.
    connection.max_backing_stack_depth =
        wanted.region_is_stacked ? FUSE_BACKING_STACKED_OVER : FUSE_BACKING_STACKED_UNDER;
  }
  refuse_interrupts(connection);
  connection.max_write = kMaxTransfer;
  connection.max_background = kMaxBackground;
  connection.time_gran = 1;
  return granted;
}

}  // namespace pmemfs::fuse
