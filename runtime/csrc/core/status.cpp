// The last error of a thread, and the checks of arguments that write it.
#include "core/status.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

namespace bnn {
namespace {

thread_local char last_error[512];

}  // namespace

int fail(bnn_status status, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(last_error, sizeof last_error, format, arguments);
  va_end(arguments);
  return status;
}

int check_range(const char* what, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return BNN_OK;
  return fail(BNN_EARGUMENT, "%s: expected %lld..%lld, found %lld", what,
              static_cast<long long>(low), static_cast<long long>(high),
              static_cast<long long>(value));
}

int check_pointer(const char* what, const void* pointer) {
  return pointer != nullptr ? BNN_OK
                            : fail(BNN_EARGUMENT, "%s: expected a pointer, found NULL", what);
}

int check_finite(const char* what, const float* values, int64_t count) {
  if (check_pointer(what, values) != BNN_OK) return BNN_EARGUMENT;
  for (int64_t i = 0; i < count; ++i) {
    if (!isfinite(values[i])) {
      return fail(BNN_EARGUMENT, "%s: expected finite values, found %g at %lld", what,
                  static_cast<double>(values[i]), static_cast<long long>(i));
    }
  }
  return BNN_OK;
}

}  // namespace bnn

const char* bnn_error(void) { return bnn::last_error; }
