// What a commit and a replay do when memory fails: real SIGBUS, see MemoryRegion::lose.
#include <cstring>
#include <thread>

#include "base/log.hpp"
#include "base/media_faults.hpp"
#include "harness/catch.hpp"
#include "journal/journal.hpp"
#include "support/memory_region.hpp"

using namespace pmemfs;
using journal::Journal;
using journal::Transaction;
using test::MemoryRegion;

namespace {

constexpr journal::Geometry kGeometry{BlockNo(1), 4, 2};
constexpr ByteOff kGood{100 * 4096};
constexpr ByteOff kBad{200 * 4096};

struct Rig {
  Rig() {
    base::log::init_callback([](base::log::Level, const std::string&) {});
    journal::format_lanes(*memory, kGeometry);
  }
  // As the next mount finds it.
  journal::ReplayReport replay_anew() {
    memory.map_again();
    return replay();
  }
  [[nodiscard]] journal::ReplayReport replay() const {
    const auto report = journal::replay(*memory, kGeometry);
    REQUIRE(report);
    return *report;
  }
  [[nodiscard]] std::uint64_t value_at(ByteOff off) const {
    std::uint64_t value = 0;
    std::memcpy(&value, memory->data() + off.value, sizeof(value));
    return value;
  }
  static ByteOff lane(std::uint32_t i) {
    return ByteOff((kGeometry.start.value + std::uint64_t{i} * kGeometry.lane_blocks) * 4096);
  }
  // The lane in use, or -1.
  [[nodiscard]] int lane_in_use() const {
    int found = -1;
    for (std::uint32_t i = 0; i < kGeometry.lanes; ++i) {
      found = value_at(lane(i)) != 0 ? static_cast<int>(i) : found;
    }
    return found;
  }

  MemoryRegion memory{1U << 20U};
};

Status put(Journal& journal, ByteOff first, ByteOff second, std::uint64_t value) {
  Transaction tx(journal);
  tx.write(first, &value, sizeof(value));
  tx.write(second, &value, sizeof(value));
  return tx.commit();
}

}  // namespace

TEST_CASE("a media error in the log: EIO, nothing is changed, and other lanes serve") {
  Rig rig;
  Journal journal(*rig.memory, kGeometry);
  for (std::uint32_t i = 0; i < kGeometry.lanes; ++i) {
    rig.memory.lose(Rig::lane(i));
  }
  for (std::uint32_t i = 0; i < kGeometry.lanes; ++i) {
    CHECK(put(journal, kGood, kBad, 7).code() == EIO);
    CHECK(rig.memory->media_errors() == i + 1);
  }
  CHECK(put(journal, kGood, kBad, 7).code() == EIO);  // no lane is left
  CHECK_FALSE(journal.stopped());
  CHECK(rig.value_at(kGood) == 0);
  CHECK(rig.replay_anew().replayed == 0);
  CHECK(rig.value_at(kGood) == 0);
}

TEST_CASE("a media error in one lane: at most one commit fails") {
  Rig rig;
  Journal journal(*rig.memory, kGeometry);
  const auto lost = GENERATE(0U, 1U, 2U, 3U);
  const bool header = GENERATE(true, false);
  rig.memory.lose(ByteOff(Rig::lane(lost).value + (header ? 0 : 4096)));
  const std::vector<std::byte> large(5000);
  int failed = 0;
  for (std::uint64_t i = 1; i <= 8; ++i) {
    Transaction tx(journal);
    tx.write(ByteOff(300 * 512), large.data(), large.size());  // into the lane's second page
    tx.write(kGood, &i, sizeof(i));
    failed += tx.commit() ? 0 : 1;
  }
  CHECK(failed <= 1);
  CHECK(rig.value_at(kGood) == 8);
  CHECK_FALSE(journal.stopped());
  rig.memory.map_again();
  CHECK(rig.lane_in_use() == -1);
}

TEST_CASE("a media error where a commit is applied: read-only, and the next mount has it whole") {
  Rig rig;
  {
    Journal journal(*rig.memory, kGeometry);
    REQUIRE(put(journal, kGood, kBad, 1));
    rig.memory.lose(kBad);
    CHECK(put(journal, kGood, kBad, 2).code() == EIO);
    CHECK(journal.stopped());
    CHECK(put(journal, kGood, ByteOff(kGood.value + 64), 3).code() == EROFS);
  }
  rig.memory.map_again();
  CHECK(rig.value_at(kBad) == 1);
  const auto report = rig.replay();
  CHECK(report.replayed == 1);
  CHECK_FALSE(report.damaged);
  CHECK(rig.value_at(kGood) == 2);
  CHECK(rig.value_at(kBad) == 2);
  CHECK(rig.replay().replayed == 0);
}

