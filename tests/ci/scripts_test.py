# SPDX-License-Identifier: BSL-1.0
"""The scripts of ci/ fail when they must, say why, and count what they ran."""

import os
import re
import shutil
import signal
import subprocess
import time
import unittest

from support import ROOT, SPDX, ScratchRepository


class Lint(ScratchRepository):
    """Each of the tools of ci/lint, on a repository that holds one finding for it, and on one that holds none."""

    CLEAN = {
        "include/epoque/thing.hpp": "#pragma once\n\nint answer();\n",
        "src/thing.cpp": '#include "epoque/thing.hpp"\n\nint answer() {\n    return 42;\n}\n',
    }

    def setUp(self):
        super().setUp()
        for name in (".clang-format", ".clang-tidy", "CMakePresets.json"):
            shutil.copy(ROOT / name, self.root / name)
        tools = self.root / "build"
        tools.mkdir()
        (tools / "tools").symlink_to(ROOT / "build" / "tools")
        self.write(".gitignore", f"# {SPDX}\n/build/\n")
        self.write(
            "CMakeLists.txt",
            "cmake_minimum_required(VERSION 3.25)\nproject(scratch CXX)\nadd_library(thing src/thing.cpp)\n"
            "target_include_directories(thing PUBLIC include)\n",
        )
        self.write("go.mod", "module scratch.test/scratch\n\ngo 1.24\n")
        self.write("go/thing.go", f"// {SPDX}\n\n// Package thing is tidy.\npackage thing\n")
        for name, text in self.CLEAN.items():
            self.cpp(name, text)

    def verdicts(self, result):
        return dict(re.findall(r"^lint: (.+) (ok|FAILED) \(", result.stdout, re.MULTILINE))

    def test_a_tidy_repository_passes_every_tool(self):
        result = self.run_here("ci/lint")
        self.assert_clean(result)
        tools = ["clang-format", "shellcheck", "gofmt", "go vet", "staticcheck", "clang-tidy"]
        self.assertEqual(self.verdicts(result), dict.fromkeys(tools, "ok"), result.stdout)

    def test_every_tool_finds_what_is_planted_for_it_and_all_are_reported(self):
        self.cpp("include/epoque/thing.hpp", "#pragma once\nint   answer( );\n")
        self.cpp(
            "src/thing.cpp",
            '#include "epoque/thing.hpp"\n\n'
            "int answer() {\n    const double half = 5 / 2;\n    return half > 2.2 ? 1 : 0;\n}\n",
        )
        self.write("ci/broken", f"#!/usr/bin/env bash\n# {SPDX}\nrm $1\n")
        self.write("go/ugly.go", f"// {SPDX}\n\npackage thing\n\nvar   Ugly = 1\n")
        self.write(
            "go/vetted.go",
            f'// {SPDX}\n\npackage thing\n\nimport "fmt"\n\n'
            '// Say has a wrong verb.\nfunc Say() { fmt.Printf("%d", "text") }\n',
        )
        self.write(
            "go/checked.go",
            f"// {SPDX}\n\npackage thing\n\n// Same compares a thing with itself.\n"
            "func Same(a int) bool { return a != a }\n",
        )
        result = self.run_here("ci/lint")
        self.assertEqual(result.returncode, 1, result.stdout)
        tools = ["clang-format", "shellcheck", "gofmt", "go vet", "staticcheck", "clang-tidy"]
        self.assertEqual(self.verdicts(result), dict.fromkeys(tools, "FAILED"), result.stdout)
        findings = "thing.hpp:3:", "SC2086", "go/ugly.go", "vetted.go:8", "checked.go:6", "bugprone-integer-division"
        for piece in findings:
            self.assertIn(piece, result.stdout)

    def test_a_source_that_is_in_no_target_is_found(self):
        self.cpp("src/forgotten.cpp", "")
        result = self.run_here("ci/lint")
        self.assertEqual(result.returncode, 1, result.stdout)
        self.assertIn("in no target of CMakeLists.txt: src/forgotten.cpp", result.stdout)


