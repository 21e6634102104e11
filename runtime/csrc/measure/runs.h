// The most runs that one measurement makes.
#ifndef BNN_RUNS_H_
#define BNN_RUNS_H_

#include <stdint.h>

namespace bnn {

constexpr int32_t kMostRuns = 1 << 20;

}  // namespace bnn
#endif  // BNN_RUNS_H_
