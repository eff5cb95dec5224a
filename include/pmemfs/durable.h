/* Names that programs use with setxattr(2) and getxattr(2) on a mounted pmemfs. C and C++. */
#ifndef PMEMFS_DURABLE_H
#define PMEMFS_DURABLE_H

/* "1" sets, "0" or removexattr clears. On a directory: inherited by what is created in it. */
#define PMEMFS_XATTR_DURABLE "user.pmemfs.mmap_durable"
/* The same flag under the kernel's CAP_SYS_ADMIN check. */
#define PMEMFS_XATTR_DURABLE_TRUSTED "trusted.pmemfs.mmap_durable"

/* Read-only, on every file. */
#define PMEMFS_XATTR_GRANULARITY "user.pmemfs.granularity" /* byte, cacheline, page, none */
#define PMEMFS_XATTR_MAPPING "user.pmemfs.mapping"     /* passthrough, window, cached, refused */
#define PMEMFS_XATTR_PLACEMENT "user.pmemfs.placement" /* backing, extents */
#define PMEMFS_XATTR_EXTENTS "user.pmemfs.extents"     /* readable text */

#endif