class Abi(ScratchRepository):
    """ci/check_abi on a library of two functions."""

    HEADER = (
        "#pragma once\n#include <cstdint>\n#define EPQ_LARGEST 8\n"
        "struct epq_error { std::uint32_t first; std::uint32_t second; };\n"
        'extern "C" std::uint32_t epq_sum(const epq_error* error);\n'
    )
    SOURCE = (
        '#include "epoque.h"\n'
        "std::uint32_t epq_sum(const epq_error* error) { return error->first + error->second; }\n"
        'extern "C" void epq_nothing() {}\n'
    )

    def setUp(self):
        super().setUp()
        shutil.copy(ROOT / "CMakePresets.json", self.root / "CMakePresets.json")
        (self.root / "build").mkdir()
        (self.root / "build" / "tools").symlink_to(ROOT / "build" / "tools")
        self.write(
            "CMakeLists.txt",
            "cmake_minimum_required(VERSION 3.25)\nproject(scratch CXX)\nadd_library(epoque_c SHARED ffi/epoque.cpp)\n"
            "target_compile_options(epoque_c PRIVATE -g)\nset_target_properties(epoque_c PROPERTIES OUTPUT_NAME epoque)\n",
        )
        self.cpp("ffi/epoque.h", self.HEADER)
        self.cpp("ffi/epoque.cpp", self.SOURCE)
        (self.root / "ffi" / "abi").mkdir()

    def assert_differs(self, *pieces):
        result = self.run_here("ci/check_abi")
        self.assertEqual(result.returncode, 1, result.stdout)
        for piece in pieces:
            self.assertIn(piece, result.stdout)

    def test_any_difference_from_the_baseline_is_found(self):
        self.assertNotEqual(self.run_here("ci/check_abi").returncode, 0)  # there is no baseline
        self.assert_clean(self.run_here("ci/check_abi", "--update"))
        self.assert_clean(self.run_here("ci/check_abi"))

        self.cpp("ffi/epoque.h", self.HEADER.replace("second; }", "second; std::uint64_t third; }"))
        self.assert_differs("third")
        self.cpp("ffi/epoque.h", self.HEADER.replace("EPQ_LARGEST 8", "EPQ_LARGEST 9"))
        self.assert_differs("EPQ_LARGEST")
        self.cpp("ffi/epoque.h", self.HEADER)
        self.cpp("ffi/epoque.cpp", self.SOURCE.replace("epq_nothing", "epq_something"))
        self.assert_differs("epq_nothing", "epq_something")


class Test(ScratchRepository):
    """ci/test on a repository in which one step fails."""

    def setUp(self):
        super().setUp()
        (self.root / "build").mkdir()
        (self.root / "build" / "tools").symlink_to(ROOT / "build" / "tools")
        self.write(".gitignore", f"# {SPDX}\n/build/\n")
        self.cpp("src/barrier.cpp", "")

    def test_a_failing_step_is_counted_shown_and_does_not_stop_the_others(self):
        self.write("src/diagnostics.cpp", "\n")
        result = self.run_here("ci/test", "tree", "orderings")
        self.assertEqual(result.returncode, 1, result.stdout)
        self.assertIn("src/diagnostics.cpp:1: has no line", result.stdout)
        self.assertIn("failed steps: tree.", result.stdout)
        self.assertTrue(result.stdout.endswith("\n1 passed, 1 failed\n"), result.stdout)

    def test_when_nothing_fails_the_last_line_says_so(self):
        result = self.run_here("ci/test", "tree", "orderings")
        self.assert_clean(result)
        self.assertTrue(result.stdout.endswith("\n2 passed, 0 failed\n"), result.stdout)

    def test_a_step_that_cannot_even_start_is_a_failure(self):
        result = self.run_here("ci/test", "dev", "go")  # there is no CMakeLists.txt and no go.mod
        self.assertEqual(result.returncode, 1, result.stdout)
        self.assertTrue(result.stdout.endswith("\n0 passed, 2 failed\n"), result.stdout)

    def test_an_unknown_step_or_option_shows_the_usage(self):
        for script, option in (
            ("ci/test", "--fast"),
            ("ci/test", "nonsense"),
            ("ci/stress", "--second"),
            ("ci/stress", "input"),
            ("ci/fresh", "--now"),
            ("ci/lint", "--all"),
            ("ci/setup", "--all"),
            ("ci/check_abi", "--all"),
        ):
            with self.subTest(f"{script} {option}"):
                result = self.run_here(script, option)
                self.assertEqual(result.returncode, 2, result.stdout)
                self.assertIn(option, result.stdout)
                self.assertIn("usage: " + script, result.stdout)

    def test_stress_refuses_values_that_make_no_sense(self):
        for arguments in (["--seconds"], ["--seconds", "soon"], ["--seconds", "1"], ["--threads=-1"]):
            with self.subTest(arguments):
                result = self.run_here("ci/stress", *arguments)
                self.assertEqual(result.returncode, 2, result.stdout)
                self.assertIn("usage: ci/stress", result.stdout)

    def test_scripts_run_from_any_folder(self):
        for command in (["ci/test", "tree"], ["ci/check_tree"], ["ci/setup"]):
            with self.subTest(command):
                result = subprocess.run(
                    [self.root / command[0], *command[1:]],
                    cwd="/",
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    check=False,
                )
                self.assert_clean(result)


