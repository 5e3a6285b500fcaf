"""docs/reliability.md: every fault names a test that exists."""

import re

from tests.commands import ROOT

PAGE = ROOT / "docs" / "reliability.md"


def test_every_row_names_its_test():
    section = PAGE.read_text(encoding="utf-8").split("## Faults")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 10
    for row in rows:
        named = re.findall(r"`(tests/[^`]+)`", row.rstrip("| ").split(" | ")[-1])
        assert named, row


def test_the_tests_that_are_named_exist():
    for name in re.findall(r"`(tests/[^`]+)`", PAGE.read_text(encoding="utf-8")):
        path, _, function = name.partition("::")
        assert (ROOT / path).is_file(), name
        assert not function or f"def {function}(" in (ROOT / path).read_text(encoding="utf-8"), name
