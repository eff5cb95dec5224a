# Mapped ordinary files: with dax=always directly, with dax=inode by the guest's page cache (control). The same steps on both, and
# on the guest's tmpfs for a model, must read the same and leave the same bytes outside.
# media: directory file
# boots: 1
# devices: always,window=64M inode,window=64M
# programs: xfs_io sqlite3 cp

x() { # COMMANDS… of xfs_io on one line each; what they say is kept, errors and all
    local name=$1 words=
    shift
    for command in "$@"; do
        echo "$command"
    done | (cd $D && xfs_io $name) 2>&1 | sed '/ sec)$/d; /^wrote /d; /^read /d' >>$S
}
steps() { # D, and S for what is read
    : >$S
    # Holes, before and behind what is there.
    x "-f sparse" "truncate 6m" "pwrite -q -S 1 3m 4k" "mmap 0 6m" "mread -v 3145720 32" "mread -v 5m 16" "mwrite -S 2 4096 5000" \
        "mread -v 4090 16" "pread -q -v 4090 16" "pwrite -q -S 3 4100 8" "mread -v 4096 16" "msync -s" "fsync"
    # Growth under a mapping, by write and by truncate, over a place's end.
    x "-f grows" "pwrite -q -S 4 0 100k" "mmap 0 5m" "mwrite -S 5 0 4k" "pwrite -q -b 1m -S 6 100k 3m" "mread -v 2m 16" "mwrite -S 7 2097000 300" \
        "truncate 5m" "mread -v 5242864 16" "mwrite -S 8 5242800 80" "fsync"
    x "-f small" "pwrite -q -S 9 0 5000" "mmap 0 5000" "mwrite -S 10 4990 10" "mread -v 4980 20" "pread -q -v 4980 100" "msync -a"
    # Read only first: the place that is there cannot be written yet.
    x "-f first" "pwrite -q -b 1m -S 11 0 3m" "fsync"
    x "-r first" "mmap -r 0 3m" "mread -v 0 16" "open first" "mmap -rw 0 3m" "mwrite -S 12 100 100" "mread -v 90 16" "msync -s" "pread -q -v 190 16"
    # A hole where it is mapped.
    x "-f hole" "pwrite -q -b 1m -S 13 0 3m" "mmap 0 3m" "mwrite -S 14 4k 64k" "fpunch 8k 2m" "mread -v 8184 16" "mread -v 2105336 16" \
        "mwrite -S 15 9000 10" "mread -v 8998 16" "pread -q -v 8998 16"
    # Past the page cache.
    x "-f -d direct" "pwrite -q -b 64k -S 16 0 3m" "pwrite -q -S 17 4k 4k" "pread -q -v 8128 64" "pread -q -v 8k 512" "mmap 0 3m" \
        "mread -v 8184 16" "mwrite -S 18 8k 8k" "msync -s" "pread -q -v 12k 512"
    x "-f copied" "copy_range -s 100 -d 5000 -l 2200000 grows" "mmap 0 2m" "mread -v 4992 16" "mwrite -S 19 5000 8" "copy_range -s 0 -d 0 -l 6000 small" \
        "mread -v 4992 16"
    # A program of the mount runs, and cannot be written meanwhile.
    cp /bin/busybox $D/
    $D/busybox echo runs >>$S
    $D/busybox sleep 100 &
    local sleeper=$!
    until [ "$(readlink /proc/$sleeper/exe)" = $D/busybox ]; do sleep 0.1; done
    (echo x >>$D/busybox) 2>/dev/null || echo refused >>$S
    kill $sleeper
    sqlite3 $D/db "PRAGMA journal_mode=WAL; PRAGMA mmap_size=16777216; CREATE TABLE t(a INTEGER PRIMARY KEY, b BLOB);
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<2000) INSERT INTO t SELECT i, zeroblob(500) FROM n;
        DELETE FROM t WHERE a%3=0; PRAGMA wal_checkpoint(TRUNCATE); VACUUM; PRAGMA integrity_check; SELECT count(*) FROM t;" >>$S 2>&1
    # Made anew in its place, which the guest has mapped still.
    for text in one two three; do
        echo $text >$D/anew
        cat $D/anew >>$S
    done
    # Names go and come over what is mapped.
    for how in rm mv; do
        dd if=/dev/zero of=$D/under bs=64k count=16 2>/dev/null
        echo other >$D/over
        open_mapping $D/under
        ask store 1 >>$S
        [ $how = mv ] && mv $D/over $D/under || rm $D/under
        ask verify 1 >>$S
        ask store 2 >>$S
        ask verify 2 >>$S
        close_mapping
        cat $D/* | wc -c >>$S
    done
}

sums() { (cd $1 && sha256sum *); }

D=/tmp/model
mkdir $D
S=/tmp/model.read
steps
! grep -i 'invalid\|not supp\|error\|denied' $S || fail "the steps do not work on tmpfs"
sums $D >/tmp/model.sums
say "model: $(wc -l <$S) lines read, $(ls $D | wc -l) files"
for way in always inode; do
    virtiofs_mount dax=$way $way $V/$way
    D=$V/$way/of-$way
    mkdir $D
    S=/tmp/read
    steps
    cmp $S /tmp/model.read || { diff /tmp/model.read $S; fail "with dax=$way something else is read"; }
    sync
    sums $D >/tmp/sums
    cmp /tmp/model.sums /tmp/sums || { diff /tmp/model.sums /tmp/sums; fail "with dax=$way other bytes are in the files"; }
    expect "bytes, outside" "$(host run "sh -c 'cd of-$way && sha256sum * | sha256sum'")" "$(sha256sum </tmp/model.sums)"
    expect "a database, outside" "$(host run sqlite3 of-$way/db "'PRAGMA integrity_check; SELECT count(*) FROM t'")" "ok; 1334"
done

# Which of them is the file itself. A kernel that holds FUSE to a strict limit of dirty pages (6.12 does) writes some back while
# they are stored into, which the control would take for stores into the file.
echo 0 >/sys/class/bdi/$(awk -v place=$V/inode '$5 == place { print $3 }' /proc/self/mountinfo)/strict_limit
for way in always inode; do
    [ $way = always ] && lines=1024 kept=78 || lines=0 kept=0
    D=$V/$way/of-$way
    dd if=/dev/zero of=$D/stored bs=64k count=1 2>/dev/null
    dd if=/dev/zero of=$D/5000 bs=5000 count=1 2>/dev/null
    sync
    open_mapping $D/stored
    expect stores "$(ask store 3)" stored
    expect "of these outside" "$(host run guest_tool verify of-$way/stored 3)" "kept $lines of 1024"
    close_mapping
    open_mapping $D/5000
    expect stores "$(ask store 3)" stored
    expect "of these outside" "$(host run guest_tool verify of-$way/5000 3)" "kept $kept of 78"
    close_mapping
done

umount $V/always
umount $V/inode
must_host stop
must_host fsck
pass
