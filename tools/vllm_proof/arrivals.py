# SPDX-License-Identifier: Apache-2.0
"""Requests that arrive whether or not they are served, and what an engine made of them.

The engine is anything with vLLM's `add_request`, `step` and `has_unfinished_requests`; the clock is given.
"""
import dataclasses
import random


@dataclasses.dataclass
class Request:
    """One request of a turn. Times are the clock's; None: not yet."""
    name: str  # of the round, the same under every strategy
    due: float
    first: float | None = None  # its first token came
    last: float | None = None
    tokens: int = 0
    finished: bool = False

    def between_tokens(self):
        """Mean time between its tokens; None for one that has not finished."""
        return (self.last - self.first) / (self.tokens - 1) if self.finished and self.tokens > 1 else None


@dataclasses.dataclass(frozen=True)
class Step:
    """One step as a client sees it: tokens came."""
    at: float
    tokens: int
    mixed: bool  # it read a prompt: among the tokens is a request's first
    gaps: tuple[float, ...]  # time since the token before, of each request that had one


def poisson(rate, seconds, seed):
    """Arrival times within 0 .. seconds, drawn with the seed: no strategy changes them."""
    drawn, at = random.Random(f"arrivals {seed}"), 0.0
    times = []
    while (at := at + drawn.expovariate(rate)) < seconds:
        times.append(at)
    return times


def prompt(name, tokens, vocabulary):
    drawn = random.Random(f"prompt {name}")
    return [drawn.randrange(1000, vocabulary - 2000) for _ in range(tokens)]


def number_of(request_id):
    """The name of a request of a turn's in an engine's id, TURN/NAME or, as vLLM makes it of that, TURN/NAME-XXXXXXXX."""
    return request_id.rpartition("/")[2].partition("-")[0]


class Server:
    """Steps an engine under the requests of one turn after the other; those of the last that still run go on meanwhile."""

    def __init__(self, engine, add, clock, sleep):
        """`add(engine id, name)` gives the engine a request."""
        self.engine, self.add, self.clock, self.sleep = engine, add, clock, sleep
        self.under_way = {}  # id: Request
        self.steps = []

    def serve(self, turn, times, name_of, until, at=None):
        """Serves a turn's arrivals, `times` from now on, to the time `until`; `at()` is called before each step. Returns
        its requests, which later calls go on serving."""
        begun = self.clock()
        requests = [Request(name_of(i), begun + time) for i, time in enumerate(times)]
        coming = iter(requests)
        following = next(coming, None)
        while (now := self.clock()) < until:
            if at is not None:
                at()
            while following is not None and following.due <= now:
                self._add(turn, following)
                following = next(coming, None)
            if self.under_way:
                self._step()
            else:
                ends = until if following is None else min(until, following.due)
                self.sleep(min(max(ends - self.clock(), 0.0), 0.005))
        return requests

    def finish(self, at=None):
        """Serves what is under way, and nothing new."""
        while self.under_way:
            if at is not None:
                at()
            self._step()

    def take_steps(self):
        steps, self.steps = self.steps, []
        return steps

    def _add(self, turn, request):
        key = f"{turn}/{request.name}"
        self.add(key, request.name)
        self.under_way[key] = request

    def _step(self):
        outputs = self.engine.step()
        now = self.clock()
        tokens, mixed, gaps = 0, False, []
        for output in outputs:
            request = self.under_way.get(output.request_id)
            if request is None:
                continue  # not of a turn
            came = len(output.outputs[0].token_ids)
            if came:
                if request.first is None:
                    request.first, mixed = now, True
                else:
                    gaps.append(now - request.last)
                request.last = now
                request.tokens += came
                tokens += came
            if output.finished:
                request.finished = True
                del self.under_way[output.request_id]
        if tokens:
            self.steps.append(Step(now, tokens, mixed, tuple(gaps)))
