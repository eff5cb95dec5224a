# Daemons that serve machines, which the test itself is, on real persistent memory: what windows map there is the DAX device, in
# whole stretches of its alignment, or files of ext4 with DAX. What does not map is the same on any memory.
# media: devdax ext4-dax
# boots: 1
# kernels: newest
# ci: devdax/newest
# seconds: 200
# programs: tests/guests_test cp

mount_tests_on_media
run_mount_test guests_test '"stores into*","a machine that is killed*","what one stores*","a file that grows*","an unlinked*","fsync by*"'
pass
