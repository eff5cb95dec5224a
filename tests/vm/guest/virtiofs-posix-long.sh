# What virtiofs-posix leaves out; takes some three minutes. By hand: --limit 1000.
# media: directory file
# boots: 1
# devices: pmem,window=64M
# programs: tests/posix_names_test tests/durable_test tests/fsx_test tests/stress_test tests/big_directory_test id cp

virtiofs_mount
mount_tests_on_virtiofs
# What is other than on a mount here, and must be:
# - set on an open file, a handle of before the flag: EBUSY, since this guest may have the file in its page cache (cache=auto)
# - clear: what this guest has mapped stays in its window until its kernel needs the place or forgets the inode
# - what is allocated ahead: as long as it is in the window
run_mount_test durable_test '~"set on an open or mapped*" ~"mmap: a handle of before*" ~"clear: EBUSY while it is mapped*" ~"grow: what the host*"'
run_mount_test fsx_test
run_mount_test stress_test
run_mount_test posix_names_test 'link: 65*'
PMEMFS_BIG_DIRECTORY=20000 run_mount_test big_directory_test
pass
