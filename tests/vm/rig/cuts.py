"""Power cuts at random moments: what the guest said was done, and when its power goes."""

import random
import re
import time

from rig.parts import Broken

# Lines of tests/vm/cut_worker.cpp and tests/vm/guest/cuts.sh; whole ones, since a cut may fall into one.
DONE = re.compile(rb"@done (\d+) (\d+)\r?\n")
MOUNTING = re.compile(rb"@cut mounting\r?\n")
FOUND = re.compile(r"^vm: worker \d+ at \d+, (\S+) .*: (not done|half done|done|wrong)$", re.MULTILINE)
MOST_OPERATIONS = 250  # of all workers between two cuts
ONE_IN = 8  # cuts falls into the mount and the recovery


class Log:
    """How many operations each worker had done when it was heard last, kept outside the machine that loses its power."""

    def __init__(self, workers):
        self.done = [0] * workers
        self.total = 0
        self.read = 0  # bytes of this boot's console

    def begin_boot(self):
        self.read = 0

    def take(self, console):
        """Adds what came since."""
        for line in DONE.finditer(console, self.read):
            worker, number = int(line.group(1)), int(line.group(2))
            self.read = line.end()
            if self.done[worker : worker + 1] == [number]:
                continue  # looked at again
            if worker >= len(self.done) or number != self.done[worker] + 1:
                raise Broken(f"the log has a gap: worker {worker} was at {self.done[worker:worker + 1]} and says {number}")
            self.done[worker] = number
            self.total += 1


class Moment:
    """When the power goes in one boot: calling it with the console gives the seconds that are left, or None."""

    def __init__(self, log, dice):
        self.log, self.dice = log, dice
        self.in_mount = dice.randrange(ONE_IN) == 0
        self.total = log.total + dice.randint(1, MOST_OPERATIONS)

    def __call__(self, console):
        self.log.take(console)
        if self.in_mount:
            return self.dice.uniform(0, 1) if MOUNTING.search(console) else None
        # Within the operations that follow.
        return self.dice.uniform(0, 0.03) if self.log.total >= self.total else None


class Cuts:
    """So many power cuts on one region, which goes on after each; then a boot that looks and unmounts."""

    def __init__(self, workers, times, seed):
        self.times, self.seed = times, seed
        self.log = Log(workers)
        self.dice = random.Random(seed)
        self.found = {"not done": 0, "half done": 0, "done": 0, "wrong": 0}
        self.cut = self.in_mount = 0

    def boot(self, boot, number):
        """`boot(environment, moment)` boots the machine and returns outcome and console."""
        last = number > self.times
        environment = {
            "VM_SEED": self.seed,
            "VM_DONE": ",".join(map(str, self.log.done)),
            "VM_LAST": int(last),
        }
        moment = None if last else Moment(self.log, self.dice)
        self.log.begin_boot()
        outcome, console = boot(environment, moment)
        self.log.take(console)
        for _, state in FOUND.findall(console.decode(errors="replace").replace("\r", "")):
            self.found[state] += 1
        if outcome.word == "power-cut":
            self.cut += 1
            self.in_mount += moment.in_mount
        return outcome

    def summary(self):
        found = ", ".join(f"{count} {state}" for state, count in self.found.items())
        return (
            f"{self.cut} power cuts, {self.in_mount} of them while it was mounted; {self.log.total} operations; "
            f"of those under way: {found}; seed {self.seed}"
        )


def any_seed(given):
    return given if given is not None else time.time_ns() % 1_000_000
