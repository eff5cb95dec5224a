// The central property: whatever happens, no byte of a durable file moves. Random operations,
// compaction and power cuts; after each step the extents and the bytes of every durable file are as
// they were, on directory regions its host file too.
#pragma once

#include <map>
#include <random>

#include "core_rig.hpp"
#include "support/extent_text.hpp"
#include "window_model.hpp"

namespace pmemfs::test {

class PropertyRun {
 public:
  using Data = CoreRig::Data;

  // `windows`: machines map files, too; on extents.
  PropertyRun(std::uint64_t seed, Data data, bool windows = false)
      : data_(data), windows_(windows), rng_(seed), rig_(data) {
    if (data_ == Data::kBacking) {
      rig_.backing().tell_extents();
    }
  }

  // False when a durable file was found moved or changed, or what is mapped moved or another's.
  // `machines_alone`: what became of durable files is not asked.
  bool run(int steps, bool machines_alone = false) {
    for (int i = 0; i < steps; i++) {
      if (rng_() % 8 == 0) {
        cut_power_within_a_step();
      } else {
        step();
      }
      if (!(machines_alone ? machines_.as_mapped() : as_promised())) {
        return false;
      }
    }
    return true;
  }
  [[nodiscard]] std::uint64_t durable_files() const { return durable_.size(); }
  [[nodiscard]] std::uint64_t compactions() const { return compactions_; }
  [[nodiscard]] std::uint64_t files_moved() const { return files_moved_; }
  [[nodiscard]] int cuts() const { return cuts_; }
  [[nodiscard]] int evacuated() const { return evacuated_; }
  [[nodiscard]] int shrunk() const { return shrunk_; }
  [[nodiscard]] int mapped() const { return machines_.made(); }

 private:
  // What was promised: where the file lies, and its bytes.
  struct Promise {
    std::vector<std::string> blocks;  // as placement_of()
    std::string bytes;
  };

  static constexpr std::uint64_t kMostEvacuated = 1U << 20U;
  static constexpr std::uint64_t kSmallest = 16U << 20U;
  static constexpr std::uint64_t kLargest = 44U << 20U;

  std::uint64_t below(std::uint64_t n) { return rng_() % n; }
  // Few files on a directory region, so that what is written in turns falls into pieces, and where
  // machines map them, so that the same one is met again.
  std::string name() {
    return "f" + std::to_string(below(data_ == Data::kBacking ? 4 : windows_ ? 6 : 20));
  }

