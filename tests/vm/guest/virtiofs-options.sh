# The words of --virtiofs=, each on a device of its own, of one daemon without a mount here: ro, ids and their rights, cache, queues;
# and one that has no window, whatever its back end offers.
# media: directory file
# boots: 1
# ci: file/newest
# mountpoint: no
# devices: pmem,window=16M,queues=3 look,window=16M,ro ids,window=16M,translate-uid=0:1000:10,translate-gid=0:1000:10 one,squash-uid=7,squash-gid=8 none,cache=none auto,cache=auto always,cache=always plain:bare,window=16M

W=$V/pmem
virtiofs_mount dax=inode pmem $W
durable_file $W/db/file 2M
chmod 755 $W
guest_tool store done $W/db/file 1
echo text >$W/text

# ro: what others make is seen, and cannot be changed, whatever this guest's mount says; the window goes.
virtiofs_mount dax=inode look $V/look
expect "a file to look at" "$(cat $V/look/text)" text
expect "a shared mapping of it" "$(guest_tool sum $V/look/db/file 2097152 2>&1 | grep -c 'cannot be mapped')" 1
expect "its bytes by read" "$(guest_tool verify $V/look/db/file 1)" "kept 32768 of 32768"
guest_tool store done $W/db/file 2
expect "the same after stores by the other" "$(guest_tool verify $V/look/db/file 2)" "kept 32768 of 32768"
refused() { # PROGRAM…: EROFS
    ! "$@" >/tmp/why 2>&1 || fail "$* is not refused on a read-only export"
    grep -q 'Read-only file system' /tmp/why || fail "$*: $(cat /tmp/why)"
}
refused touch $V/look/new
refused rm $V/look/text
refused mkdir $V/look/new
refused mv $V/look/text $V/look/other
refused ln $V/look/text $V/look/other
refused chmod 777 $V/look/text
refused truncate -s 1 $V/look/text
refused setfattr -n user.pmemfs.mmap_durable -v 1 $V/look/text
refused dd if=/dev/zero of=$V/look/db/file bs=1 count=1 conv=notrunc
expect "bytes after that" "$(guest_tool verify $W/db/file 2)" "kept 32768 of 32768"

# Ids: seen from a guest whose ids are those of the region.
chmod 777 $W
virtiofs_mount rw ids $V/ids
touch $V/ids/by-root
chown 3:4 $V/ids/by-root
expect "owner there" "$(stat -c %u:%g $V/ids/by-root)" 3:4
expect "owner in truth" "$(stat -c %u:%g $W/by-root)" 1003:1004
expect "an owner in no range" "$(stat -c %u:%g $V/ids/text)" 65534:65534
! chown 50:50 $V/ids/by-root 2>/tmp/why || fail "an owner in no range can be set"

# Rights: this guest's root is user 1000 and nine more, and no root to the files of others.
denied() { # WHY PROGRAM…
    why=$1
    shift
    ! "$@" >/tmp/why 2>&1 || fail "$* is not refused"
    grep -q "$why" /tmp/why || fail "$*: $(cat /tmp/why)"
}
IDS=$V/ids
mkdir -m 700 $W/private
chmod 1777 $W
mkdir $IDS/mine
denied 'Operation not permitted' setfattr -n user.pmemfs.mmap_durable -v 1 $IDS/mine # durable_uid= does not name 1000
durable_file $W/mine/own 2M
chown 1000:1000 $W/mine/own
sleep 1.2 # until what was cached is looked at again
expect "a file of others, by read" "$(cat $IDS/text)" text
denied 'Permission denied' dd if=/dev/zero of=$IDS/text bs=1 count=1 conv=notrunc
denied 'Permission denied' truncate -s 1 $IDS/text
denied 'Permission denied' ls $IDS/private
denied 'Permission denied' rm $IDS/db/file
denied 'Operation not permitted' rm $IDS/text
denied 'Operation not permitted' mv $IDS/text $IDS/moved
denied 'Operation not permitted' chmod 777 $IDS/text
denied 'Operation not permitted' touch -d @1 $IDS/text
denied 'Operation not permitted' mknod $IDS/memory c 1 1
denied 'Permission denied' setfattr -n user.x -v 1 $IDS/text
chmod 000 $IDS/by-root
echo mine >$IDS/by-root
expect "its own, as root has it" "$(cat $IDS/by-root)" mine
guest_tool store done $IDS/mine/own 1
expect "a durable file of its own, stored to" "$(guest_tool verify $W/mine/own 1)" "kept 32768 of 32768"
expect "one of others, mapped" "$(guest_tool store done $IDS/db/file 9 2>&1 | grep -c 'Permission denied')" 1
expect "the same to be read" "$(guest_tool sum $IDS/db/file 2097152 2>&1 | grep -c 'cannot be mapped')" 1
expect "its bytes" "$(guest_tool verify $IDS/db/file 2)" "kept 32768 of 32768"
chmod 777 $W

virtiofs_mount rw one $V/one
touch $V/one/by-one
expect "owner in truth, squashed" "$(stat -c %u:%g $W/by-one)" 7:8

# cache: when what others change is seen. Measured: none at once, auto at once when opened and after a second by name, always by
# its own changes alone.
for tag in none auto always; do
    virtiofs_mount rw $tag $V/$tag
    echo before >$W/$tag
    expect "$tag: content" "$(cat $V/$tag/text) $(stat -c %s $V/$tag/$tag)" "text 7"
    printf 'and after\n' >>$W/$tag
    rm $W/text
    now=$(stat -c %s $V/$tag/$tag)
    gone=$(stat -c %s $V/$tag/text 2>/dev/null || echo gone)
    sleep 1.2
    later=$(stat -c %s $V/$tag/$tag)
    gone_later=$(stat -c %s $V/$tag/text 2>/dev/null || echo gone)
    say "$tag: size at once $now, later $later; a name that went: $gone, later $gone_later"
    case $tag in
        none) expect "$tag" "$now $gone $later $gone_later" "17 gone 17 gone" ;;
        auto) expect "$tag" "$later $gone_later" "17 gone" ;;
        always) expect "$tag" "$now $gone $later $gone_later" "7 5 7 5" ;;
    esac
    [ $tag = always ] || expect "$tag: content later" "$(cat $V/$tag/$tag)" "before
and after"
    echo text >$W/text
done
umount $V/always
virtiofs_mount rw always $V/always
expect "always: size after a remount" "$(stat -c %s $V/always/always)" 17
# Without a window there is no shared mapping of a durable file, and no weaker one.
setfattr -n user.pmemfs.mmap_durable -v 1 $W/by-one
expect "a shared mapping without a window" "$(guest_tool store done $V/none/db/file 1 2>&1 | grep -c 'No such device')" 1
expect "its bytes by read" "$(guest_tool verify $V/none/db/file 2)" "kept 32768 of 32768"
virtiofs_mount dax=inode bare $V/bare
expect "mapping by a device without one" "$(xattr mapping $V/bare/db/file)" refused
expect "a shared mapping there" "$(guest_tool store done $V/bare/db/file 1 2>&1 | grep -c 'No such device')" 1
expect "its bytes by read" "$(guest_tool verify $V/bare/db/file 2)" "kept 32768 of 32768"
umount $V/bare $V/none $V/auto $V/always $V/one $IDS $V/look $W
must_host stop
must_host fsck
pass
