// A filesystem with something of everything in it, whose space ends where a test wants it to, and
// the operations that are tried on it.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core_rig.hpp"
#include "core_tree.hpp"

namespace pmemfs::test {

class FaultWorld : public CoreRig {
 public:
  // Outcomes of operations beside errno codes.
  static constexpr int kShort = -1;  // less was written than was to be

  // The next name in "full" takes a block, and the next inode a chunk of the inode table.
  explicit FaultWorld(Data data);

  void open(std::string_view name, int flags = O_RDWR);  // "": nothing
  [[nodiscard]] HandleId handle() const { return handle_; }
  // Blocks that nobody uses, also those that evacuation keeps from being used, and chunks of the
  // inode table, which never shrinks.
  [[nodiscard]] std::uint64_t unused_blocks();
  // Leaves so many blocks of the region: in one run, or no two side by side.
  void starve(std::uint64_t blocks, bool scattered);
  void feed();  // gives them back

  // With everything closed: the next mount, after the death of the daemon, finds the same tree and
  // as much free space by looking at what is in use.
  void check_sound();

  // An inode of the world, without asking the host.
  [[nodiscard]] InodeNo ino(const std::string& name) const { return inodes_.at(name); }

  // Short forms that return errno codes.
  int write_at(std::uint64_t off, std::string_view content);
  int resize(const std::string& name, std::uint64_t size);
  int set(const std::string& name, std::string_view attribute, std::string_view value);
  int set_mode(const std::string& name, std::uint32_t mode);

 private:
  FaultWorld(CoreRig& first, Data data);

  HandleId handle_ = 0;
  bool opened_ = false;
  std::vector<BlockRun> taken_;
  std::map<std::string, InodeNo> inodes_;
};

struct FaultScenario {
  const char* name;
  const char* open;  // the file that is open meanwhile; "": none
  std::function<int(FaultWorld&)> act;
  bool names_only = false;  // what fails has not happened, whatever it was that failed
  bool undone = false;      // the same for what has data
  // What may be left of it, too, when a call of the host fails.
  std::function<int(FaultWorld&)> part = {};
};

// Every operation of Filesystem that may need space or the host.
const std::vector<FaultScenario>& fault_scenarios();

}  // namespace pmemfs::test
