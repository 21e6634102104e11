// How the checks of internals tell what they found, and what the self-test can ask for.
#ifndef BNN_TESTS_REPORT_H_
#define BNN_TESTS_REPORT_H_

namespace bnn {

typedef void (*Report)(bool passed, const char* implementation, const char* what);

// The operations of the vectors that an implementation's kernels work on; the CPU has to run it.
void test_vectors(const char* implementation, Report report);

// Which implementation any CPU gets, and which kernel family any stage; every CPU can tell.
void test_choice(Report report);

}  // namespace bnn
#endif  // BNN_TESTS_REPORT_H_
