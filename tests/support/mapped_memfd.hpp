#pragma once

namespace pmemfs::test {

// Whether this process has the memfd that `fd` stands for mapped. Slow: reads what the kernel lists
// of all mappings.
bool is_mapped(int fd);

}  // namespace pmemfs::test
