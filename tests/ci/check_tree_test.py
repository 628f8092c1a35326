# SPDX-License-Identifier: BSL-1.0
"""ci/check_tree accepts a small tree in order, and finds each kind of disorder that is planted in it."""

import unittest

from support import SPDX, ScratchRepository

HOME_FILES = ["tests/queue_test.cpp", "stress/queue_stress.cpp", "fuzz/queue_fuzz.cpp", "bench/queue_bench.cpp"]


class CheckTree(ScratchRepository):
    def setUp(self):
        super().setUp()
        self.cpp("include/epoque/base/config.hpp", "#if defined(__x86_64__)\n#define EPOQUE_HAS_X 1\n#endif\n")
        self.cpp("include/epoque/base/env.hpp", '#include "epoque/base/config.hpp"\n#include <atomic>\n')
        self.cpp("include/epoque/core/cells.hpp", '#include "epoque/base/env.hpp"\n#if EPOQUE_HAS_X\n#endif\n')
        self.cpp("include/epoque/queue.hpp", '#include "epoque/core/cells.hpp"\n')
        self.cpp("src/barrier.cpp", '#include "epoque/base/env.hpp"\n')
        self.write("ffi/epoque.h", f"/* {SPDX} */\n#ifndef EPOQUE_H\n#define EPOQUE_H\n#define EPQ_API\n#endif\n")
        self.cpp("ffi/epoque.cpp", '#include "epoque.h"\n#include "epoque/queue.hpp"\n')
        self.write("go/queue.go", f'// {SPDX}\npackage epoque\n\nimport "sync"\n')
        self.write("go/internal/native/native.go", f'// {SPDX}\n// #include "epoque.h"\nimport "C"\n')
        self.write("CMakeLists.txt", f"# {SPDX}\nepoque_home(queue MODEL)\n")
        for name in HOME_FILES:
            self.cpp(name, '#include "epoque/queue.hpp"\n')

    def check(self):
        return self.run_here("ci/check_tree")

    def test_a_tree_in_order_passes(self):
        result = self.check()
        self.assert_clean(result)
        self.assertIn("1 homes", result.stdout)

    def test_an_include_to_the_right_is_found(self):
        self.cpp("include/epoque/base/env.hpp", '#include "epoque/queue.hpp"\n')
        self.assert_finds(self.check(), "env.hpp:2: (layer 'base') includes include/epoque/queue.hpp")

    def test_a_structure_that_includes_another_is_found(self):
        self.cpp("include/epoque/queue.hpp", '#include "epoque/epoque.hpp"\n')
        self.cpp("include/epoque/epoque.hpp", "")
        self.assert_finds(self.check(), "the layer 'umbrella', which is not left of it")

    def test_the_library_that_looks_at_its_tests_is_found(self):
        self.cpp("src/barrier.cpp", '#include "../tests/queue_test.cpp"\n')
        self.assert_finds(self.check(), "src/barrier.cpp:2: (layer 'base sources') includes tests/queue_test.cpp")

    def test_a_go_preamble_that_includes_stress_code_is_found(self):
        include = '#include "../../../stress/queue_stress.cpp"'
        self.write("go/internal/native/native.go", f'// {SPDX}\n// {include}\nimport "C"\n')
        self.assert_finds(self.check(), "native.go:2: (layer 'go') includes stress/queue_stress.cpp")

    def test_a_go_package_that_imports_from_outside_is_found(self):
        self.write("go/queue.go", f'// {SPDX}\npackage epoque\n\nimport "epoque.dev/epoque/stress/crosslang"\n')
        self.assert_finds(self.check(), "go/queue.go:4: imports")

    def test_a_quoted_include_of_nothing_is_found(self):
        self.cpp("src/barrier.cpp", '#include "fmt/core.h"\n')
        self.assert_finds(self.check(), '"fmt/core.h" is no file of epoque')

    def test_a_source_without_layer_is_found(self):
        self.cpp("src/new_room.cpp", "")
        self.assert_finds(self.check(), "src/new_room.cpp:1: belongs to no layer")

    def test_a_home_without_one_of_its_files_is_found(self):
        for name in HOME_FILES:
            with self.subTest(name):
                text = (self.root / name).read_text(encoding="utf-8")
                (self.root / name).unlink()
                self.assert_finds(self.check(), f"queue.hpp:1: has no {name}")
                self.write(name, text)

    def test_a_home_that_is_not_built_is_found(self):
        self.write("CMakeLists.txt", f"# {SPDX}\n# epoque_home(queue)\n")
        self.assert_finds(self.check(), "CMakeLists.txt:1: has no line epoque_home(queue)")

    def test_a_macro_outside_of_config_is_found(self):
        self.cpp("include/epoque/queue.hpp", "#define EPOQUE_FAST 1\n")
        self.cpp("ffi/epoque.cpp", "#  define \\\n  LATER 1\n")
        self.assert_finds(self.check(), "defines the macro EPOQUE_FAST", "epoque.cpp:2: defines the macro LATER")

    def test_a_question_for_the_system_outside_of_config_is_found(self):
        self.cpp("include/epoque/queue.hpp", "#if defined(__clang__) && EPOQUE_HAS_X\n#endif\n")
        self.cpp("src/barrier.cpp", "#ifdef __linux__\n#endif\n")
        self.assert_finds(self.check(), "queue.hpp:2: asks for __clang__", "barrier.cpp:2: asks for __linux__")

    def test_a_question_for_a_sanitizer_is_found_even_in_a_test(self):
        self.cpp("tests/queue_test.cpp", "#if __has_feature(thread_sanitizer)\n#endif\n")
        self.assert_finds(self.check(), "queue_test.cpp:2: asks for a sanitizer")

    def test_a_suppression_is_found(self):
        self.cpp("tests/queue_test.cpp", '__attribute__((no_sanitize("thread"))) void f();\n')
        self.write("CMakePresets.json", '{"TSAN_OPTIONS": "suppressions=tsan.txt"}\n')
        self.write("ci/tsan.supp", f"# {SPDX}\nrace:foo\n")
        self.assert_finds(
            self.check(),
            "queue_test.cpp:2: suppresses a sanitizer",
            "CMakePresets.json:1: gives a suppressions file",
            "ci/tsan.supp:1: looks like a suppressions file",
        )

    def test_a_fence_is_found_but_not_in_a_comment(self):
        self.cpp("include/epoque/queue.hpp", "// atomic_thread_fence\nvoid f() { std::atomic_thread_fence(x); }\n")
        self.assert_finds(self.check(), "queue.hpp:3: atomic_thread_fence")

    def test_cgo_elsewhere_is_found(self):
        self.write("go/queue.go", f'// {SPDX}\npackage epoque\n\nimport (\n\t"C"\n)\n')
        self.assert_finds(self.check(), 'go/queue.go:5: imports "C"')

    def test_a_file_without_licence_is_found(self):
        self.write("src/barrier.cpp", '\n\n\n#include "epoque/base/env.hpp"\n')
        self.write("ci/tool", "#!/bin/sh\n")
        self.assert_finds(self.check(), "src/barrier.cpp:1: has no line", "ci/tool:1: has no line")

    def test_an_empty_tree_is_an_error_and_not_a_success(self):
        empty = self.root / "nothing"
        empty.mkdir()
        result = self.run_here("ci/check_tree", str(empty))
        self.assertEqual(result.returncode, 2, result.stdout)


if __name__ == "__main__":
    unittest.main()
