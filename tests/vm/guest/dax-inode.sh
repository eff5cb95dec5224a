# A host mounted with dax=inode, which is what ext4 and xfs do when told nothing: mkfs.pmemfs asks for DAX, file by file, and
# refuses a host with dax=never. Flushed stores to a durable file outlive the machine; those to an ordinary file of the same
# region that was only allocated do not (control).
# media: ext4-dax xfs-dax
# boots: 2
# ci: ext4-dax/newest xfs-dax/6.12

case "$VM_BOOT" in
    1)
        host_mount never
        ! mkfs.pmemfs $REGION 2>/tmp/why || fail "mkfs.pmemfs took a host with dax=never"
        expect "lines of the refusal" "$(grep -c '' /tmp/why)" 1
        grep -q 'grants no MAP_SYNC' /tmp/why || fail "the refusal does not say why: $(cat /tmp/why)"
        [ ! -e $REGION ] || fail "the refusal left something behind"
        umount $HOST
        mount -t "${VM_MEDIA%-dax}" -o dax=inode $([ "$VM_MEDIA" != ext4-dax ] || echo -o commit=60) /dev/pmem0 $HOST

        truncate -s 2M $HOST/file
        ! guest_tool map-sync $HOST/file || fail "MAP_SYNC was granted to a file that nobody asked DAX for"
        pmemfs_mount
        expect granularity "$(xattr granularity $P)" cacheline byte
        guest_tool allocate $P/ordinary 4194304
        expect "MAP_SYNC of an ordinary file" "$(guest_tool map-sync $P/ordinary)" granted
        mkdir $P/db
        setfattr -n user.pmemfs.mmap_durable -v 1 $P/db
        truncate -s 32M $P/db/huge
        expect faults "$(guest_tool faults $P/db/huge)" 16
        truncate -s 4M $P/db/file
        expect MAP_SYNC "$(guest_tool map-sync $P/db/file)" granted
        # The control comes last, since a sync of anything on the host filesystem would save it.
        guest_tool store "$CUT_LINE" $P/db/file 1 $P/ordinary 2
        ;;
    2)
        host_mount inode
        pmemfs_mount
        kept=$(guest_tool verify $P/ordinary 2)
        say "control: $kept"
        case "$kept" in
            "kept 65536 of 65536") fail "the control lost nothing: this power cut proves nothing" ;;
            "kept "*" of 65536") ;;
            *) fail "the control is not of its size: $kept" ;;
        esac
        expect "stores after the power cut" "$(guest_tool verify $P/db/file 1)" "kept 65536 of 65536"
        expect "MAP_SYNC after the power cut" "$(guest_tool map-sync $P/db/file)" granted
        pmemfs_umount
        umount $HOST
        pass
        ;;
esac
