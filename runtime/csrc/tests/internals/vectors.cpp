// Runs the tests of an implementation's vectors and tells what they found, operation by operation.
#include "tests/internals/vectors.h"

#include <stdio.h>
#include <stdlib.h>

namespace bnn {

void Findings::note(const char* operation, bool passed) {
  for (int i = 0; i < count_; ++i) {
    if (strcmp(findings_[i].operation, operation) != 0) continue;
    findings_[i].passed = findings_[i].passed && passed;
    return;
  }
  if (count_ == kMost) abort();
  findings_[count_++] = {operation, passed};
}

void Findings::report(const char* implementation, const char* vector, Report report) const {
  for (int i = 0; i < count_; ++i) {
    char what[64];
    snprintf(what, sizeof what, "%s: %s", vector, findings_[i].operation);
    report(findings_[i].passed, implementation, what);
  }
}

namespace {

template <int kCount>
void run_those_of(const char* implementation, const VectorTest (&tests)[kCount], Report report) {
  for (const VectorTest& test : tests) {
    if (strcmp(test.implementation, implementation) != 0) continue;
    Findings findings;
    test.run(&findings);
    findings.report(implementation, test.vector, report);
  }
}

}  // namespace

void test_vectors(const char* implementation, Report report) {
  run_those_of(implementation, kGenericVectors, report);
#if defined(__x86_64__)
  run_those_of(implementation, kAvx2Vectors, report);
  run_those_of(implementation, kAvx512Vectors, report);
#elif defined(__aarch64__)
  run_those_of(implementation, kNeonVectors, report);
  run_those_of(implementation, kNeonDotVectors, report);
#endif
}

}  // namespace bnn
