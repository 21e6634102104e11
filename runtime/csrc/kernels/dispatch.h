// Which implementation runs: the active one, and one by its name.
#ifndef BNN_DISPATCH_H_
#define BNN_DISPATCH_H_

#include "core/kernels.h"

namespace bnn {

const Kernels* active_kernels();  // NULL after a failure, which is then in bnn_error()
const Kernels* find_kernels(const char* name);  // compiled in and supported here, else NULL

}  // namespace bnn
#endif  // BNN_DISPATCH_H_
