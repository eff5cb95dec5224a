// pmemfs: the daemon that serves one mounted region.
#include "base/log.hpp"
#include "tools/background.hpp"
#include "tools/daemon_options.hpp"
#include "tools/failure.hpp"
#include "tools/serve.hpp"

namespace pmemfs::tools {
namespace {

constexpr const char* kProgram = "pmemfs";
namespace log = base::log;

int serve_in_foreground(const DaemonOptions& options) {
  log::init_stderr(kProgram, options.debug ? log::Level::kDebug : log::Level::kInfo);
  Starter nobody;
  return serve(options, nobody);
}

int serve_in_background(const DaemonOptions& options) {
  return run_in_background(kProgram, [&options](Starter& starter) {
    log::init_syslog(kProgram);
    try {
      return serve(options, starter);
    } catch (const Failure& failure) {
      log::error("{}", failure.what());
      starter.failed(failure.exit_code(), failure.what());
      return failure.exit_code();
    } catch (const std::exception& error) {
      log::error("{}", error.what());
      starter.failed(kExitSystem, error.what());
      return kExitSystem;
    }
  });
}

}  // namespace
}  // namespace pmemfs::tools

int main(int argc, char** argv) {
  namespace tools = pmemfs::tools;
  return tools::run_program(tools::kProgram, [&] {
    const auto options = tools::parse_daemon_options(argc, argv);
    if (!options) {
      return tools::kExitOk;
    }
    return options->foreground ? tools::serve_in_foreground(*options)
                               : tools::serve_in_background(*options);
  });
}
