# A device without a window (vhost-user-fs-pci: QEMU before 11.1, libvirt, other monitors), of a back end that offers one and of one
# that does not: everything but shared mappings of durable files, which are refused whoever made the file durable, and when.
# By hand; with --qemu system on Debian's own QEMU, too.
# media: directory file
# boots: 1
# devices: plain:pmem,window=16M plain:none
# programs: xfs_io tests/posix_names_test tests/posix_attrs_test tests/posix_data_test tests/posix_xattr_acl_test tests/fsx_test id cp

unmapped() { # FILE: no shared mapping, to write or to read, with MAP_SYNC or without
    expect "mapping of ${1##*/}" "$(xattr mapping $1)" refused
    expect "stores into ${1##*/}" "$(guest_tool store done $1 1 2>&1 | grep -c 'No such device')" 1
    expect "a mapping to read" "$(guest_tool sum $1 4096 2>&1 | grep -c 'No such device')" 1
    expect "a mapping with MAP_SYNC" "$(guest_tool map-sync $1 2>&1 | grep -c 'No such device')" 1
}
refused() { # ERROR PROGRAM…: by its text
    local error=$1
    shift
    ! "$@" >/tmp/why 2>&1 || fail "$* is not refused"
    grep -q "$error" /tmp/why || fail "$*: $(cat /tmp/why)"
}
seen() { # FILE SEED: written there, here and outside
    guest_tool print $2 2097152 | dd of=$W/$1 bs=64k conv=notrunc,fsync 2>/dev/null
    expect "what was written into $1" "$(guest_tool verify $W/$1 $2)" "kept 32768 of 32768"
    expect "outside" "$(host run guest_tool verify $tag/$1 $2)" "kept 32768 of 32768"
}

for tag in pmem none; do
    refused 'Invalid argument' mount -t virtiofs -o dax=always $tag /mnt
    virtiofs_mount dax=inode $tag $V/$tag
    W=$V/$tag/$tag
    mkdir -p $W/db

    # Ordinary files: by the page cache.
    dd if=/dev/zero of=$W/plain bs=1M count=2 2>/dev/null
    expect "mapping of an ordinary file" "$(xattr mapping $W/plain)" cached
    xfs_io -c "mmap 0 2m" -c "mwrite -S 90 0 2m" -c "msync -s" $W/plain
    expect "stores after msync, outside" "$(host run "sh -c 'tr -d Z <$tag/plain | wc -c'")" 0

    # Durable from the start, by the guest.
    setfattr -n user.pmemfs.mmap_durable -v 1 $W/db
    truncate -s 2M $W/db/one
    unmapped $W/db/one
    seen db/one 1
    cp /bin/busybox $W/db/
    expect "a program, mapped for itself alone" "$($W/db/busybox echo runs)" runs
    refused 'Text file busy' truncate -s 1M $W/db/one
    refused 'not supported' xfs_io -c "fpunch 0 4k" $W/db/one
    xfs_io -f -c "pwrite -q -S 90 0 1m" -c "pwrite -q -S 90 1m 1m" -c fsync -c "pwrite -q -S 90 0 4k" -c fdatasync $W/db/grows
    expect "a file that grew by writing, outside" "$(host run "sh -c 'tr -d Z <$tag/db/grows | wc -c; stat -c %s $tag/db/grows'")" "0; 2097152"

    # By others, what this guest has in its page cache: the next open reads what is there, and maps nothing.
    expect "what the guest has read" "$(head -c 4 $W/plain)" ZZZZ
    must_host run setfattr -n user.pmemfs.mmap_durable -v 1 $tag/plain
    must_host run "sh -c 'guest_tool print 3 2097152 | dd of=$tag/plain bs=1M conv=notrunc'"
    unmapped $W/plain
    expect "what others wrote" "$(guest_tool verify $W/plain 3)" "kept 32768 of 32768"
    seen plain 4

    # While it has it open or mapped, and could go on storing into its page cache: never.
    dd if=/dev/zero of=$W/open bs=1M count=2 2>/dev/null
    open_mapping $W/open
    expect stores "$(ask store 5)" stored
    refused 'busy' setfattr -n user.pmemfs.mmap_durable -v 1 $W/open
    ! host run setfattr -n user.pmemfs.mmap_durable -v 1 $tag/open >/tmp/why || fail "others made a file durable that the guest has mapped"
    grep -q 'busy' /tmp/why || fail "others: $(cat /tmp/why)"
    expect "stores after that" "$(ask store 6)" stored
    close_mapping
    setfattr -n user.pmemfs.mmap_durable -v 1 $W/open
    expect "what was stored before, outside" "$(host run guest_tool verify $tag/open 6)" "kept 32768 of 32768"
    unmapped $W/open

    # And back.
    setfattr -n user.pmemfs.mmap_durable -v 0 $W/open
    expect "mapping without the promise" "$(xattr mapping $W/open)" cached
    guest_tool store done $W/open 7
    sync
    expect "stores after sync, outside" "$(host run guest_tool verify $tag/open 7)" "kept 32768 of 32768"
done
expect "lines of a window" "$(dmesg | grep -c 'virtiofs.*Cache len')" 0

mount_tests_on_virtiofs
PMEMFS_TEST_DIR=$V/pmem
run_mount_test posix_names_test '~link: 65*'
run_mount_test posix_attrs_test '~"times: a new file*" ~"times: statx*"' # as in virtiofs-posix
run_mount_test posix_data_test
run_mount_test posix_xattr_acl_test
PMEMFS_FSX_OPS=500 run_mount_test fsx_test
umount $V/none $V/pmem
must_host stop
must_host fsck
pass
