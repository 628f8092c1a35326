# SPDX-License-Identifier: BSL-1.0
"""ci/mutants says which mutants do not fit, which test killed one, and which survived."""

import unittest

from support import ScratchRepository

BUILD = """cmake_minimum_required(VERSION 3.25)
project(scratch CXX)
include_directories(include)
add_executable(sum_test tests/sum_test.cpp)
set_target_properties(sum_test PROPERTIES CXX_STANDARD 20)
"""


class Mutants(ScratchRepository):
    def setUp(self):
        super().setUp()
        self.write("CMakeLists.txt", BUILD)
        self.cpp("include/sum.hpp", "#pragma once\ninline int sum(int a, int b) {\n    return a\n           + b;\n}\n")
        self.cpp(
            "tests/sum_test.cpp",
            '#include "sum.hpp"\n#include <cstdio>\nint main() {\n    if (sum(2, 2) != 4) {\n'
            '        std::puts("[  FAILED  ] sum.adds");\n        return 1;\n    }\n}\n',
        )

    def mutant(self, name, before, after):
        minus = "".join(f"- {line}\n" for line in before.split("\n"))
        plus = "".join(f"+ {line}\n" for line in after.split("\n"))
        self.write(f"stress/mutants/{name}.mutant", f"A bug.\nfile: include/sum.hpp\n{minus}{plus}run: sum_test\n")

    def test_a_mutant_that_a_test_notices_is_killed_by_it(self):
        self.mutant("subtracts", "return a\n+ b;", "return a - b;")
        result = self.run_here("ci/mutants")
        self.assert_clean(result)
        self.assertRegex(result.stdout, r"killed +subtracts .* sum_test: sum\.adds")
        self.assertIn("1 of 1 mutants killed", result.stdout)
        self.assertIn("+ b;", (self.root / "include/sum.hpp").read_text())

    def test_a_mutant_that_no_test_notices_is_a_failure(self):
        self.mutant("multiplies", "return a\n+ b;", "return a * b;")
        result = self.run_here("ci/mutants")
        self.assertEqual(result.returncode, 1, result.stdout)
        self.assertRegex(result.stdout, r"SURVIVED +multiplies .* A bug\.")

    def test_a_mutant_whose_lines_are_gone_is_found_without_building(self):
        self.mutant("stale", "return a - b;", "return 0;")
        result = self.run_here("ci/mutants", "--check")
        self.assertEqual(result.returncode, 1, result.stdout)
        self.assertIn("stale: its lines do not occur exactly once in include/sum.hpp", result.stdout)

    def test_a_mutant_that_does_not_build_is_no_success(self):
        self.mutant("nonsense", "return a\n+ b;", "return nonsense;")
        result = self.run_here("ci/mutants")
        self.assertEqual(result.returncode, 1, result.stdout)
        self.assertIn("nonsense does not build", result.stdout)


if __name__ == "__main__":
    unittest.main()
