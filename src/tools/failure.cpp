#include "tools/failure.hpp"

#include <cstdio>
#include <exception>
#include <new>
#include <system_error>

namespace pmemfs::tools {

std::string error_text(int code) {
  return std::generic_category().message(code);
}

void complain(const std::string& program, const std::string& line) {
  const std::string text = program + ": " + line + "\n";
  std::fwrite(text.data(), 1, text.size(), stderr);
}

int run_program(const std::string& program, const std::function<int()>& body) {
  try {
    return body();
  } catch (const Failure& failure) {
    complain(program, failure.what());
    return failure.exit_code();
  } catch (const std::bad_alloc&) {
    complain(program, "out of memory");
    return kExitSystem;
  } catch (const std::exception& error) {
    complain(program, std::string("internal error: ") + error.what());
    return kExitInternal;
  }
}

}  // namespace pmemfs::tools
