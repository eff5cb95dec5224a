#include "crash/operation.hpp"

#include <linux/falloc.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <stdexcept>

#include "support/acl_text.hpp"

namespace pmemfs::crash {
namespace {

constexpr std::uint64_t kBlock = 4096;
constexpr std::uint64_t kMiB = 1ULL << 20U;
constexpr const char* kDefaultAcl = "u::rwx u:1001:rw- g::r-x m::rwx o::---";

void must(int code, const char* what) {
  if (code != 0) {
    throw std::runtime_error(std::string("the start cannot be made: ") + what);
  }
}

using List = std::vector<Operation>;

void add_creation(List& list) {
  list.push_back({"create n", [](World& w) {
                    return w.create("n");
                  }});
  list.push_back({"create d/n", [](World& w) {
                    return w.create("d/n", 0666);
                  }});
  list.push_back({"mkdir n", [](World& w) {
                    return w.mkdir("n");
                  }});
  list.push_back({"mkdir d/n", [](World& w) {
                    return w.mkdir("d/n");
                  }});
  list.push_back({"mkfifo n", [](World& w) {
                    return w.mkfifo("n");
                  }});
  list.push_back({"symlink n", [](World& w) {
                    return w.symlink("a", "n");
                  }});
  list.push_back({"symlink long n", [](World& w) {
                    return w.symlink(std::string(3000, 't'), "n");
                  }});
  list.push_back({"link a n", [](World& w) {
                    return w.link("a", "n");
                  }});
  list.push_back({"link a d/n", [](World& w) {
                    return w.link("a", "d/n");
                  }});
  list.push_back({"link p n", [](World& w) {
                    return w.link("p", "n");
                  }});
}

void add_removal(List& list) {
  list.push_back({"unlink a", [](World& w) {
                    return w.unlink("a");
                  }});
  list.push_back({"unlink b", [](World& w) {
                    return w.unlink("b");
                  }});
  list.push_back({"unlink n", [](World& w) {
                    return w.unlink("n");
                  }});
  list.push_back({"unlink p", [](World& w) {
                    return w.unlink("p");
                  }});
  list.push_back({"unlink l", [](World& w) {
                    return w.unlink("l");
                  }});
  list.push_back({"unlink d/c", [](World& w) {
                    return w.unlink("d/c");
                  }});
  list.push_back({"unlink open a", [](World& w) {
                    return w.unlink_while_open("a");
                  }});
  list.push_back({"unlink open p", [](World& w) {
                    return w.unlink_while_open("p");
                  }});
  list.push_back({"rmdir e", [](World& w) {
                    return w.rmdir("e");
                  }});
  list.push_back({"rmdir n", [](World& w) {
                    return w.rmdir("n");
                  }});
}

void add_renames(List& list) {
  const auto rename = [&](const char* from, const char* to, unsigned flags, const char* word) {
    list.push_back({std::string("rename ") + word + from + " " + to, [=](World& w) {
                      return w.rename(from, to, flags);
                    }});
  };
  rename("a", "n", 0, "");
  rename("a", "b", 0, "");
  rename("a", "p", 0, "");
  rename("n", "a", 0, "");
  rename("n", "p", 0, "");
  rename("p", "a", 0, "");
  rename("a", "d/n", 0, "");
  rename("a", "d/c", 0, "");
  rename("d/c", "a", 0, "");
  rename("d", "n", 0, "");
  rename("d", "e", 0, "");
  rename("d", "e/n", 0, "");
  rename("e", "d/n", 0, "");
  rename("l", "n", 0, "");
  rename("a", "n", RENAME_NOREPLACE, "noreplace ");
  rename("a", "b", RENAME_EXCHANGE, "exchange ");
  rename("a", "d", RENAME_EXCHANGE, "exchange ");
  rename("a", "d/c", RENAME_EXCHANGE, "exchange ");
  rename("n", "a", RENAME_EXCHANGE, "exchange ");
  rename("d", "e", RENAME_EXCHANGE, "exchange ");
  rename("a", "n", RENAME_WHITEOUT, "whiteout ");
  rename("a", "b", RENAME_WHITEOUT, "whiteout ");
}

void add_attributes(List& list) {
  list.push_back({"chmod a", [](World& w) {
                    return w.chmod("a", 0600);
                  }});
  list.push_back({"chmod d", [](World& w) {
                    return w.chmod("d", 0700);
                  }});
  list.push_back({"chown a", [](World& w) {
                    return w.chown("a", 1001, 1002);
                  }});
  list.push_back({"times a", [](World& w) {
                    return w.set_times("a", 1000);
                  }});
  list.push_back({"times d", [](World& w) {
                    return w.set_times("d", 1000);
                  }});
  list.push_back({"setxattr a", [](World& w) {
                    return w.set_xattr("a", "user.x", "small", 0);
                  }});
  list.push_back({"setxattr large a", [](World& w) {
                    return w.set_xattr("a", "user.large", std::string(9000, 'v'), 0);
                  }});
  list.push_back({"replace xattr b", [](World& w) {
                    return w.set_xattr("b", "user.old", std::string(2000, 'w'), XATTR_REPLACE);
                  }});
  list.push_back({"removexattr b", [](World& w) {
                    return w.remove_xattr("b", "user.old");
                  }});
  list.push_back({"setxattr d", [](World& w) {
                    return w.set_xattr("d", "user.x", "small", 0);
                  }});
  list.push_back({"acl a", [](World& w) {
                    return w.set_xattr("a", "system.posix_acl_access",
                                       test::acl("u::rwx u:1001:rw- g::r-- m::rwx o::---"), 0);
                  }});
  list.push_back({"default acl e", [](World& w) {
                    return w.set_xattr("e", "system.posix_acl_default", test::acl(kDefaultAcl), 0);
                  }});
  list.push_back({"no default acl d", [](World& w) {
                    return w.remove_xattr("d", "system.posix_acl_default");
                  }});
}

void add_data(List& list) {
  list.push_back({"write a", [](World& w) {
                    return w.write("a", 100, 5000, 'K');
                  }});
  list.push_back({"write n", [](World& w) {
                    return w.write("n", 0, 6000, 'L');
                  }});
  list.push_back({"write hole s", [](World& w) {
                    return w.write("s", 6000, 3000, 'M');
                  }});
  list.push_back({"write beyond a", [](World& w) {
                    return w.write("a", 30'000, 100, 'N');
                  }});
  list.push_back({"append a", [](World& w) {
                    return w.append("a", 7000, 'O');
                  }});
  list.push_back({"append b", [](World& w) {
                    return w.append("b", 10, 'P');
                  }});
  list.push_back({"append n", [](World& w) {
                    return w.append("n", 3000, 'Q');
                  }});
  list.push_back({"truncate a 0", [](World& w) {
                    return w.truncate("a", 0);
                  }});
  list.push_back({"truncate a 3000", [](World& w) {
                    return w.truncate("a", 3000);
                  }});
  list.push_back({"truncate a 20000", [](World& w) {
                    return w.truncate("a", 20'000);
                  }});
  list.push_back({"truncate s 3000", [](World& w) {
                    return w.truncate("s", 3000);
                  }});
  list.push_back({"open truncated a", [](World& w) {
                    return w.open_truncated("a");
                  }});
  list.push_back({"copy a b", [](World& w) {
                    return w.copy("a", "b", 9000);
                  }});
  list.push_back({"copy p a", [](World& w) {
                    return w.copy("p", "a", 9000);
                  }});
  list.push_back({"fsync a", [](World& w) { return w.fsync("a"); }, {"a"}});
  list.push_back({"fsync n", [](World& w) { return w.fsync("n"); }, {"n"}});
  list.push_back({"fsync d", [](World& w) {
                    return w.fsync_dir("d");
                  }});
  list.push_back({"sync", [](World& w) { return w.sync(); }, {"*"}});
}

void add_allocation(List& list) {
  const auto allocate = [&](const char* word, const char* path, int mode, std::uint64_t off,
                            std::uint64_t length) {
    list.push_back({std::string(word) + " " + path, [=](World& w) {
                      return w.allocate(path, mode, off, length);
                    }});
    list.back().gradual = true;
  };
  allocate("allocate", "a", 0, 8192, 30'000);
  allocate("allocate", "s", 0, 0, 20'000);
  allocate("allocate keeping size", "a", FALLOC_FL_KEEP_SIZE, 0, 40'000);
  allocate("punch", "a", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1000, 8000);
  allocate("zero", "a", FALLOC_FL_ZERO_RANGE, 3000, 9000);
  allocate("zero keeping size", "s", FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 0, 30'000);
}

void add_durable(List& list) {
  list.push_back({"set durable a", [](World& w) { return w.set_durable("a", "1"); }, {"a"}});
  list.push_back({"set durable n", [](World& w) { return w.set_durable("n", "1"); }, {"n"}});
  list.push_back({"set durable s", [](World& w) { return w.set_durable("s", "1"); }, {"s"}});
  list.push_back({"set durable e", [](World& w) {
                    return w.set_durable("e", "1");
                  }});
  list.push_back({"create e/n", [](World& w) {
                    return w.create("e/n");
                  }});
  list.push_back({"clear durable p", [](World& w) {
                    return w.set_durable("p", "0");
                  }});
  list.push_back({"write p", [](World& w) {
                    return w.write("p", 4000, 4000, 'R');
                  }});
  list.push_back({"append p", [](World& w) {
                    return w.append("p", 9000, 'S');
                  }});
  list.push_back({"write beyond p", [](World& w) {
                    return w.write("p", 40'000, 500, 'T');
                  }});
  list.push_back({"truncate p up", [](World& w) {
                    return w.truncate("p", 50'000);
                  }});
  list.push_back({"truncate p down", [](World& w) {
                    return w.truncate("p", 100);
                  }});
  list.push_back({"allocate p", [](World& w) {
                    return w.allocate("p", 0, 0, 35'000);
                  }});
  list.push_back({"zero p", [](World& w) {
                    return w.allocate("p", FALLOC_FL_ZERO_RANGE, 1000, 8000);
                  }});
  list.push_back({"store p", [](World& w) {
                    return w.store("p", 3000, 6000, 'U');
                  }});
  list.back().stores.push_back({"p", 3000, 6000});
  list.push_back({"store a", [](World& w) {
                    return w.store("a", 1000, 6000, 'V');
                  }});
  list.back().stores.push_back({"a", 1000, 6000});
}

void add_moves(List& list, Placement placement) {
  list.push_back({"defrag", [](World& w) {
                    return w.defrag("");
                  }});
  list.push_back({"defrag a", [](World& w) {
                    return w.defrag("a");
                  }});
  if (placement == Placement::kBacking) {
    return;
  }
  list.push_back({"make a frame", [](World& w) {
                    return w.make_frames(1);
                  }});
  list.push_back({"evacuate", [](World& w) {
                    return w.evacuate(257 * kBlock, 200 * kBlock);
                  }});
  list.push_back({"grow region", [](World& w) {
                    return w.resize_region(20 * kMiB);
                  }});
  list.push_back({"shrink region", [](World& w) {
                    return w.resize_region(16 * kMiB);
                  }});
}

}  // namespace

Media make_start(Placement placement) {
  World w(placement);
  for (const char* file : {"a", "b", "s", "p"}) {
    must(w.create(file), file);
  }
  must(w.write("b", 0, 4000, 'B'), "b");  // b's blocks lie between a's: a has pieces to defragment
  must(w.write("a", 0, 4096, 'A'), "a");
  must(w.append("b", 1000, 'B'), "b");
  must(w.append("a", 5904, 'A'), "a");
  must(w.set_xattr("b", "user.old", "value", 0), "xattr");
  must(w.mkdir("d"), "d");
  must(w.set_xattr("d", "system.posix_acl_default", test::acl(kDefaultAcl), 0), "default ACL");
  must(w.create("d/c"), "d/c");
  must(w.write("d/c", 0, 100, 'C'), "d/c");
  must(w.link("b", "d/b2"), "d/b2");
  must(w.mkdir("e"), "e");
  must(w.symlink("d/c", "l"), "l");
  must(w.write("s", 0, 4096, 'D'), "s");
  must(w.write("s", 12'288, 2000, 'E'), "s");
  must(w.write("p", 0, 12'288, 'F'), "p");
  must(w.set_durable("p", "1"), "p durable");
  return w.unmount();
}

std::vector<Operation> operations(Placement placement) {
  List list;
  add_creation(list);
  add_removal(list);
  add_renames(list);
  add_attributes(list);
  add_data(list);
  add_allocation(list);
  add_durable(list);
  add_moves(list, placement);
  return list;
}

const Operation& find_operation(const std::vector<Operation>& all, const std::string& name) {
  const auto at =
      std::find_if(all.begin(), all.end(), [&](const Operation& o) { return o.name == name; });
  if (at == all.end()) {
    throw std::out_of_range("no operation '" + name + "'");
  }
  return *at;
}

}  // namespace pmemfs::crash
