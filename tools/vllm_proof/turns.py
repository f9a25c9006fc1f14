# SPDX-License-Identifier: Apache-2.0
"""Turns: which there are and which are left, and how one after the other runs on one engine."""
import os
import pathlib
import random
import sys

import figures
from arrivals import poisson
from kept_mass import kept_mass
from run_folders import BadInput, read_json, write_json
from strategies import STOCK, settings

COSTS = "costs.json"  # the cost model, beside the settings file
TAIL_S = 12.0  # after the last turn: its requests finish, its figures are written


class Ended(Exception):
    """Ctrl-C, or the end of the machine's time."""


def turn_path(folder, part, round_, strategy):
    return folder / "turns" / f"{part}-{round_}-{strategy}.json"


def finished_turn(folders, part, round_, strategy):
    """A turn's file that is whole; None: it is still to run."""
    for folder in folders:
        path = turn_path(folder, part, round_, strategy)
        if path.exists() and (turn := read_json(path)).get("complete") is True:
            return turn
    return None


def order_of_round(strategies, round_, seed):
    """The first round in the order of their names in the table, each further one in an order drawn with the seed."""
    ordered = list(strategies)
    if round_ > 1:
        random.Random(f"order {seed} {round_}").shuffle(ordered)
    return ordered


def targets_of(stock, cap_share, where):
    """(power cap, limit on the time between tokens) that a stock turn gives its round. Raises BadInput where it is not there."""
    if stock is None:
        raise BadInput(f"{where}: no finished stock turn of this round, from which cap and limit come; run --side stock "
                       "first, or name its folder by --have")
    watts, limit = stock["power"]["mean_without_tenant_w"], stock["between_tokens"]["decode_p99_ms"]
    if watts is None or limit is None:
        raise BadInput(f"{where}: the stock turn has no {'watts' if watts is None else 'time between tokens'}; run it again")
    return cap_share * watts, limit


class Plan:
    """What is left to run, within a time."""

    def __init__(self, options, part):
        self.part, self.options = part, options
        self.folders = [options.out, *options.have]
        names = [STOCK] if options.side == "stock" else options.strategies
        self.turns = [(round_, name) for round_ in options.rounds for name in order_of_round(names, round_, options.seed)
                      if finished_turn(self.folders, part, round_, name) is None]

    def stock(self, round_):
        return finished_turn(self.folders, self.part, round_, STOCK)

    def targets(self, round_):
        return targets_of(self.stock(round_), self.options.cap_share, f"{self.part}, round {round_}")

    def fits(self, now):
        """`now`: in seconds of the Unix epoch, as --until is."""
        options = self.options
        return options.until is None or now + options.warm + options.seconds + TAIL_S <= options.until


class Pending:
    """A turn that is measured, some of whose requests are under way: they finish while the next one warms up."""

    def __init__(self, path, turn, requests, window, limit, mass):
        self.path, self.turn, self.requests, self.window, self.limit, self.mass = path, turn, requests, window, limit, mass

    def served(self):
        return all(request.finished for request in self.requests)

    def write(self):
        self.turn["requests"] = figures.requests(self.requests, self.window, self.limit)
        self.turn["kept"] = self.mass.result() if self.mass else None
        self.turn["complete"] = True
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.path, self.turn)
        print(said(self.turn), file=sys.stderr, flush=True)


