// Where the time of a network goes: nanoseconds by part and phase, of the one thread that runs it.
#ifndef BNN_PROFILE_H_
#define BNN_PROFILE_H_

#include "bnn.h"
#include "core/clock.h"

namespace bnn {

// In the order of bnn_phase_name.
enum Phase { kBinarize, kSpread, kCount, kWrite, kPool, kMultiply };

class Profile {
 public:
  explicit Profile(double* nanoseconds) : nanoseconds_(nanoseconds), last_(read_clock()) {}
  // The time since the last mark was spent on this.
  void mark(int32_t part, Phase phase) {
    const double now = read_clock();
    nanoseconds_[part * BNN_PHASES + phase] += now - last_;
    last_ = now;
  }

 private:
  double* nanoseconds_;  // [parts][BNN_PHASES]
  double last_;
};

}  // namespace bnn
#endif  // BNN_PROFILE_H_
