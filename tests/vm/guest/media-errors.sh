# Memory with uncorrectable errors under a mounted region, as the kernel tells of it (MADV_HWPOISON): the daemon answers EIO for
# what is lost and lives, and the region can be mounted again. On tmpfs: of DAX memory that was poisoned so only the process
# hears that did it, and others go on to read it.
# media: ext4-dax
# boots: 1
# ci: ext4-dax/newest

page_of() { # FILE: where its first block lies in the region
    xattr extents "$1" | sed -n '1s/.* at \([0-9]*\).*/\1/p'
}

poison() { # REGION OFFSET
    guest_tool poison "$1" "$2" >/tmp/poison || { grep -q "Invalid argument" /tmp/poison && skip "a kernel with MADV_HWPOISON"; } ||
        fail "no page of $1 can be poisoned: $(cat /tmp/poison)"
}

bad_bytes() { pmemfsctl media --json $P | sed -n 's/.*"bad_bytes": *\([0-9]*\).*/\1/p'; }
errors() { pmemfsctl status --json $P | sed -n 's/.*"media_errors": *\([0-9]*\).*/\1/p'; }
read_of() { cat "$1" 2>&1 >/dev/null | sed 's/.*: //'; }
alive() { kill -0 "$DAEMON" || fail "the daemon is dead"; }
with_daemon() { DAEMON=$(pidof pmemfs) || fail "no daemon"; }

populate() {
    for i in $(seq 60); do echo "content $i" >$P/f"$i" || fail "f$i cannot be written"; done
    sync
}

# A file on tmpfs: data, which the kernel refuses to the next daemon too.
mkdir -p /dev/shm $P
mount -t tmpfs shm /dev/shm
F=/dev/shm/file
mkfs.pmemfs --emulate --size=32M $F >/tmp/mkfs || fail "mkfs.pmemfs refused a file on tmpfs"
mount.fuse.pmemfs $F $P 2>/tmp/mounted || fail "the file region cannot be mounted"
populate
bad=$(page_of $P/f30)
umount.fuse.pmemfs $P && mount.fuse.pmemfs $F $P || fail "the file region cannot be mounted again"
with_daemon
poison $F "$bad"
for again in 1 2; do
    expect "data that is lost, read the ${again}. time" "$(read_of $P/f30)" "Input/output error" "I/O error"
done
expect "other data" "$(cat $P/f29) $(cat $P/f31)" "content 29 content 31"
echo more >$P/new || fail "nothing can be written any more"
expect "pages lost" "$(errors)" 1
alive
umount.fuse.pmemfs $P && mount.fuse.pmemfs $F $P || fail "the file region cannot be mounted a third time"
with_daemon
expect "data that is lost, by the next daemon" "$(read_of $P/f30)" "Input/output error" "I/O error"
expect "bad memory that is known" "$(bad_bytes)" 4096
pmemfsctl media $P | grep -q "/f30 at 0" || fail "nobody owns it: $(pmemfsctl media $P)"
echo "content 30, again" >/tmp/again
dd if=/tmp/again of=$P/f30 conv=notrunc 2>/tmp/dd || fail "it cannot be overwritten: $(cat /tmp/dd)"
sync
echo 3 >/proc/sys/vm/drop_caches
expect "data that was overwritten" "$(cat $P/f30)" "content 30, again"
pmemfsctl scrub $P >/tmp/scrub 2>&1 || fail "a scrub finds fault with it: $(cat /tmp/scrub)"
alive
umount.fuse.pmemfs $P || fail "it cannot be unmounted"

# The inodes of a page of a directory region. Chunks of the inode table begin at block 260, 16 inodes to a page.
# On a tmpfs of its own: syncfs of the other reports the error above.
R=/mnt/memory/region
mkdir -p /mnt/memory
mount -t tmpfs -o mode=755 memory /mnt/memory
mkfs.pmemfs --emulate $R >/tmp/mkfs || fail "mkfs.pmemfs refused a directory on tmpfs"
mount.fuse.pmemfs $R $P 2>/tmp/mounted || fail "the directory region cannot be mounted"
populate
umount.fuse.pmemfs $P && mount.fuse.pmemfs $R $P || fail "the directory region cannot be mounted again"
with_daemon
poison $R/region $((262 * 4096))
lost=0
for i in $(seq 60); do
    if [ -e $P/f"$i" ]; then
        expect "f$i" "$(cat $P/f"$i")" "content $i" >/dev/null
    else
        lost=$((lost + 1))
    fi
done
expect "inodes lost" $lost 16
alive
expect "pages lost" "$(errors)" 1
echo more >$P/new || fail "nothing can be written any more"
umount.fuse.pmemfs $P && mount.fuse.pmemfs $R $P || fail "the directory region cannot be mounted a third time"
expect "pages met again by the mount, which knows them" "$(errors)" 0
expect "bad memory that it knows" "$(bad_bytes)" 4096
pmemfsctl scrub $P >/tmp/scrub 2>&1 && fail "a scrub finds no fault with lost inodes"
expect "inodes that it cannot read" "$(grep -c "inode cannot be read" /tmp/scrub)" 16
expect "what was written then" "$(cat $P/new)" more
expect "backing files left" "$(find $R/data -type f -name '*.*' | wc -l)" 61
umount.fuse.pmemfs $P || fail "it cannot be unmounted"
pass
