# A file becomes durable and is mapped at once, whatever the guest remembers of it: the first open after the flag maps directly.
# media: directory file
# boots: 1
# ci: file/newest
# devices: pmem,window=16M kept,window=16M,cache=always asked,window=16M,cache=none

small() { dd if=/dev/zero of=$1 bs=64k count=1 2>/dev/null; } # so small that the guest would not write stores back at once
set_durable() { setfattr -n user.pmemfs.mmap_durable -v $1 $2; }
# RELEASE is on its way when close returns.
once_idle() {
    local tries=0
    until set_durable $1 $2 2>/tmp/why; do
        grep -q 'busy' /tmp/why || fail "durable=$1 on $2: $(cat /tmp/why)"
        tries=$((tries + 1))
        [ $tries -le 100 ] || fail "$2 stays busy"
    done
    [ $tries = 0 ] || say "busy $tries times"
}
maps() { # NAME LINES SEED: so many stores into a mapping are seen outside while it is there
    open_mapping $M/$1
    expect "stores" "$(ask store $3)" stored
    expect "of these outside" "$(host run guest_tool verify $D/$1 $3)" "kept $2 of 1024"
    close_mapping
}
for tag in pmem kept asked; do
    M=$V/$tag
    virtiofs_mount dax=inode $tag $M
    D=$tag.dir
    M=$M/$D
    mkdir $M
    say "-- $tag"

    small $M/known
    [ $tag = asked ] || maps known 0 1 # control; cache=none has no shared mappings
    cat $M/known >/dev/null
    once_idle 1 $M/known
    maps known 1024 2

    must_host run "sh -c 'head -c 65536 /dev/zero >$D/new'"
    set_durable 1 $M/new || fail "a file that was not looked at"
    maps new 1024 3

    # By others, a name that this guest knows.
    small $M/others
    stat $M/others >/dev/null
    once_idle 1 $M/known # until RELEASE is here
    tries=0
    until host run setfattr -n user.pmemfs.mmap_durable -v 1 $D/others >/tmp/why; do
        tries=$((tries + 1))
        [ $tries -le 100 ] || fail "$D/others: $(cat /tmp/why)"
    done
    maps others 1024 4

    # A descriptor of before.
    small $M/open
    exec 5<>$M/open
    if [ $tag = asked ]; then
        once_idle 1 $M/open
        maps open 1024 5
        dd bs=64 count=1 <&5 2>/dev/null >/tmp/line
        guest_tool print 5 64 | cmp - /tmp/line || fail "an old descriptor reads something else"
        echo written >&5
        expect "what it writes, by a new one" "$(dd if=$M/open bs=1 skip=64 count=7 2>/dev/null)" written
    else
        ! set_durable 1 $M/open 2>/tmp/why || fail "a file that this guest may have in its cache became durable"
        grep -q 'busy' /tmp/why || fail "open: $(cat /tmp/why)"
        echo written >&5
        exec 5>&-
        once_idle 1 $M/open
        maps open 1024 5
    fi
    exec 5>&-

    # And back.
    forget
    once_idle 0 $M/known
    expect "mapping without the promise" "$(xattr mapping $M/known)" $([ $tag = asked ] && echo refused || echo cached)
    [ $tag = asked ] || maps known 0 6
    umount $V/$tag
done
must_host stop
must_host fsck
pass
