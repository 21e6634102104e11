// The clock that measurements and profiles read.
#include "core/clock.h"

#include <time.h>

namespace bnn {

double read_clock() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

}  // namespace bnn
