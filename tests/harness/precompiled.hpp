#pragma once

// What most tests include, parsed once for all of them (pmemfs_test_code in cmake/test.cmake). A
// test includes what it uses nevertheless: where there is a compiler launcher, nothing is
// precompiled.

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "harness/catch.hpp"
