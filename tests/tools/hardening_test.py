#!/usr/bin/env python3
"""The program as readelf sees it: what CMakeLists.txt asks the compiler and linker for against errors
that no test found must have arrived. Skipped where there is no readelf."""

import os
import re
import shutil
import subprocess
import sys
import unittest

BINARY = os.environ["KRAIT_TEST_BINARY"]


def readelf(*flags):
    return subprocess.run(["readelf", "-W", *flags, BINARY], capture_output=True, text=True,
                          check=True).stdout


class HardeningTest(unittest.TestCase):
    def test_is_loaded_anywhere(self):
        self.assertRegex(readelf("-h"), r"Type:\s+DYN")
        self.assertRegex(readelf("-d"), r"FLAGS_1.*\bPIE\b")

    def test_tables_of_the_linker_are_read_only_before_main(self):
        self.assertIn("GNU_RELRO", readelf("-l"))
        self.assertRegex(readelf("-d"), r"FLAGS.*\b(BIND_)?NOW\b")

    def test_no_memory_can_be_written_and_executed(self):
        segments = re.findall(r"^  (\S+)\s+(?:0x\w+\s+){5}([R ][W ][E ])", readelf("-l"),
                              re.MULTILINE)
        self.assertIn("GNU_STACK", [name for name, _ in segments])
        self.assertEqual([s for s in segments if "W" in s[1] and "E" in s[1]], [])

    def test_stack_and_copies_are_checked(self):
        imported = readelf("--dyn-syms")
        self.assertIn("__stack_chk_fail", imported)
        self.assertRegex(imported, r"__(memcpy|memmove|read|snprintf|vsnprintf|fread)_chk")
        self.assertIn("__glibcxx_assert_fail", imported)

    def test_libraries_come_from_the_system(self):
        self.assertNotRegex(readelf("-d"), "RPATH|RUNPATH")


if __name__ == "__main__":
    if not shutil.which("readelf"):
        print("SKIPPED: there is no readelf")
        sys.exit(77)
    unittest.main()
