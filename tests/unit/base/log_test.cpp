#include "base/log.hpp"

#include <thread>
#include <vector>

#include "harness/catch.hpp"

namespace pmemfs::base {
namespace {

struct Line {
  log::Level level;
  std::string text;
};

// Collects lines while it lives.
class Capture {
 public:
  explicit Capture(log::Level threshold) {
    log::init_callback(
        [this](log::Level level, const std::string& text) {
          lines.push_back({level, text});
        },
        threshold);
  }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;
  ~Capture() { log::init_stderr("pmemfs"); }

  std::vector<Line> lines;
};

}  // namespace

TEST_CASE("a log line carries its level and its formatted text") {
  const Capture capture(log::Level::kDebug);
  log::debug("{}", 1);
  log::info("two {}", std::string("words"));
  log::warn("no arguments");
  log::error("{:#x}", 255);
  REQUIRE(capture.lines.size() == 4);
  CHECK(capture.lines[0].level == log::Level::kDebug);
  CHECK(capture.lines[1].text == "two words");
  CHECK(capture.lines[2].level == log::Level::kWarning);
  CHECK(capture.lines[3].text == "0xff");
}

TEST_CASE("lines below the threshold are dropped") {
  const Capture capture(log::Level::kWarning);
  log::info("dropped");
  CHECK(!log::enabled(log::Level::kInfo));
  log::set_threshold(log::Level::kInfo);
  log::info("kept");
  log::debug("dropped");
  REQUIRE(capture.lines.size() == 1);
  CHECK(capture.lines[0].text == "kept");
}

TEST_CASE("warn_once warns once for each key, from all threads together") {
  const Capture capture(log::Level::kDebug);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([] {
      for (int repeat = 0; repeat < 100; ++repeat) {
        log::warn_once("a", "first {}", "a");
        log::warn_once("b", "first b");
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  CHECK(capture.lines.size() == 2);
}

TEST_CASE("braces in an argument are text, not a format") {
  const Capture capture(log::Level::kDebug);
  log::info("name {}", "{}{0}%n");
  REQUIRE(capture.lines.size() == 1);
  CHECK(capture.lines[0].text == "name {}{0}%n");
}

TEST_CASE("what repeats does not fill the log") {
  const Capture capture(log::Level::kDebug);
  for (int i = 0; i < 1000; ++i) {
    log::warn("again {}", i);
    log::debug("asked for {}", i);
  }
  log::warn("something else");
  const auto warnings = [&] {
    std::vector<std::string> texts;
    for (const Line& line : capture.lines) {
      if (line.level == log::Level::kWarning) {
        texts.push_back(line.text);
      }
    }
    return texts;
  }();
  REQUIRE(warnings.size() == 102);
  CHECK(warnings[99] == "again 99");
  CHECK(warnings[100] == "lines like the last one are left out for up to a minute");
  CHECK(warnings[101] == "something else");
  CHECK(capture.lines.size() == 1000 + 102);
}

}  // namespace pmemfs::base
