# The system calls of tests/mount in a guest, on what pmemfs serves from outside: ordinary files by the guest's page cache, durable
# ones by its window. What takes long is virtiofs-posix-long's.
# media: directory file
# boots: 1
# ci: directory/newest
# devices: pmem,window=64M
# programs: tests/posix_names_test tests/posix_attrs_test tests/posix_data_test tests/posix_xattr_acl_test tests/fsx_test id cp

virtiofs_mount
mount_tests_on_virtiofs
run_mount_test posix_names_test '~link: 65*'
# What is other than on a mount here, and must be:
# - new files' times: the host's clock tells them, and the guest's own goes otherwise
# - birth: virtiofs asks for it by a request (STATX) whose answer cannot say that a file is to be mapped directly, so it is refused
run_mount_test posix_attrs_test '~"times: a new file*" ~"times: statx*"'
run_mount_test posix_data_test
run_mount_test posix_xattr_acl_test
PMEMFS_FSX_OPS=500 run_mount_test fsx_test
pass
