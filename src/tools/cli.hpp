#pragma once

#include <optional>
#include <string>
#include <vector>

#include <boost/program_options.hpp>

// The command line of every program: --help, --version, positional words, and one clear line for
// what is wrong.
namespace pmemfs::tools {

namespace po = boost::program_options;

struct Positional {
  std::string name;  // key in the variables_map
  int count = 1;     // -1: all that are left
};

struct CommandLine {
  std::string program;
  std::string synopsis;  // what follows the name: "[options] PATH"
  std::string purpose;   // one line
  po::options_description options{"Options"};
  std::vector<Positional> positional;
  std::string epilogue;  // printed after the options by --help
};

// Parses and checks argv. Nothing when --help or --version was asked for and printed.
// Throws Failure(kExitUsage) naming the option that is wrong.
std::optional<po::variables_map> parse_command_line(const CommandLine& line, int argc,
                                                    const char* const* argv);

// A positional word; Failure naming `what` when it is missing.
std::string require_word(const po::variables_map& vars, const CommandLine& line,
                         const std::string& name, const std::string& what);

// An option with a text behind it, shown as `name` by --help; its text, empty when it was not
// given.
po::typed_value<std::string>* text_value(const char* name);
std::string text_of(const po::variables_map& vars, const std::string& name);

// The same of an option that may be repeated; its texts in their order.
po::typed_value<std::vector<std::string>>* texts_value(const char* name);
std::vector<std::string> texts_of(const po::variables_map& vars, const std::string& name);

// The version of the software, such as "0.1.0".
std::string version();

}  // namespace pmemfs::tools
