#include "crash/sound.hpp"

namespace pmemfs::crash {

void require_sound(const Media& /*media*/, const std::string& /*where*/) {}

}  // namespace pmemfs::crash
