#include "harness/catch.hpp"
#include "tools/size.hpp"
#include "tools/uuid.hpp"

using namespace pmemfs::tools;

TEST_CASE("sizes take K, M, G and T, and nothing else") {
  struct Row {
    const char* text = "";
    std::optional<std::uint64_t> bytes;
  };
  const Row rows[] = {
      {"0", 0},
      {"4096", 4096},
      {"1k", 1024},
      {"64M", 64ULL << 20U},
      {"10G", 10ULL << 30U},
      {"3t", 3ULL << 40U},
      {"18446744073709551615", UINT64_MAX},
      {"", std::nullopt},
      {"M", std::nullopt},
      {"-1", std::nullopt},
      {"+1", std::nullopt},
      {" 1", std::nullopt},
      {"1 ", std::nullopt},
      {"1.5G", std::nullopt},
      {"1KiB", std::nullopt},
      {"0x10", std::nullopt},
      {"18446744073709551616", std::nullopt},
      {"16777216T", std::nullopt},
  };
  for (const Row& row : rows) {
    INFO(row.text);
    CHECK(parse_size(row.text) == row.bytes);
  }
}

TEST_CASE("modes are octal and have no type") {
  CHECK(parse_mode("0755") == 0755);
  CHECK(parse_mode("1777") == 01777);
  CHECK_FALSE(parse_mode("100755"));
  CHECK_FALSE(parse_mode("8"));
  CHECK_FALSE(parse_mode(""));
}

TEST_CASE("sizes are shown in the unit that fits") {
  CHECK(show_size(0) == "0 bytes");
  CHECK(show_size(512) == "512 bytes");
  CHECK(show_size(16U << 20U) == "16 MiB");
  CHECK(show_size(3U << 29U) == "1.5 GiB");
}

TEST_CASE("UUIDs survive being shown and parsed, and new ones differ") {
  const auto uuid = make_uuid();
  const std::string text = show_uuid(uuid);
  CHECK(text.size() == 36);
  CHECK(text[14] == '4');
  CHECK(parse_uuid(text) == uuid);
  CHECK(make_uuid() != uuid);
}

TEST_CASE("malformed UUIDs are refused") {
  for (const char* text :
       {"", "0", "01234567-89ab-cdef-0123-456789abcde", "01234567-89ab-cdef-0123-456789abcdefa",
        "01234567x89ab-cdef-0123-456789abcdef", "0123456--89ab-cdef-0123-456789abcdef",
        "01234567-89ab-cdef-0123-456789abcdeg"}) {
    INFO(text);
    CHECK_FALSE(parse_uuid(text));
  }
}
