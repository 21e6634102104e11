// How a call fails: with a status, and with the sentence that bnn_error() gives.
// The checks of arguments that all calls share are here too.
#ifndef BNN_STATUS_H_
#define BNN_STATUS_H_

#include "bnn.h"

namespace bnn {

// Writes the message that bnn_error() gives in this thread; returns the status.
__attribute__((format(printf, 2, 3))) int fail(bnn_status status, const char* format, ...);

// BNN_OK, or BNN_EARGUMENT with a message. `what` names the function and field in it.
int check_range(const char* what, int64_t value, int64_t low, int64_t high);
int check_pointer(const char* what, const void* pointer);
int check_finite(const char* what, const float* values, int64_t count);

}  // namespace bnn
#endif  // BNN_STATUS_H_
