# SPDX-License-Identifier: BSL-1.0
"""ci/check_interface accepts this repository's C interface, and finds each difference that is planted in a copy of it."""

import json
import shutil
import unittest

from support import ROOT, ScratchRepository

FILES = [
    "ffi/epoque.h",
    "ffi/exports.map",
    "ffi/abi/abi.json",
    "docs/boundary.md",
    "go/internal/native/native.go",
    "go/internal/native/native_cgo.go",
]


class CheckInterface(ScratchRepository):
    def setUp(self):
        super().setUp()
        for name in FILES:
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, self.root / name)

    def replace(self, name, old, new):
        path = self.root / name
        text = path.read_text(encoding="utf-8")
        self.assertEqual(text.count(old), 1, f"{name}: {old}")
        path.write_text(text.replace(old, new), encoding="utf-8")

    def finds(self, *pieces):
        result = self.run_here("ci/check_interface")
        self.assertEqual(result.returncode, 1, result.stdout)
        for piece in pieces:
            self.assertIn(piece, result.stdout)

    def test_the_interface_as_it_is_passes(self):
        self.assert_clean(self.run_here("ci/check_interface"))

    def test_update_changes_nothing_where_nothing_has_changed(self):
        self.assert_clean(self.run_here("ci/check_interface", "--update"))
        for name in ("ffi/abi/abi.json", "docs/boundary.md"):
            self.assertEqual((self.root / name).read_bytes(), (ROOT / name).read_bytes())

    def test_a_status_with_another_number_in_go_is_found(self):
        self.replace("go/internal/native/native.go", "Stale     Status = -1", "Stale     Status = -3")
        self.finds("native.go: Stale is -3, EPQ_STALE is -1")

    def test_a_status_that_go_does_not_have_is_found(self):
        self.replace("go/internal/native/native_cgo.go", "\t_ = [1]struct{}{}[Busy-C.EPQ_BUSY]\n", "")
        self.finds("the status EPQ_BUSY has no constant of Go")

    def test_a_kind_with_another_number_in_c_is_found(self):
        self.replace("ffi/epoque.h", "#define EPQ_KIND_STACK 2u", "#define EPQ_KIND_STACK 9u")
        self.finds("Stack is 2, EPQ_KIND_STACK is 9", "numbers are not those of the header", "abi.json: is not what")

    def test_a_feature_and_a_functions_number_that_the_docs_do_not_have_are_found(self):
        self.replace("ffi/epoque.h", "    EPQ_OP_DUP = 70,", "    EPQ_OP_DUP = 90,")
        self.finds("docs/boundary.md: its numbers are not those of the header")

    def test_a_function_without_a_table_is_found(self):
        self.replace("docs/boundary.md", "| `epq_revoke(handle, error)` |", "| `epq_revoked(handle, error)` |")
        self.finds("has no table for epq_revoke")

    def test_other_parameters_than_the_headers_are_found(self):
        self.replace("docs/boundary.md", "`epq_dup(handle, rights, out, error)`", "`epq_dup(handle, out, error)`")
        self.finds("the parameters of epq_dup are handle, rights, out, error")

    def test_a_table_that_does_not_say_what_allocates_is_found(self):
        self.replace("docs/boundary.md", "| allocates, blocks | no (a probe for eventfd), no |\n", "")
        self.finds("the table of epq_init has no row 'allocates, blocks'")

    def test_a_function_that_is_not_exported_is_found(self):
        self.replace("ffi/exports.map", "        epq_dup;\n", "")
        self.finds("exports.map: does not export epq_dup")

    def test_a_fact_that_changes_in_the_docs_alone_is_found(self):
        self.replace("docs/boundary.md", "looking once a millisecond. Draining", "looking twice a millisecond. Draining")
        self.finds("ffi/abi/abi.json: is not what header and docs make")

    def test_abi_json_knows_every_function(self):
        described = json.loads((self.root / "ffi/abi/abi.json").read_text(encoding="utf-8"))
        header = (self.root / "ffi/epoque.h").read_text(encoding="utf-8")
        self.assertEqual(header.count("\nEPQ_API "), len(described["functions"]))
        self.assertEqual(described["functions"]["epq_dup"]["since"], "1.1")
        self.assertIn("RIGHTS", described["functions"]["epq_dup"]["answers"])


if __name__ == "__main__":
    unittest.main()
