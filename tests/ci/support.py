# SPDX-License-Identifier: BSL-1.0
"""A throw-away repository for each test, with this one's ci/ in it."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SPDX = "SPDX-License-Identifier: BSL-1.0"


class ScratchRepository(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="epoque-ci-test."))
        self.addCleanup(shutil.rmtree, self.root)
        shutil.copytree(ROOT / "ci", self.root / "ci", ignore=shutil.ignore_patterns("__pycache__"))
        subprocess.run(["git", "init", "--quiet", self.root], check=True)

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def cpp(self, name, text):
        """A C++ file with its licence line, so that only what the test plants is wrong with it."""
        return self.write(name, f"// {SPDX}\n{text}")

    def run_here(self, *command, **environment):
        """Runs a command with the scratch repository as working folder; stdin is empty."""
        return subprocess.run(
            command,
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **environment},
            check=False,
        )

    def assert_clean(self, result):
        self.assertEqual(result.returncode, 0, result.stdout)

    def assert_finds(self, result, *expected):
        """It failed, and for the reasons that the test planted, all of them and no other."""
        self.assertEqual(result.returncode, 1, result.stdout)
        found = [line for line in result.stdout.splitlines() if line.split(":")[1:2] and line.split(":")[1].isdigit()]
        for piece in expected:
            self.assertTrue(any(piece in line for line in found), f"not found: {piece}\n{result.stdout}")
        self.assertEqual(len(found), len(expected), result.stdout)
