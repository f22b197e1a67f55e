"""Shows that `group_history.py` notices what may not happen in a group: a history without a fault, then one fault at a time.

Usage: group_history_notice.py
"""

import sys

from group_history import Judgement
from group_members import Event

WRITTEN = {(0, offset): offset for offset in range(6)}
# One member reads half of a partition and gives it up; another goes on, is killed, and a third repeats what was not committed.
HEALTHY = (
    ("a", "assigned", {"partitions": [0]}),
    ("a", "seen", {"records": [[0, 0, 0], [0, 1, 1]]}),
    ("a", "committed", {"offsets": [[0, 2]]}),
    ("a", "revoked", {"partitions": [0]}),
    ("b", "assigned", {"partitions": [0]}),
    ("b", "seen", {"records": [[0, 2, 2], [0, 3, 3]]}),
    ("b", "committed", {"offsets": [[0, 3]]}),
    ("b", "killed", {}),
    ("c", "assigned", {"partitions": [0]}),
    ("c", "seen", {"records": [[0, 3, 3], [0, 4, 4], [0, 5, 5]]}),
    ("c", "committed", {"offsets": [[0, 6]]}),
    ("c", "left", {}),
)


def with_step(place, *step):
    """Another step in the place of one of HEALTHY's."""
    return HEALTHY[:place] + (step,) + HEALTHY[place + 1 :]


def without_step(place):
    return HEALTHY[:place] + HEALTHY[place + 1 :]


def moved(place, to):
    steps = list(HEALTHY)
    steps.insert(to, steps.pop(place))
    return tuple(steps)


# What is wrong, the history, and a part of the complaint; None where nothing is.
FAULTS = (
    ("nothing", HEALTHY, None),
    ("a record twice in one term", with_step(1, "a", "seen", {"records": [[0, 0, 0], [0, 1, 1], [0, 1, 1]]}), "where 2 comes next"),
    ("a record left out in a term", with_step(9, "c", "seen", {"records": [[0, 3, 3], [0, 5, 5]]}), "where 4 comes next"),
    ("a record that nobody read", with_step(5, "b", "seen", {"records": [[0, 3, 3]]}), "were never read"),
    ("a committed record again", with_step(5, "b", "seen", {"records": [[0, 1, 1], [0, 2, 2], [0, 3, 3]]}), "though 2 was committed"),
    ("another number", with_step(5, "b", "seen", {"records": [[0, 2, 7], [0, 3, 3]]}), "number 2 was written, 7 came"),
    ("a reader without the partition", without_step(4), "does not own it"),
    ("a reader after it gave the partition up", moved(5, 7), "does not own it"),
    ("a reader after another got the partition", moved(4, 1), "after b has got the partition"),
    ("a commit of what was not read", with_step(2, "a", "committed", {"offsets": [[0, 5]]}), "which it has not read"),
    ("a commit that falls", with_step(10, "c", "committed", {"offsets": [[0, 2]]}), "and 3 was committed before"),
    ("a member that gave up", with_step(11, "c", "failed", {"error": "tired"}), "failed: tired"),
)


def complaints_about(history, committed_in_the_end):
    judgement = Judgement(WRITTEN)
    judgement.take_all([Event(at, member, kind, fields) for at, (member, kind, fields) in enumerate(history)])
    return judgement.close({0: 6}, committed_in_the_end)


def main():
    cases = [(name, history, {0: 6}, wanted) for name, history, wanted in FAULTS]
    cases.append(("a commit that was lost", HEALTHY, {0: 3}, "the committed offset is 3"))
    cases.append(("no commit at all", HEALTHY, {}, "the committed offset is None"))
    failed = 0
    for name, history, committed, wanted in cases:
        complaints = complaints_about(history, committed)
        if (wanted is None and complaints) or (wanted is not None and not any(wanted in one for one in complaints)):
            failed += 1
            print(f"FAILED {name}: expected {wanted!r} among {complaints}")
    print(f"{len(cases) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
