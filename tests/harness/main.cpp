// The main function of every test program, and the record of each case's outcome that scripts/test
// counts.
#if !__has_include(<catch2/catch_all.hpp>)
#define CATCH_CONFIG_RUNNER
#endif
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>

#include "harness/catch.hpp"

namespace {

constexpr int kAllSkipped = 77;  // what CTest knows as SKIP_RETURN_CODE

struct Outcome {
  std::optional<std::string> skip_reason;  // of the running case
  unsigned ran = 0;
  unsigned skipped = 0;
};
Outcome g_outcome;

#ifdef CATCH_CONFIG_RUNNER
using ListenerBase = Catch::TestEventListenerBase;
const std::string& name_of(const Catch::TestCaseStats& stats) {
  return stats.testInfo.name;
}
#else
using ListenerBase = Catch::EventListenerBase;
const std::string& name_of(const Catch::TestCaseStats& stats) {
  return stats.testInfo->name;
}
#endif

// Appends "program, passed|failed|skipped, case, reason", tab-separated, to the file that
// PMEMFS_TEST_REPORT names, if any.
void report(const char* outcome, const std::string& name, const std::string& reason) {
  const char* path = std::getenv("PMEMFS_TEST_REPORT");
  if (path == nullptr) {
    return;
  }
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path, "ae"), &std::fclose);
  if (file) {
    std::fprintf(file.get(), "%s\t%s\t%s\t%s\n", program_invocation_short_name, outcome,
                 name.c_str(), reason.c_str());
  }
}

class OutcomeListener : public ListenerBase {
 public:
  using ListenerBase::ListenerBase;

  void testCaseEnded(const Catch::TestCaseStats& stats) override {
    ++g_outcome.ran;
    if (stats.totals.assertions.failed > 0) {
      report("failed", name_of(stats), "");
    } else if (g_outcome.skip_reason) {
      ++g_outcome.skipped;
      std::printf("skipped: %s: %s\n", name_of(stats).c_str(), g_outcome.skip_reason->c_str());
      report("skipped", name_of(stats), *g_outcome.skip_reason);
    } else {
      report("passed", name_of(stats), "");
    }
    g_outcome.skip_reason.reset();
  }
};
CATCH_REGISTER_LISTENER(OutcomeListener)

}  // namespace

namespace pmemfs::test {

void skip(const std::string& reason) {
  g_outcome.skip_reason = reason;
  // Ends a case without a failure as long as no assertion has failed.
  throw Catch::TestFailureException();
}

}  // namespace pmemfs::test

int main(int argc, char** argv) {
  const int result = Catch::Session().run(argc, argv);
  if (result == 0 && g_outcome.ran > 0 && g_outcome.skipped == g_outcome.ran) {
    return kAllSkipped;
  }
  return result;
}
