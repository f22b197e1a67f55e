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
    __slots__ = ("floor", "next_offset", "successor")

    def __init__(self, floor):
        self.floor = floor
        self.next_offset = None
        self.successor = None


class Judgement:
    """`written`: partition and offset → number, as far as the producer knows. `whole_assignments`: an `assigned` names all that the
    member has. `is_ordered`: the times of different members may be compared."""

    def __init__(self, written, whole_assignments=False, is_ordered=True):
        self.written = written
        self.whole_assignments = whole_assignments
        self.is_ordered = is_ordered
        self.complaints = []
        self.terms = {}
        self.seen = {}
        self.committed = {}
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
        if term.next_offset is None and offset < term.floor:
            self.complaints.append(f"{place} first, though {term.floor} was committed before it got the partition")
        if term.next_offset is not None and offset != term.next_offset:
            self.complaints.append(f"{place}, where {term.next_offset} comes next")
        if self.written.get((partition, offset), number) != number:
            self.complaints.append(f"{place}: number {self.written[partition, offset]} was written, {number} came")
        term.next_offset = offset + 1
        seen = self.seen.setdefault(partition, set())
        self.read_again += offset in seen
        seen.add(offset)

    def _commit(self, event, terms, partition, offset):
        place = f"{event.member} commits partition {partition} offset {offset}"
        term = terms.get(partition)
        if term is None or term.next_offset is None or offset > term.next_offset:
            self.complaints.append(f"{place}, which it has not read in this term")
        before = self.committed.get(partition, 0)
        if offset < before:
            self.complaints.append(f"{place}, and {before} was committed before")
        self.committed[partition] = max(before, offset)

    def unread(self, ends, begins=None):
        """How many records up to the ends nobody has read; `ends`: partition → offset."""
        begins = begins or {}
        return sum(
            sum(offset not in self.seen.get(partition, ()) for offset in range(begins.get(partition, 0), end)) for partition, end in ends.items()
        )

    def close(self, ends, committed_in_the_end, begins=None):
        """The last rule."""
        begins = begins or {}
        for partition, end in sorted(ends.items()):
            seen = self.seen.get(partition, set())
            missing = [offset for offset in range(begins.get(partition, 0), end) if offset not in seen]
            if missing:
                self.complaints.append(f"partition {partition}: {len(missing)} of {end} records were never read, the first is {missing[0]}")
            if committed_in_the_end.get(partition) != end:
                self.complaints.append(f"partition {partition} ends at {end}, and the committed offset is {committed_in_the_end.get(partition)}")
        return self.complaints
