// The clock that measurements and profiles read.
#ifndef BNN_CLOCK_H_
#define BNN_CLOCK_H_

namespace bnn {

double read_clock();  // nanoseconds, never set back

}  // namespace bnn
#endif  // BNN_CLOCK_H_
