# However a durable file comes to its 32 MiB, a mapping of it takes 16 faults of 2 MiB, since the host allocates ahead of what
# grows; what is ahead goes when the last writer closes, and mapped stores stay.
# media: ext4-dax xfs-dax
# boots: 1
# ci: ext4-dax/6.12 xfs-dax/newest

SIZE=33554432
host_mount
pmemfs_mount
mkdir $P/db
setfattr -n user.pmemfs.mmap_durable -v 1 $P/db

dd if=/dev/zero of=$P/db/written bs=1M count=32 2>/dev/null
expect "faults of a file written in order" "$(guest_tool faults $P/db/written)" 16
guest_tool grow $P/db/grown 1048576 $SIZE
expect "faults of a file that grew by 1 MiB" "$(guest_tool faults $P/db/grown)" 16
dd if=/dev/zero of=$P/db/large bs=1M count=256 2>/dev/null
expect "faults of one across groups of ext4 that begin with metadata" "$(guest_tool faults $P/db/large)" 128
rm $P/db/large
guest_tool grow $P/db/first 262144 $SIZE &
guest_tool grow $P/db/second 262144 $SIZE
wait $!
expect "faults of the first of two that grew beside each other" "$(guest_tool faults $P/db/first)" 16
expect "faults of the second" "$(guest_tool faults $P/db/second)" 16
for name in written grown first second; do
    say "$name: $(xattr extents $P/db/$name | tr '\n' ';')"
done

# Control: without allocation ahead, files that grow beside each other are scattered.
for i in 0 1 2 3 4 5 6 7; do
    for name in a b; do
        dd if=/dev/zero of=$HOST/$name bs=256k count=1 seek=$i conv=notrunc 2>/dev/null
    done
done
[ "$(guest_tool faults $HOST/a)" -gt 1 ] || fail "the control has 2 MiB in one fault: the counts above prove nothing"

# A file that was written first keeps the blocks that it has: a promise moves nothing. So many faults it takes.
dd if=/dev/zero of=$P/later bs=1M count=32 2>/dev/null
setfattr -n user.pmemfs.mmap_durable -v 1 $P/later
say "faults of a file made durable when it was written: $(guest_tool faults $P/later)"

# The shape of user.pmemfs.extents, and that the blocks it names lie as the offsets do.
xattr extents $P/db/written | while read -r run at place rest; do
    [ "$at" = at ] && [ $(((place - ${run%+*}) % 2097152)) = 0 ] && [ -z "$rest" ] || echo "$run $at $place $rest"
done >/tmp/odd
expect "runs that are not aligned" "$(cat /tmp/odd)" ""

# The flag against xfs_fsr comes and goes with ours; ext4 has none.
host_file() { # of the file $1
    local ino=$(stat -c %i $1)
    ls $HOST/region/data/$(printf '%02x/%x' $((ino % 256)) $ino).*
}
if [ "$VM_MEDIA" = xfs-dax ]; then
    expect "nodefrag of a durable file" "$(guest_tool nodefrag $(host_file $P/db/written))" yes
    expect "nodefrag of a file made durable later" "$(guest_tool nodefrag $(host_file $P/later))" yes
    setfattr -n user.pmemfs.mmap_durable -v 0 $P/later
    expect "nodefrag when it is durable no more" "$(guest_tool nodefrag $(host_file $P/later))" no
fi

# What is ahead, seen while the file is open and no longer when it is closed; a mapping's stores stay.
exec 3>>$P/db/log
dd if=/dev/zero bs=4096 count=3 >&3 2>/dev/null
expect "blocks while it is open" "$(stat -c %b $P/db/log)" 4096 4104
guest_tool store '@stored' $P/db/log 1 >/tmp/stored &
until grep -q stored /tmp/stored; do sleep 0.1; done
exec 3>&-
kill $!
sleep 1.5
expect "blocks when it is closed" "$(stat -c %b $P/db/log)" 24 32
expect "stores before it was closed" "$(guest_tool verify $P/db/log 1)" "kept 192 of 192"
pmemfs_umount
pmemfs_remount
expect "stores after a remount" "$(guest_tool verify $P/db/log 1)" "kept 192 of 192"
pmemfs_umount
umount $HOST

# Where the host does not align, mkfs.pmemfs says what would; where it does, nothing.
advice() { # of how many lines, for which words, on the host made by $1 and mounted with $2
    $1 || fail "$1"
    mount -t "${VM_MEDIA%-dax}" -o $2 /dev/pmem0 $HOST
    mkfs.pmemfs -q $REGION 2>/tmp/advice || fail "mkfs.pmemfs refuses a host mounted with $2"
    umount $HOST
    expect "lines of advice with $2" "$(grep -c "$4" /tmp/advice)" $3
}
if [ "$VM_MEDIA" = xfs-dax ]; then
    advice "mkfs.xfs -q -f /dev/pmem0" dax=always 1 'mkfs.xfs -d su=2m,sw=1'
    advice host_format dax=always 0 ''
else
    advice host_format dax=always 1 'mount it with -o stripe=512'
    advice host_format dax=always,stripe=512 0 ''
fi
pass
