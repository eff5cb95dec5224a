#pragma once

#include <chrono>
#include <functional>
#include <thread>

namespace pmemfs::test {

// What takes time that nobody knows, such as a background thread's. False after 20 seconds.
inline bool eventually(const std::function<bool()>& holds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!holds()) {
    if (std::chrono::steady_clock::now() > end) {
      return false;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

}  // namespace pmemfs::test