TEST_CASE("a commit to a page that is known to be lost is refused, and only that") {
  Rig rig;
  Journal journal(*rig.memory, kGeometry);
  rig.memory.lose(kBad);
  CHECK(rig.value_at(kBad) == 0);
  CHECK(rig.memory->lost(kBad, 8));
  CHECK(put(journal, kGood, kBad, 2).code() == EIO);
  CHECK(rig.value_at(kGood) == 0);
  CHECK_FALSE(journal.stopped());
  CHECK(put(journal, kGood, ByteOff(kGood.value + 64), 3));
  CHECK(rig.value_at(kGood) == 3);
}

TEST_CASE("what was not logged counts too: fresh bytes that are lost end the commit") {
  Rig rig;
  Journal journal(*rig.memory, kGeometry);
  const std::uint64_t value = 5;
  const auto commit_fresh = [&](const auto& meanwhile) {
    Transaction tx(journal);
    tx.write_fresh(kBad, &value, sizeof(value));
    meanwhile();
    tx.write(kGood, &value, sizeof(value));
    return tx.commit().code();
  };
  SECTION("the store meets the error") {
    rig.memory.lose(kBad);
    CHECK(commit_fresh([] {}) == EIO);
  }
  SECTION("the page is lost already") {
    rig.memory.lose(kBad);
    std::thread([&] { CHECK(rig.value_at(kBad) == 0); }).join();
    CHECK(commit_fresh([] {}) == EIO);
  }
  SECTION("another thread meets it after the store") {
    CHECK(commit_fresh([&] {
            rig.memory.lose(kBad);
            std::thread([&] { CHECK(rig.value_at(kBad) == 0); }).join();
          }) == EIO);
  }
  CHECK(rig.value_at(kGood) == 0);
  CHECK_FALSE(journal.stopped());
  Transaction tx(journal);
  tx.write(kGood, &value, sizeof(value));
  CHECK(tx.commit());
}

TEST_CASE("a change whose thread met a media error is refused, the next one is not") {
  Rig rig;
  Journal journal(*rig.memory, kGeometry);
  const std::uint64_t value = 5;
  {
    Transaction tx(journal);
    tx.write(kGood, &value, sizeof(value));
    base::note_media_error();
    CHECK(tx.commit().code() == EIO);
  }
  CHECK(rig.value_at(kGood) == 0);
  CHECK(put(journal, kGood, kBad, 6));
}

TEST_CASE("replay: a lane that cannot be read is damage, the others are replayed") {
  Rig rig;
  {
    Journal journal(*rig.memory, kGeometry);
    rig.memory.lose(kBad);
    CHECK(put(journal, kGood, kBad, 2).code() == EIO);  // its lane stays in use
  }
  rig.memory.map_again();
  const int used = rig.lane_in_use();
  REQUIRE(used >= 0);
  const bool same = GENERATE(false, true);
  rig.memory.lose(Rig::lane(static_cast<std::uint32_t>(same ? used : (used + 1) % 4)));
  const auto report = rig.replay();
  CHECK(report.damaged);
  CHECK(report.replayed == (same ? 0 : 1));
  CHECK(rig.value_at(kBad) == (same ? 0 : 2));
  Journal journal(*rig.memory, kGeometry);  // avoids the lane, which is known now
  for (std::uint64_t i = 0; i < 8; ++i) {
    CHECK(put(journal, kGood, kBad, i));
  }
}

TEST_CASE("replay: a lost page where it applies is damage, the rest is replayed, once") {
  Rig rig;
  {
    Journal journal(*rig.memory, kGeometry);
    rig.memory.lose(kBad);
    CHECK(put(journal, kGood, kBad, 2).code() == EIO);
  }
  rig.memory.map_again();
  constexpr std::uint64_t kNone = 0;
  rig.memory->store(kGood, &kNone, sizeof(kNone));
  rig.memory.lose(kBad);
  const auto report = rig.replay();
  CHECK(report.damaged);
  CHECK(report.replayed == 1);
  CHECK(rig.value_at(kGood) == 2);
  CHECK(rig.replay_anew().replayed == 0);
}
