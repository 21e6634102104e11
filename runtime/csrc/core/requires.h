// What a file of kernels (.inc) requires of the file that includes it.
// A table of checks stands at its head: what is missing, or has another type, fails there by name.
//
// An operation that is missing is "not declared" in the line that requires it; one of another type
// fails with the signature.
#ifndef BNN_REQUIRES_H_
#define BNN_REQUIRES_H_

// A type, and a constant or expression of that type.
#define BNN_REQUIRES_TYPE(type) static_assert(sizeof(type) > 0, "requires the type " #type)
#define BNN_REQUIRES_VALUE(type, expression) \
  static_assert(__is_same(type, decltype(expression)), "requires " #type " " #expression)

// An operation that takes one to eight arguments of these types.
#define BNN_REQUIRES(result, operation, ...)                                         \
  static_assert(__is_same(result, decltype(operation(BNN_EACH_VALUE(__VA_ARGS__)))), \
                "requires " #result " " #operation "(" #__VA_ARGS__ ")")

// An argument of a type, where nothing is evaluated.
#define BNN_VALUE(type) (*static_cast<type*>(nullptr))
#define BNN_VALUES_1(a) BNN_VALUE(a)
#define BNN_VALUES_2(a, ...) BNN_VALUE(a), BNN_VALUES_1(__VA_ARGS__)
#define BNN_VALUES_3(a, ...) BNN_VALUE(a), BNN_VALUES_2(__VA_ARGS__)
#define BNN_VALUES_4(a, ...) BNN_VALUE(a), BNN_VALUES_3(__VA_ARGS__)
#define BNN_VALUES_5(a, ...) BNN_VALUE(a), BNN_VALUES_4(__VA_ARGS__)
#define BNN_VALUES_6(a, ...) BNN_VALUE(a), BNN_VALUES_5(__VA_ARGS__)
#define BNN_VALUES_7(a, ...) BNN_VALUE(a), BNN_VALUES_6(__VA_ARGS__)
#define BNN_VALUES_8(a, ...) BNN_VALUE(a), BNN_VALUES_7(__VA_ARGS__)
#define BNN_NINTH(a, b, c, d, e, f, g, h, i, ...) i
#define BNN_EACH_VALUE(...)                                                                    \
  BNN_NINTH(__VA_ARGS__, BNN_VALUES_8, BNN_VALUES_7, BNN_VALUES_6, BNN_VALUES_5, BNN_VALUES_4, \
            BNN_VALUES_3, BNN_VALUES_2, BNN_VALUES_1, )                                        \
  (__VA_ARGS__)

#endif  // BNN_REQUIRES_H_
