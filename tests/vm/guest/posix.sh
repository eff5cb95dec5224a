# The system calls of tests/mount on real persistent memory: a DAX device, a directory on a filesystem with DAX. What takes long
# is posix-long's.
# media: devdax ext4-dax
# boots: 1
# kernels: newest
# ci: ext4-dax/newest
# seconds: 300
# programs: tests/posix_names_test tests/posix_attrs_test tests/posix_data_test tests/posix_xattr_acl_test tests/durable_test id cp

mount_tests_on_media
run_mount_test posix_names_test '~link: 65*'
run_mount_test posix_attrs_test
run_mount_test posix_data_test
run_mount_test posix_xattr_acl_test
run_mount_test durable_test
pass
