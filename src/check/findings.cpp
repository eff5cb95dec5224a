#include "check/findings.hpp"

namespace pmemfs::check {

void Findings::repaired_since(Mark mark) {
  repaired_ += found_ - mark.found;
  for (std::size_t i = mark.kept; i < kept_.size(); ++i) {
    kept_[i].repaired = true;
  }
}

void Findings::repaired(Problem problem, InodeNo ino) {
  for (Finding& finding : kept_) {
    if (finding.problem == problem && finding.ino == ino && !finding.repaired) {
      finding.repaired = true;
      ++repaired_;
      return;
    }
  }
}

void Findings::forget_since(Mark mark) {
  kept_.resize(mark.kept);
  found_ = mark.found;
}

void Findings::keep_repaired() {
  std::erase_if(kept_, [](const Finding& f) { return !f.repaired; });
  found_ = repaired_;
}

}  // namespace pmemfs::check
