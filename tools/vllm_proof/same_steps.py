# SPDX-License-Identifier: Apache-2.0
"""What each rank of an engine did in each step, as digests, and whether all did the same.

`start` and `stop` are for `collective_rpc` between steps. In between nothing is asked of a rank or its device: its steps pass by
where it lets go of them, also on a rank whose outputs vLLM does not take, so that nobody takes its reports.
"""
import time
import typing
import zlib

SHOWN = 5  # steps that differ, with what differs


class Step(typing.NamedTuple):
    """A step as one rank ran it. Digests are CRC-32."""
    number: int  # of its order: the same on every rank
    at: float  # time.monotonic() when the rank let go of it; all processes of a machine have one
    version: int  # of the plan in force
    plan: int | None  # that plan without its header; None: it was in force before the recording
    counts: int  # tokens that each expert of each layer received
    logits: int | None  # the gates', where the rank sampled them


class Recorder:
    """Around one thermoe.engine.rank.Rank."""

    def __init__(self, rank, clock=time.monotonic):
        from thermoe.plan import HEADER
        self._rank, self._clock, self._header = rank, clock, HEADER.size
        self._steps, self._plans, self._first = [], {}, None
        self._begin, self._release = rank.begin, rank._release
        rank.begin, rank._release = self._begin_noted, self._release_noted

    def end(self):
        """The steps, those that the rank still holds included: reports that nobody has taken stay where they are."""
        rank = self._rank
        if rank.buffers.device.type == "cuda":
            import torch
            torch.cuda.synchronize(rank.buffers.device)
        with rank._lock:
            rank._collect()
            for flight in rank._done:
                self._note(flight)
            del rank.begin, rank._release  # the class's own again
        return self._steps

    def _begin_noted(self, order, tokens):
        if order is not None and self._first is None:
            self._first = order.number
        if order is not None and order.block is not None:
            self._plans[order.version] = zlib.crc32(memoryview(order.block)[self._header:])
        self._begin(order, tokens)

    def _release_noted(self, flight):
        self._note(flight)  # the rank holds its lock
        self._release(flight)

    def _note(self, flight):
        if flight.number == 0 or self._first is None or flight.number < self._first:
            return  # nobody ordered it, or it began before the recording: a rank may still hold it
        logits = self._rank._logits(flight)
        self._steps.append(Step(
            number=flight.number, at=self._clock(), version=flight.version, plan=self._plans.get(flight.version),
            counts=zlib.crc32(flight.counts.numpy()), logits=None if logits is None else zlib.crc32(logits.values)))


def start(worker):
    """Records from the next step on. Raises AttributeError where the plug-in is not there."""
    rank = worker.thermoe_rank
    rank.recorder = Recorder(rank)


def stop(worker):
    """The rank's steps since `start`, as tuples."""
    return [tuple(step) for step in vars(worker.thermoe_rank).pop("recorder").end()]


def compare(ranks):
    """ranks: each one's steps. Those that all have seen are held against the first rank's."""
    seen = [{step.number: step for step in steps} for steps in ranks]
    numbers = sorted(set.intersection(*map(set, seen)))
    rows = [[steps[number] for steps in seen] for number in numbers]
    differ = [(row[0].number, names) for row in rows if (names := differing(row))]
    ours = [row[0] for row in rows]
    changes = sum(before.version != after.version for before, after in zip(ours, ours[1:]))
    seconds = ours[-1].at - ours[0].at if ours else 0.0
    return {
        "ranks": len(ranks), "seconds": round(seconds, 3), "steps_compared": len(rows),
        "steps_with_logits_compared": sum(all(step.logits is not None for step in row) for row in rows),
        "versions": len({step.version for step in ours}), "changes": changes,
        "changes_per_s": changes / seconds if seconds > 0 else None,
        "different_plans": len({step.plan for step in ours if step.plan is not None}),
        "steps_that_differ": len(differ),
        "first_that_differ": [{"number": number, "in": names} for number, names in differ[:SHOWN]],
        "steps_of_one_rank_only": len(set.union(*map(set, seen))) - len(rows)}


def differing(row):
    """In what the ranks' accounts of one step differ. Logits count where the ranks have them."""
    names = [name for name in ("version", "plan", "counts") if len({getattr(step, name) for step in row}) > 1]
    return names + (["logits"] if len({step.logits for step in row if step.logits is not None}) > 1 else [])


def alike(compared):
    """Whether something was compared, and nothing differed."""
    return compared["steps_compared"] > 0 and compared["steps_that_differ"] == 0
