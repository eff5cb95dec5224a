# On a DAX device what write(2), rename and mkdir did is durable when they return: then the power goes, and all of it is there,
# for a read-only mount first, which must leave the device as it is. What was only stored to a cached mapping goes in the same
# cut, else the cut proves nothing. Others are busy meanwhile, so that the journal is in use.
# media: devdax
# boots: 2
# kernels: 6.12
# megabytes: 256

D=/dev/dax0.0
REGION=$D
namespace devdax
mkdir -p $P

busy() { # makes, renames and removes names without an end
    mkdir $P/busy-$1
    while :; do
        echo "$1" >$P/busy-$1/a && mv $P/busy-$1/a $P/busy-$1/b && rm $P/busy-$1/b
    done
}

check_kept() {
    expect "written data, $1" "$(guest_tool verify $P/db/written 1)" "kept 131072 of 131072"
    expect "names, $1" "$(ls $P/db | grep -c name-)" 8
    expect "durable, $1" "$(xattr mmap_durable $P/db/written)" 1
    local kept=$(guest_tool verify $P/control 2)
    case "$kept" in
        "kept 4096 of 4096") fail "the control lost nothing: this power cut proves nothing" ;;
        "kept "*" of 4096") say "control, $1: $kept" ;;
        *) fail "the control is not of its size: $kept" ;;
    esac
}

fingerprint() { guest_tool sum $D "$(cat /sys/bus/dax/devices/dax0.0/size)"; }

case "$VM_BOOT" in
    1)
        mkfs.pmemfs -q $D || fail "mkfs.pmemfs refused $D"
        pmemfs_remount
        truncate -s 8M /tmp/pattern
        guest_tool store done /tmp/pattern 1
        mkdir $P/db
        truncate -s 256K $P/control # less than the kernel would write back by itself
        busy 1 &
        busy 2 &
        for i in 1 2 3 4 5 6 7 8; do
            mkdir $P/made-$i && mv $P/made-$i $P/db/name-$i
        done
        dd if=/tmp/pattern of=$P/written bs=1M 2>/dev/null
        setfattr -n user.pmemfs.mmap_durable -v 1 $P/written
        mv $P/written $P/db/written
        guest_tool store "$CUT_LINE" $P/control 2
        ;;
    2)
        before=$(fingerprint)
        mount.fuse.pmemfs -o ro $D $P || fail "a read-only mount after the cut failed"
        check_kept "read-only"
        pmemfs_umount
        expect "the device after a read-only mount" "$(fingerprint)" "$before"
        pmemfs_remount
        check_kept "recovered"
        echo new >$P/new || fail "cannot be written to after recovery"
        pmemfs_umount
        pass
        ;;
esac
