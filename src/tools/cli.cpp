#include "tools/cli.hpp"

#include <cstdio>
#include <sstream>

#include "tools/failure.hpp"

namespace pmemfs::tools {
namespace {

void print(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
}

std::string help_text(const CommandLine& line, const po::options_description& visible) {
  std::ostringstream text;
  text << "Usage: " << line.program << ' ' << line.synopsis << '\n'
       << line.purpose << "\n\n"
       << visible;
  if (!line.epilogue.empty()) {
    text << '\n' << line.epilogue;
  }
  return text.str();
}

[[noreturn]] void wrong_usage(const CommandLine& line, const std::string& what) {
  fail(kExitUsage, "{}; see {} --help", what, line.program);
}

po::variables_map parse(const CommandLine& line, const po::options_description& visible, int argc,
                        const char* const* argv) {
  po::options_description all;
  po::positional_options_description places;
  all.add(visible);
  for (const Positional& word : line.positional) {
    all.add_options()(word.name.c_str(), po::value<std::vector<std::string>>());
    places.add(word.name.c_str(), word.count);
  }
  constexpr int kStyle =
      po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
  po::variables_map vars;
  try {
    po::store(
        po::command_line_parser(argc, argv).options(all).positional(places).style(kStyle).run(),
        vars);
  } catch (const po::too_many_positional_options_error&) {
    wrong_usage(line, "too many arguments");
  } catch (const po::error& error) {
    wrong_usage(line, error.what());
  }
  return vars;
}

}  // namespace

std::string version() {
  return PMEMFS_VERSION;
}

std::optional<po::variables_map> parse_command_line(const CommandLine& line, int argc,
                                                    const char* const* argv) {
  po::options_description visible("Options");
  for (const auto& option : line.options.options()) {
    visible.add(option);
  }
  visible.add_options()("help,h", "print this help and exit")("version,V",
                                                              "print the version and exit");
  po::variables_map vars = parse(line, visible, argc, argv);
  if (vars.count("help") != 0) {
    print(help_text(line, visible));
    return std::nullopt;
  }
  if (vars.count("version") != 0) {
    print(line.program + " " + version() + "\n");
    return std::nullopt;
  }
  try {
    po::notify(vars);
  } catch (const po::error& error) {
    wrong_usage(line, error.what());
  }
  return vars;
}

std::string require_word(const po::variables_map& vars, const CommandLine& line,
                         const std::string& name, const std::string& what) {
  if (vars.count(name) == 0) {
    wrong_usage(line, what + " is missing");
  }
  return vars[name].as<std::vector<std::string>>().front();
}

po::typed_value<std::string>* text_value(const char* name) {
  return po::value<std::string>()->value_name(name);
}

std::string text_of(const po::variables_map& vars, const std::string& name) {
  return vars.count(name) == 0 ? std::string() : vars[name].as<std::string>();
}

po::typed_value<std::vector<std::string>>* texts_value(const char* name) {
  return po::value<std::vector<std::string>>()->composing()->value_name(name);
}

std::vector<std::string> texts_of(const po::variables_map& vars, const std::string& name) {
  return vars.count(name) == 0 ? std::vector<std::string>()
                               : vars[name].as<std::vector<std::string>>();
}

}  // namespace pmemfs::tools
