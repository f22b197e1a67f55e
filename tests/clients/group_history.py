"""Judges what the members of a group said: was every message read, by its owner, once per ownership, and from where it had to be?

Pure: events in, complaints out. A *term* is the time from `assigned` to `revoked`, `lost`, `left` or `killed`, of one partition at
one member. The rules:

- a record is read within a term, and not after another member's term of that partition has begun;
- within a term the offsets rise by one: nothing twice, nothing left out;
- a term begins at or behind what was committed before it began;
- a commit is not beyond what its member read, and commits of a partition never fall;
- a record holds the number that was written at its offset;
- in the end every offset was read and the committed offset is the end of the partition.
"""


class Term:
    __slots__ = ("floor", "next_offset", "successor", "is_old", "may_repeat")

    def __init__(self, floor):
        self.floor = floor
        self.next_offset = None
        self.successor = None
        self.is_old = False  # begun where the member was in an earlier term; see `keeps_positions`
        self.may_repeat = False  # the record before `next_offset`, once; see `repeats_one`


class Judgement:
    """`written`: partition and offset → number, as far as the producer knows. `whole_assignments`: an `assigned` names all that the
    member has. `is_ordered`: the times of different members may be compared. `drops_one`: a member that leaves may have committed
    one record, the one behind the last that it read of a partition, without saying that it read it. `keeps_positions`: a member
    that gets a partition back may go on where it was, whatever others committed meanwhile. `repeats_one`: a member that keeps a partition
    through a rebalance may read the last record of it once more."""

    def __init__(self, written, whole_assignments=False, is_ordered=True, drops_one=False, keeps_positions=False, repeats_one=False):
        self.written = written
        self.whole_assignments = whole_assignments
        self.is_ordered = is_ordered
        self.drops_one = drops_one
        self.keeps_positions = keeps_positions
        self.repeats_one = repeats_one
        self.complaints = []
        self.terms = {}
        self.seen = {}
        self.committed = {}
        self.reached = {}  # member → partition → the offset behind the last that it read
        self.dropped = []  # of each member that left, the records one of which it may have dropped
        self.read_again = 0
        self.not_committed = 0
        self.times_lost = 0

    def take_all(self, events):
        for event in sorted(events, key=lambda event: event.at):
            self._take(event)

    def _take(self, event):
        terms = self.terms.setdefault(event.member, {})
        if event.kind == "assigned":
            if self.whole_assignments:
                terms.clear()
            for term in terms.values():
                term.may_repeat = self.repeats_one
            for partition in event.fields["partitions"]:
                self._begin(event.member, partition)
        elif event.kind in ("revoked", "lost"):
            self.times_lost += event.kind == "lost"
            for partition in event.fields["partitions"]:
                terms.pop(partition, None)
        elif event.kind == "seen":
            for record in event.fields["records"]:
                self._read(event, terms, *record)
        elif event.kind == "committed":
            for partition, offset in event.fields["offsets"]:
                self._commit(event, terms, partition, offset)
        elif event.kind == "not_committed":
            self.not_committed += 1
        elif event.kind == "failed":
            self.complaints.append(f"{event.member} failed: {event.fields['error']}")
        if event.kind in ("left", "killed", "failed"):
            terms.clear()
        if event.kind == "left" and self.drops_one:
            self.dropped.append(set(self.reached.get(event.member, {}).items()))

    def _begin(self, member, partition):
        for terms in self.terms.values():
            if partition in terms:
                terms[partition].successor = member
        self.terms[member][partition] = Term(self.committed.get(partition, 0))

    def _read(self, event, terms, partition, offset, number):
        place = f"{event.member} reads partition {partition} offset {offset}"
        term = terms.get(partition)
        if term is None:
            self.complaints.append(f"{place} and does not own it")
            return
        if term.successor is not None and self.is_ordered:
            self.complaints.append(f"{place} after {term.successor} has got the partition")
        if term.next_offset is None and self.keeps_positions and offset == self.reached.get(event.member, {}).get(partition):
            term.is_old = offset < term.floor
        elif term.next_offset is None and offset < term.floor:
            self.complaints.append(f"{place} first, though {term.floor} was committed before it got the partition")
        if term.may_repeat and term.next_offset == offset + 1:
            term.may_repeat = False
        elif term.next_offset is not None and offset != term.next_offset:
            self.complaints.append(f"{place}, where {term.next_offset} comes next")
        if self.written.get((partition, offset), number) != number:
            self.complaints.append(f"{place}: number {self.written[partition, offset]} was written, {number} came")
        term.next_offset = offset + 1
        self.reached.setdefault(event.member, {})[partition] = offset + 1
        seen = self.seen.setdefault(partition, set())
        self.read_again += offset in seen
        seen.add(offset)

    def _commit(self, event, terms, partition, offset):
        place = f"{event.member} commits partition {partition} offset {offset}"
        term = terms.get(partition)
        if term is None or term.next_offset is None or offset > term.next_offset:
            self.complaints.append(f"{place}, which it has not read in this term")
        before = self.committed.get(partition, 0)
        if offset < before and not (term and term.is_old):
            self.complaints.append(f"{place}, and {before} was committed before")
        self.committed[partition] = max(before, offset)

    def number_read(self):
        """Different records."""
        return sum(len(seen) for seen in self.seen.values())

    def unread(self, ends, begins=None):
        """The records up to the ends that nobody has read, as (partition, offset); `ends` and `begins`: partition → offset."""
        begins = begins or {}
        missing = [
            (partition, offset)
            for partition, end in sorted(ends.items())
            for offset in range(begins.get(partition, 0), end)
            if offset not in self.seen.get(partition, ())
        ]
        for excuses in self.dropped:
            if excused := next((one for one in missing if one in excuses), None):
                missing.remove(excused)
        return missing

    def close(self, ends, committed_in_the_end, begins=None):
        """The last rule."""
        if missing := self.unread(ends, begins):
            self.complaints.append(f"{len(missing)} records were never read, the first of partition {missing[0][0]} at offset {missing[0][1]}")
        for partition, end in sorted(ends.items()):
            if committed_in_the_end.get(partition) != end:
                self.complaints.append(f"partition {partition} ends at {end}, and the committed offset is {committed_in_the_end.get(partition)}")
        return self.complaints
