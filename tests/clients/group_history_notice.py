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


# kcat drops the record that it is handed when it is told to leave, and commits it.
DROPPED_BY_ONE_THAT_LEFT = (
    ("a", "assigned", {"partitions": [0]}),
    ("a", "seen", {"records": [[0, 0, 0], [0, 1, 1]]}),
    ("a", "revoked", {"partitions": [0]}),
    ("a", "left", {}),
    ("b", "assigned", {"partitions": [0]}),
    ("b", "seen", {"records": [[0, 3, 3], [0, 4, 4], [0, 5, 5]]}),
)


# kafka-python goes on where it was when it gets a partition back, though another member has gone further.
OLD_POSITION = (
    ("a", "assigned", {"partitions": [0]}),
    ("a", "seen", {"records": [[0, 0, 0], [0, 1, 1]]}),
    ("a", "revoked", {"partitions": [0]}),
    ("b", "assigned", {"partitions": [0]}),
    ("b", "seen", {"records": [[0, 0, 0], [0, 1, 1], [0, 2, 2], [0, 3, 3]]}),
    ("b", "committed", {"offsets": [[0, 4]]}),
    ("b", "revoked", {"partitions": [0]}),
    ("a", "assigned", {"partitions": [0]}),
    ("a", "seen", {"records": [[0, 2, 2], [0, 3, 3]]}),
    ("a", "committed", {"offsets": [[0, 3]]}),
    ("a", "seen", {"records": [[0, 4, 4], [0, 5, 5]]}),
)


# librdkafka may hand out the last record of a partition once more when it resumes what it keeps in a rebalance.
REPEATED_AFTER_REBALANCE = (
    ("a", "assigned", {"partitions": [0]}),
    ("a", "seen", {"records": [[0, 0, 0], [0, 1, 1]]}),
    ("a", "assigned", {"partitions": []}),
    ("a", "seen", {"records": [[0, 2, 2], [0, 2, 2], [0, 3, 3], [0, 4, 4], [0, 5, 5]]}),
    ("a", "committed", {"offsets": [[0, 6]]}),
)


def complaints_about(history, committed_in_the_end, **allowed):
    judgement = Judgement(WRITTEN, **allowed)
    judgement.take_all([Event(at, member, kind, fields) for at, (member, kind, fields) in enumerate(history)])
    return judgement.close({0: 6}, committed_in_the_end)


def main():
    cases = [(name, history, {0: 6}, {}, wanted) for name, history, wanted in FAULTS]
    cases.append(("a commit that was lost", HEALTHY, {0: 3}, {}, "the committed offset is 3"))
    cases.append(("no commit at all", HEALTHY, {}, {}, "the committed offset is None"))
    cases.append(("a dropped record", DROPPED_BY_ONE_THAT_LEFT, {0: 6}, {}, "were never read"))
    cases.append(("a dropped record, as kcat does", DROPPED_BY_ONE_THAT_LEFT, {0: 6}, {"drops_one": True}, None))
    cases.append(("more dropped records than kcat drops", DROPPED_BY_ONE_THAT_LEFT[:5], {0: 6}, {"drops_one": True}, "were never read"))
    cases.append(("an old position", OLD_POSITION, {0: 6}, {}, "though 4 was committed"))
    cases.append(("a commit from an old position", OLD_POSITION, {0: 6}, {}, "and 4 was committed before"))
    cases.append(("an old position, as kafka-python keeps it", OLD_POSITION, {0: 6}, {"keeps_positions": True}, None))
    other = OLD_POSITION[:8] + (("a", "seen", {"records": [[0, 1, 1]]}),) + OLD_POSITION[8:]
    cases.append(("a position that it never had", other, {0: 6}, {"keeps_positions": True}, "though 4 was committed"))
    cases.append(("a record twice after a rebalance", REPEATED_AFTER_REBALANCE, {0: 6}, {}, "where 3 comes next"))
    cases.append(("a record twice after a rebalance, as librdkafka may", REPEATED_AFTER_REBALANCE, {0: 6}, {"repeats_one": True}, None))
    without = REPEATED_AFTER_REBALANCE[:2] + REPEATED_AFTER_REBALANCE[3:]
    cases.append(("a record twice without a rebalance", without, {0: 6}, {"repeats_one": True}, "where 3 comes next"))
    thrice = REPEATED_AFTER_REBALANCE[:4] + (("a", "seen", {"records": [[0, 5, 5]]}),) + REPEATED_AFTER_REBALANCE[4:]
    cases.append(("one more record twice after that", thrice, {0: 6}, {"repeats_one": True}, "where 6 comes next"))
    failed = 0
    for name, history, committed, allowed, wanted in cases:
        complaints = complaints_about(history, committed, **allowed)
        if (wanted is None and complaints) or (wanted is not None and not any(wanted in one for one in complaints)):
            failed += 1
            print(f"FAILED {name}: expected {wanted!r} among {complaints}")
    print(f"{len(cases) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
