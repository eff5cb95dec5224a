# Stores through a durable mapping, against those through a mapping of its backing file on the host natively, in turns. With --count, since
# the same loop takes half or twice as long on an emulated processor from run to run.
# media: ext4-dax xfs-dax
# boots: 1
# programs: pmemfs-bench-work

host_mount
pmemfs_mount
mkdir $HOST/native $P/db
setfattr -n user.pmemfs.mmap_durable -v 1 $P/db
pmemfs-bench-work store_flush $P/db 1000 >/dev/null # writes the files
pmemfs-bench-work first_touch $P/db 0 >/dev/null
for name in mapped-64m mapped-256m; do
    ino=$(stat -c %i $P/db/$name)
    ln -s $(ls $REGION/data/$(printf '%02x/%x' $((ino % 256)) $ino).*) $HOST/native/$name
done
seconds() { # of one operation of the work $1 in the directory $2
    pmemfs-bench-work $1 $2 $3 | sed 's/.*"seconds": \([0-9.]*\), "count": \([0-9]*\).*/\1 \2/' | awk '{ printf "%.12f", $1 / $2 }'
}
for round in 1 2 3 4; do
    for work in "store_flush 1000000" "memcpy4k 100000" "first_touch 0"; do
        set -- $work
        if [ $((round % 2)) = 0 ]; then
            native=$(seconds $1 $HOST/native $2)
            durable=$(seconds $1 $P/db $2)
        else
            durable=$(seconds $1 $P/db $2)
            native=$(seconds $1 $HOST/native $2)
        fi
        say "$1 native $native durable $durable ratio $(awk "BEGIN { print $native / $durable }")"
    done
done
pmemfs_umount
umount $HOST
pass
