# A region on a DAX device: the layer region, then mkfs.pmemfs, mount(8), fstab and the helpers by the device's name.
# media: devdax
# boots: 1
# ci: devdax/newest
# programs: tests/devdax_device_test mount umount

D=/dev/dax0.0
namespace devdax
PMEMFS_TEST_DEVDAX=$D devdax_device_test || fail "devdax_device_test failed"

mkfs.pmemfs --force -L pool -U 01234567-89ab-cdef-0123-456789abcdef $D >/tmp/mkfs || fail "mkfs.pmemfs refused $D"
grep -q "devdax region on persistent memory, granularity \(cacheline\|byte\)$" /tmp/mkfs || fail "mkfs says $(cat /tmp/mkfs)"
mkdir -p $P /sbin /etc
ln -s /vm/bin/mount.fuse.pmemfs /vm/bin/umount.fuse.pmemfs /sbin
echo "$D $P fuse.pmemfs nodev 0 0" >/etc/fstab
syslogd -O /tmp/log
/vm/bin/mount $P || fail "mount(8) does not mount the line of fstab"
expect "source in /proc/mounts" "$(grep " $P " /proc/mounts | cut -d' ' -f1,3)" "$D fuse.pmemfs"

expect "lines about a newer kernel" "$(grep -c "needs a newer kernel" /tmp/log)" 1

echo durable >$P/db && setfattr -n user.pmemfs.mmap_durable -v 1 $P/db || fail "a file cannot be marked durable"
echo ordinary >$P/log
expect granularity "$(xattr granularity $P/db)" cacheline byte
expect "mapping of a durable file" "$(xattr mapping $P/db)" refused
expect "mapping of another" "$(xattr mapping $P/log)" cached
truncate -s 4096 $P/db
expect "a shared mapping of the durable file" "$(guest_tool store done $P/db 1)" "guest_tool: $P/db: mmap refused: No such device"
truncate -s 4096 $P/log
expect "a shared mapping of another" "$(guest_tool store done $P/log 1)" "done"

by_device=$(pmemfsctl status $D)
expect "status by mount point and by device" "$(pmemfsctl status $P | head -6)" "$(echo "$by_device" | head -6)"
expect "durable files" "$(pmemfsctl durable $D | tail -n 1)" "1 durable, 4 KiB"
/vm/bin/umount $P || fail "umount(8) does not unmount it"
expect "after umount" "$(pmemfsctl status $D | grep -c "clean")" 1
/vm/bin/mount -t fuse.pmemfs -o ro $D $P || fail "mount(8) does not mount it read-only"
expect "content of a read-only mount" "$(head -c 7 $P/db)" durable
! touch $P/new 2>/dev/null || fail "a read-only mount was written to"
umount.fuse.pmemfs $D || fail "umount by device failed"


# Smaller and larger again while it is mounted; the size stays over mounts.
mount.fuse.pmemfs $D $P || fail "the device cannot be mounted"
bytes() { pmemfsctl status --json $P | sed -n 's/.*"region_bytes": \([0-9]*\),/\1/p'; }
before=$(bytes)
dd if=/dev/urandom of=$P/data bs=1M count=100 2>/dev/null
sum=$(md5sum <$P/data)
pmemfsctl shrink $P 256M >/dev/null || fail "the region does not shrink"
umount.fuse.pmemfs $P
mount.fuse.pmemfs $D $P || fail "the smaller region cannot be mounted"
expect "size after shrinking" "$(bytes)" 268435456
expect "content after shrinking" "$(md5sum <$P/data)" "$sum"
pmemfsctl grow $P >/dev/null || fail "the region does not grow"
expect "size after growing" "$(bytes)" "$before"
expect "content after growing" "$(md5sum <$P/data)" "$sum"
umount.fuse.pmemfs $P
pass
