# What posix leaves out, on all media and kernels; takes some ten minutes each. By hand: --limit 3000.
# media: devdax ext4-dax xfs-dax
# boots: 1
# programs: tests/posix_names_test tests/posix_attrs_test tests/posix_data_test tests/posix_xattr_acl_test tests/durable_test tests/fsx_test tests/stress_test tests/lifecycle_test tests/big_directory_test id cp

mount_tests_on_media
for test in posix_names posix_attrs posix_data posix_xattr_acl durable fsx stress lifecycle big_directory; do
    run_mount_test ${test}_test
done
pass