class Library(ScratchRepository):
    """ci/lib.sh"""

    def script(self, body):
        path = self.write("ci/probe", f"#!/usr/bin/env bash\nsource ci/lib.sh\n{body}\n")
        path.chmod(0o755)
        return path

    def test_a_child_stops_at_its_first_failing_command(self):
        self.script("child() { false; echo went on; }\nas_child child\necho code $child_code")
        self.assertEqual(self.run_here("ci/probe").stdout, "code 1\n")

    def test_a_signal_ends_the_children_too(self):
        path = self.script('echo $$; as_child bash -c "echo \\$\\$; sleep 1000"')
        running = subprocess.Popen([path], cwd=self.root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        mine, child = int(running.stdout.readline()), int(running.stdout.readline())
        self.assertEqual(mine, running.pid)
        running.send_signal(signal.SIGTERM)
        self.assertIn("stopped by SIGTERM", running.stdout.read())
        self.assertEqual(running.wait(), 130)
        running.stdout.close()
        while os.path.exists(f"/proc/{child}"):  # the kernel may need a moment to take it away
            time.sleep(0.01)

    def test_versions_compare_by_number(self):
        self.script(
            "version_at_least 1.24.13 1.24 && version_at_least 1.24 1.24 && version_at_least 1.100 1.24 && "
            "! version_at_least 1.9 1.24 && echo right"
        )
        self.assertEqual(self.run_here("ci/probe").stdout, "right\n")


class Counting(ScratchRepository):
    """ci/count_tests"""

    def count(self, kind, text):
        return self.run_here("ci/count_tests", kind, str(self.write("report", text)))

    CTEST = """<testsuite name="x">
        <testcase name="a" status="run"/>
        <testcase name="b" status="fail"><failure message=""/></testcase>
        <testcase name="c" status="notrun"><skipped message=""/></testcase>
        <testcase name="d" status="disabled"/>
        <testcase name="e" status="%s"/>
        </testsuite>"""

    def test_ctest(self):
        self.assertEqual(self.count("ctest", self.CTEST % "run").stdout, "2 1\n")

    def count_with_program(self, status, suites):
        reports = self.write("reports/e.xml", suites).parent
        report = self.write("report", self.CTEST % status)
        return self.run_here("ci/count_tests", "ctest", str(report), str(reports)).stdout

    def test_ctest_counts_what_a_whole_program_ran(self):
        suites = '<testsuites tests="9" failures="%d" disabled="1" errors="0"><testsuite skipped="2"/></testsuites>'
        self.assertEqual(self.count_with_program("run", suites % 0), "7 1\n")
        self.assertEqual(self.count_with_program("fail", suites % 2), "5 3\n")

    def test_a_program_that_fails_at_its_end_has_failed(self):
        suites = '<testsuites tests="9" failures="0" disabled="0" errors="0"/>'
        self.assertEqual(self.count_with_program("fail", suites), "10 2\n")

    def test_go_shows_what_failed(self):
        events = [
            '{"Action":"pass","Package":"p","Test":"TestA"}',
            '{"Action":"output","Package":"p","Test":"TestB","Output":"not so\\n"}',
            '{"Action":"fail","Package":"p","Test":"TestB"}',
            '{"Action":"fail","Package":"p"}',
        ]
        self.assertEqual(self.count("go", "\n".join(events)).stdout, "not so\n1 1\n")

    def test_unittest(self):
        self.assertEqual(self.count("unittest", "Ran 9 tests in 1s\n\nFAILED (failures=1, errors=2)\n").stdout, "6 3\n")

    def test_a_report_that_is_not_there_is_a_failure(self):
        self.assertEqual(self.run_here("ci/count_tests", "ctest", "missing.xml").stdout, "0 1\n")
        self.assertEqual(self.count("unittest", "Traceback").stdout, "0 1\n")


if __name__ == "__main__":
    unittest.main()
