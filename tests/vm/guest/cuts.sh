# The power goes at a random moment while workers change files, and again, on the same region: no fsck, and after each cut
# everything is there that had returned, by the log that the machine outside keeps (cut_worker); what was under way is there
# wholly or not at all. `tests/vm/run cuts --times 200` is the long form.
# media: ext4-dax xfs-dax devdax
# boots: 2
# kernels: newest
# workers: 4
# programs: tests/cut_worker

dmesg -n 1 # a message of the kernel must not fall into a line of the log
kind=directory
if [ "$VM_MEDIA" = devdax ]; then
    REGION=/dev/dax0.0 kind=extents
    namespace devdax
    mkdir -p $P
    [ "$VM_BOOT" != 1 ] || mkfs.pmemfs -q $REGION || fail "mkfs.pmemfs refused $REGION"
else
    host_mount
    mkdir -p $P
    # On the host's media before anything is cut: a region that mkfs has not finished is mkfs's test.
    [ "$VM_BOOT" != 1 ] || { mkfs.pmemfs $REGION && sync; } || fail "mkfs.pmemfs refused $VM_MEDIA"
fi

check() { # [work]
    cut_worker $P $kind "$VM_SEED" "$VM_DONE" "$@" || fail "the log and the region are not of one mind"
}

if [ -x /vm/bin/fsck.pmemfs ]; then
    fsck.pmemfs -n $REGION || fail "fsck.pmemfs finds a region unsound that lost its power: $?"
fi
echo '@cut mounting'
pmemfs_remount
[ "$VM_LAST" = 1 ] || check work
check
pmemfs_umount
pmemfs_remount
check
pmemfs_umount
[ "$VM_MEDIA" = devdax ] || umount $HOST
pass
