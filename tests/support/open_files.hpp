#pragma once

namespace pmemfs::test {

// Whether this process has the memfd that `fd` stands for open by another descriptor, `also`
// excepted, or mapped.
bool is_in_use(int fd, int also);

}  // namespace pmemfs::test
