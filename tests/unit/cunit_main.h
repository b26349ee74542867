/* One CUnit executable per unit.  A test file lists its cases and ends with CFC_TEST_MAIN(unit,
 * cases). */
#ifndef CFC_TESTS_CUNIT_MAIN_H
#define CFC_TESTS_CUNIT_MAIN_H

#include <CUnit/Basic.h>
#include <stddef.h>

struct cfc_test_case {
    const char *name; /* a sentence with underscores: what holds */
    void (*run)(void);
};

#define CFC_CASE(function)                                                                         \
    {                                                                                              \
#function, function                                                                        \
    }

static inline int
cfc_test_main(const char *unit, const struct cfc_test_case *cases, size_t case_count)
{
    CU_pSuite suite;
    unsigned failures;

    if (CU_initialize_registry() != CUE_SUCCESS) {
        return 2;
    }
    suite = CU_add_suite(unit, NULL, NULL);
    for (size_t i = 0; suite != NULL && i < case_count; i++) {
        if (CU_add_test(suite, cases[i].name, cases[i].run) == NULL) {
            return 2;
        }
    }
    CU_basic_set_mode(CU_BRM_VERBOSE);
    if (CU_basic_run_tests() != CUE_SUCCESS) {
        return 2;
    }
    failures = CU_get_number_of_failures() + CU_get_number_of_tests_failed();
    CU_cleanup_registry();
    return failures == 0 ? 0 : 1;
}

#define CFC_TEST_MAIN(unit, cases)                                                                 \
    int main(void)                                                                                 \
    {                                                                                              \
        return cfc_test_main(unit, cases, sizeof(cases) / sizeof((cases)[0]));                     \
    }

#endif