class Turns:
    """Runs them. `watch` and `pool` are of an engine under the plug-in: what its ranks report, and a process for sums."""

    def __init__(self, options, model, plan, server, meter, tenant, watch, pool, engine_facts):
        self.options, self.model, self.plan, self.server = options, model, plan, server
        self.clock, self.sleep = server.clock, server.sleep
        self.meter, self.tenant, self.watch, self.pool, self.facts = meter, tenant, watch, pool, engine_facts
        self.pending = None
        self.stop = False
        self.number = 0

    def run(self, round_, strategy):
        options, stock, asked, told = self.options, None, figures.Asked(), None
        if strategy != STOCK:
            stock = self.plan.stock(round_)
            asked = figures.Asked(*self.plan.targets(round_))
            told = self.ask(strategy, asked)
        begun = self.clock()
        start, third = begun + options.warm, options.seconds / 3
        window = figures.Window(begun=begun, start=start, on=start + third, off=start + 2 * third, end=start + options.seconds)
        self.server.take_steps()
        if self.watch:
            self.watch.take()
        self.number += 1
        times = poisson(options.rate, options.warm + options.seconds, f"{options.seed} {round_}")
        requests = self.server.serve(self.number, times, lambda i: f"{round_}.{i}", window.end, lambda: self.between_steps(window))
        if self.tenant:
            self.tenant.set(False)
        steps = self.server.take_steps()
        reports, samples = self.watch.take() if self.watch else ([], [])
        self.sleep(0.25)  # the counter's next reading ends the window
        turn = {"schema": 1, "part": self.plan.part, "round": round_, "strategy": strategy, "place": self.number,
                "settings": told, "stock_card": stock and stock["engine"]["card"], "engine": self.facts,
                **figures.turn(requests, steps, self.meter.readings(), reports, window, asked)}
        if self.pending:  # its requests have long finished: a turn is longer than a request
            self.pending.write()
        limit = asked.between_tokens_ms or turn["between_tokens"]["decode_p99_ms"]  # of stock its own, which is the round's
        self.pending = Pending(turn_path(options.out, self.plan.part, round_, strategy), turn, requests, window, limit,
                               self.kept(samples, window))

    def ask(self, strategy, asked):
        """Changes the engine's settings file. Returns what it says."""
        told = settings_of(self.options, self.model, strategy, self.options.power_aim * asked.power_w,
                              self.options.latency_aim * asked.between_tokens_ms)
        write_json(pathlib.Path(os.environ["THERMOE_CONFIG"]), told)
        return told

    def kept(self, samples, window):
        measured = [(s.at, s.number, s.tokens, s.block, s.values, s.dtype) for s in samples if s.at > window.start]
        return self.pool.submit(kept_mass, measured, self.watch.facts.router) if measured and self.pool else None

    def between_steps(self, window):
        if self.stop:
            raise Ended
        if self.tenant:
            self.tenant.set(window.on <= self.clock() < window.off)
        if self.pending and self.pending.served() and (self.pending.mass is None or self.pending.mass.done()):
            self.finish_pending()

    def finish_pending(self):
        """Writes the last turn's file, unless requests of it are under way."""
        if self.pending and self.pending.served():
            self.pending.write()
            self.pending = None

    def end(self):
        """The last turn's requests, too."""
        self.server.finish()
        self.finish_pending()


def settings_of(options, model, strategy="lambda0", power_w=None, between_tokens_ms=None):
    """What the settings file says of a strategy; an engine starts with that of none."""
    return settings(strategy, power_w=power_w, between_tokens_ms=between_tokens_ms, cost_model=COSTS,
                    costed_as=model["costed_as"], prefill_token_limit=options.prefill_limit, control=options.control)


def said(turn):
    power, tokens, served, mass = turn["power"], turn["between_tokens"], turn["requests"], turn["kept"] or {}
    words = {"W": power["mean_w"], "x cap": power.get("mean_over_cap"), "violations": power.get("violations_without_tenant"),
             "with tenant": power.get("violations_with_tenant"), "settled s": power.get("settling_s"),
             "p50 ms": tokens["decode_p50_ms"], "p99 ms": tokens["decode_p99_ms"], "D": turn["experts"]["active_experts"],
             "kept": mass.get("kept_mass"), "J/token": turn["joules_per_token"]}
    numbers = ", ".join(f"{name} {value:.4g}" for name, value in words.items() if value is not None)
    return (f"vllm_proof: {turn['part']} round {turn['round']} {turn['strategy']}: {numbers}, requests "
            f"{served['finished']}/{served['asked']}")
