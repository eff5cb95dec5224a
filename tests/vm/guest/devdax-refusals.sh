# What a DAX device is refused for, each with one line that says why and the way out, and changes nothing: the filesystem made
# at the start is there at the end. Then the device has shrunk.
# media: devdax
# boots: 2
# kernels: newest
# megabytes: 1024 640
# programs: setpriv

D=/dev/dax0.0
mkdir -p $P

# refused WORDS COMMAND…: fails with exactly one line, which has the words in it.
refused() {
    local words=$1 line
    shift
    ! line=$("$@" 2>&1) || fail "$* was not refused"
    case "$line" in
        *"$words"*) say "$line" ;;
        *) fail "$* says '$line' and not '$words'" ;;
    esac
    [ "$(echo "$line" | wc -l)" = 1 ] || fail "$* says more than one line: $line"
}

# A device of this alignment; its data stay, and stay where they are. --map=mem, so that this place does not depend on the size.
device() {
    ndctl create-namespace -f -e namespace0.0 -m devdax --map=mem --align="$1" >/tmp/ndctl.log 2>&1 || fail "$(cat /tmp/ndctl.log)"
}
as_nobody() { /vm/bin/setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
mount_it() { mount.fuse.pmemfs $D $P; }

if [ "$VM_BOOT" = 2 ]; then
    refused "has 638 MiB, but the filesystem on it 1022 MiB" mount_it
    refused "give the device its old size back" pmemfsctl status $D
    pass
fi

refused "is a block device" mkfs.pmemfs /dev/pmem0
device 2M
refused "is not a pmemfs region" mount_it
refused "has only 1071644672 bytes" mkfs.pmemfs --size=2G $D
refused "too small" mkfs.pmemfs --size=1M $D
mkfs.pmemfs -q $D || fail "mkfs.pmemfs refused $D"
refused "holds data; --force" mkfs.pmemfs $D

refused "Permission denied; run it as root" as_nobody mkfs.pmemfs --force $D
refused "needs root" as_nobody mount.fuse.pmemfs $D $P
refused "only root" as_nobody pmemfsctl status $D
chmod 660 $D
refused "others may read or write it; chmod 600" mount_it
chmod 600 $D
chown 1 $D
refused "owned by uid 1" mount_it
chown 0 $D
mknod -m 600 /tmp/dax c $((0x$(stat -c %t $D))) $((0x$(stat -c %T $D)))
refused "the one that all programs share" mount.fuse.pmemfs /tmp/dax $P
ln -s $D /tmp/link
refused "symbolic link" mkfs.pmemfs --force /tmp/link

mount_it || fail "it cannot be mounted"
echo kept >$P/file
refused "in use: mounted on $P" mount.fuse.pmemfs $D /mnt
refused "in use: mounted on $P" mount.fuse.pmemfs $D /mnt -o ro
refused "in use: mounted on $P" mkfs.pmemfs --force $D
pmemfs_umount

device 4K
refused "has an alignment of 4 KiB, but had 2 MiB" mount_it
device 2M
echo dax0.0 >/sys/bus/dax/drivers/device_dax/unbind
refused "is not enabled; daxctl enable-device dax0.0" mount_it
refused "is not enabled" mkfs.pmemfs --force $D
echo dax0.0 >/sys/bus/dax/drivers/device_dax/bind

mount_it || fail "it cannot be mounted any more"
expect "content after all that" "$(cat $P/file)" kept
pmemfs_umount
next_boot
