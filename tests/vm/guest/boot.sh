# The persistent memory is there, a filesystem on it has DAX, and the kernel is the one that was asked for.
# media: ext4-dax xfs-dax devdax
# boots: 1
# ci: ext4-dax/newest

expect kernel "$(uname -r)" "$VM_RELEASE"
if [ "$VM_MEDIA" = devdax ]; then
    namespace devdax
    [ -c /dev/dax0.0 ] || fail "there is no /dev/dax0.0"
    say "/dev/dax0.0, $(cat /sys/bus/dax/devices/dax0.0/size) bytes, alignment $(cat /sys/bus/dax/devices/dax0.0/align)"
    expect "alignment" "$(cat /sys/bus/dax/devices/dax0.0/align)" 2097152
    pass
fi
host_mount
grep " $HOST " /proc/mounts
# The mount option is no proof: MAP_SYNC is granted on DAX alone, and refused on the same file without it.
truncate -s 2M $HOST/file
expect "MAP_SYNC on $VM_MEDIA" "$(guest_tool map-sync $HOST/file)" granted
umount $HOST
mount -t "${VM_MEDIA%-dax}" -o dax=never /dev/pmem0 $HOST
! guest_tool map-sync $HOST/file || fail "MAP_SYNC was granted without DAX"
umount $HOST
pass