  void step() {
    if (windows_ && below(4) == 0) {
      machines_.step(rng_, durable_.empty() || below(2) == 0 ? name() : durable_.begin()->first);
      return;
    }
    switch (below(data_ == Data::kBacking ? 9 : 11)) {
      case 0:
      case 1:
      case 2:
        write_somewhere(name(), below(1500) * 1024, 1 + below(200'000));
        break;
      case 3:
        resize(name(), below(3'000'000));
        break;
      case 4:
        remove(name());
        break;
      case 5:
        make_durable("d" + std::to_string(below(5)), below(3'000'000));
        break;
      case 6:
        grow_durable("d" + std::to_string(below(5)));
        break;
      case 7:
        compact();
        break;
      case 8:
        defrag();
        break;
      case 9:
        evacuate_somewhere();
        break;
      default:
        change_size();
    }
  }

  void defrag() {
    const auto moved = rig_.fs().defrag(InodeNo(), {});
    REQUIRE(moved.ok());
    files_moved_ += moved->files;
  }

  // The step may succeed, or find the region full.
  void write_somewhere(const std::string& file, std::uint64_t off, std::uint64_t n) {
    auto opened = rig_.fs().create(kRoot, kRootInode, file, 0644, O_RDWR);
    InodeNo ino;
    HandleId handle = 0;
    if (opened) {
      ino = opened->attributes.ino;
      handle = opened->opened.handle;
    } else if (const auto found = rig_.fs().lookup(kRootInode, file)) {
      ino = found->ino;
      const auto again = rig_.fs().open_file(ino, O_RDWR, false);
      REQUIRE(again.ok());
      handle = again->handle;
    } else {
      return;
    }
    const std::string content(n, static_cast<char>('a' + below(26)));
    const auto written = rig_.fs().write(handle, off, bytes(content), false, false);
    CHECK((written.ok() || written.code() == ENOSPC));
    rig_.fs().release(handle);
    rig_.fs().forget(ino, 1);
  }

  void resize(const std::string& file, std::uint64_t size) {
    if (!rig_.exists(file)) {
      return;
    }
    AttributeChange change;
    change.size = size;
    const auto done = rig_.fs().setattr(kRoot, rig_.stat(file).ino, change);
    CHECK((done.ok() || done.code() == ENOSPC || done.code() == ETXTBSY));
  }

  void remove(const std::string& file) {
    const Status gone = rig_.fs().unlink(kRootInode, file);
    CHECK((gone.ok() || gone.code() == ENOENT));
  }

  void make_durable(const std::string& file, std::uint64_t size) {
    if (durable_.contains(file)) {
      return;
    }
    write_somewhere(file, size, 5000);
    if (!rig_.exists(file)) {
      return;
    }
    const int code = rig_.set_durable(file);
    CHECK((code == 0 || code == ENOSPC || (windows_ && code == EBUSY)));
    if (code == 0) {
      promise(file);
    }
  }

  void grow_durable(const std::string& file) {
    if (!durable_.contains(file) || rig_.stat(file).size > 4'000'000) {
      return;
    }
    resize(file, rig_.stat(file).size + below(2'500'000));
    promise(file);
  }

  void compact() {
    if (data_ == Data::kBacking) {
      REQUIRE(rig_.fs().sync().ok());
      return;
    }
    const std::uint64_t free = rig_.fs().status().region_frames_free;
    const auto done = rig_.fs().make_frames(free + 1 + below(6));
    REQUIRE(done.ok());
    compactions_ += done->bytes > 0 ? 1U : 0U;
  }

  // Overlaps with what is evacuated already are refused; a restart ends those.
  void evacuate_somewhere() {
    const std::uint64_t size = rig_.fs().status().region_bytes;
    const std::uint64_t off = below(size);
    const auto done = rig_.fs().evacuate(off, 1 + below(std::min(size - off, kMostEvacuated)), {});
    CHECK((done.ok() || done.code() == EBUSY));
    evacuated_ += done ? 1 : 0;
  }

  void change_size() {
    const std::uint64_t size = rig_.fs().status().region_bytes;
    const std::uint64_t other = (kSmallest + below(kLargest - kSmallest)) / 4096 * 4096;
    if (other > size) {
      CHECK(rig_.fs().grow(other).ok());
      return;
    }
    const auto done = rig_.fs().shrink_region(other, {});
    CHECK((done.ok() || done.code() == EINVAL || done.code() == ENOSPC));
    CHECK((!done || done->left.empty() == (rig_.fs().status().region_bytes == other)));
    shrunk_ += done && done->left.empty() ? 1 : 0;
  }

  void cut_power_within_a_step() {
    auto countdown = static_cast<int>(below(windows_ ? 10 : 40));
    RandomChooser chooser(rng_());
    std::unique_ptr<SimRegion> left;
    std::unique_ptr<SimBackingDir> host;
    watch_steps([&] {
      if (countdown-- == 0) {
        left = rig_.region().crash(chooser);
        host = data_ == Data::kBacking ? rig_.backing().crash(chooser) : nullptr;
      }
    });
    const std::map<std::string, Promise> before = durable_;
    const WindowModel::Mapped mapped = machines_.mapped();
    step();
    watch_steps({});
    if (!left) {
      return;
    }
    cuts_++;
    durable_ = before;  // what was promised before is what must be found
    rig_.restart_from(std::move(left), std::move(host));
    CHECK(rig_.report().damaged_structures == 0);
    machines_.power_was_cut(mapped);
    adopt();
  }

  // Calls back at each fence and before each call of the host.
  void watch_steps(const std::function<void()>& f) {
    rig_.region().on_fence(f ? [f](SimRegion&) { f(); } : std::function<void(SimRegion&)>());
    if (data_ == Data::kBacking) {
      rig_.backing().on_call(f ? [f](const HostCall&) { f(); }
                               : std::function<void(const HostCall&)>());
    }
  }

  // What the step under way had made durable when the power went.
  void adopt() {
    for (int i = 0; i < 5; i++) {
      const std::string file = "d" + std::to_string(i);
      if (!durable_.contains(file) && rig_.exists(file) && rig_.stat(file).durable) {
        promise(file);
      }
    }
  }

  void promise(const std::string& file) {
    Promise& p = durable_[file];
    Promise now{placement_of(file), content_of(file)};
    if (extends(now, p)) {
      p = std::move(now);
    } else {
      broken_ = true;
    }
  }

  static bool extends(const Promise& now, const Promise& before) {
    return now.bytes.size() >= before.bytes.size() && now.blocks.size() >= before.blocks.size() &&
           std::equal(before.blocks.begin(), before.blocks.end(), now.blocks.begin()) &&
           now.bytes.compare(0, before.bytes.size(), before.bytes) == 0;
  }

  bool as_promised() {
    for (const auto& [file, p] : durable_) {
      broken_ =
          broken_ || !rig_.exists(file) || !extends({placement_of(file), content_of(file)}, p);
    }
    return !broken_ && machines_.as_mapped();
  }

  // The host file's name, where there is one, then the place of each block.
  std::vector<std::string> placement_of(const std::string& file) {
    const InodeNo ino = rig_.stat(file).ino;
    std::vector<std::string> blocks;
    if (data_ == Data::kBacking) {
      for (const BackingName& host : rig_.host_files(ino)) {
        blocks.push_back(std::to_string(host.ino.value) + "." + std::to_string(host.gen));
      }
    }
    const auto text = rig_.fs().getxattr(ino, "user.pmemfs.extents");
    REQUIRE(text.ok());
    for (const ExtentLine& line :
         parse_extents({reinterpret_cast<const char*>(text->data()), text->size()})) {
      for (std::uint64_t i = 0; i < line.length; i += 4096) {
        blocks.push_back(std::to_string(line.offset + i) + "@" + std::to_string(line.at + i));
      }
    }
    return blocks;
  }

  std::string content_of(const std::string& file) {
    const auto opened = rig_.fs().open_file(rig_.stat(file).ino, O_RDONLY, false);
    REQUIRE(opened.ok());
    std::string text;
    for (;;) {
      const std::string more = rig_.read_all(opened->handle, text.size());
      if (more.empty()) {
        break;
      }
      text += more;
    }
    rig_.fs().release(opened->handle);
    return text;
  }

  Data data_;
  bool windows_;
  std::mt19937_64 rng_;
  CoreRig rig_;
  WindowModel machines_{rig_};
  std::map<std::string, Promise> durable_;
  std::uint64_t compactions_ = 0;
  std::uint64_t files_moved_ = 0;
  int cuts_ = 0;
  int evacuated_ = 0;
  int shrunk_ = 0;
  bool broken_ = false;
};

}  // namespace pmemfs::test
