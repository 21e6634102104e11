// What the two files that measure share: the clock, the most repetitions they take.
#ifndef BNN_MEASURE_H_
#define BNN_MEASURE_H_

#include <stdint.h>

namespace bnn {

constexpr int32_t kMostRuns = 1 << 20;

double read_clock();  // nanoseconds, never set back

}  // namespace bnn
#endif  // BNN_MEASURE_H_
