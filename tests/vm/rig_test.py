#!/usr/bin/env python3
"""What the rig makes of a guest that passes, fails, hangs, ends or says too little; a shell plays the machine."""

import pathlib
import random
import signal
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from rig.boots import boot_all
from rig.cuts import Cuts, Log, Moment
from rig.guests import Guest
from rig.machine import Machine, Outcome
from rig.outside import Outside
from rig.parts import Broken, Script


class ShellMachine(Machine):
    """"boots" a shell command instead of QEMU; `environment` is the command."""

    def __init__(self):
        super().__init__(None, None, None, lambda data: None)

    def command(self, environment, megabytes):
        return ["/bin/sh", "-c", environment]


def outcome_of(*commands, limit=30):
    """Of a script whose boots are these commands."""
    machine = ShellMachine()
    return boot_all(len(commands), lambda number: machine.boot(commands[number - 1], limit, 0))


class Verdicts(unittest.TestCase):
    def check(self, outcome, word, text=""):
        self.assertEqual(outcome.word, word, outcome.text)
        self.assertIn(text, outcome.text)

    def test_pass(self):
        self.check(outcome_of("echo hello; echo '@vm pass'"), "pass")

    def test_skip(self):
        self.check(outcome_of("echo '@vm skip needs a moon'"), "skip", "needs a moon")

    def test_fail(self):
        self.check(outcome_of("echo '@vm fail line 3 is lost'; echo '@vm pass'"), "fail", "line 3 is lost")

    def test_a_machine_that_ends_without_a_verdict(self):
        self.check(outcome_of("echo 'Kernel panic - not syncing'"), "fail", "without a verdict")

    def test_half_a_verdict(self):
        self.check(outcome_of("printf '@vm pass'"), "fail", "without a verdict")
        self.check(outcome_of("echo '@vm passed away'"), "fail", "without a verdict")

    def test_a_hang(self):
        self.check(outcome_of("exec sleep 100", limit=0.2), "fail", "no verdict in time")

    def test_two_boots(self):
        self.check(outcome_of("echo '@vm next-boot'", "echo '@vm pass'"), "pass")
        self.check(outcome_of("echo '@vm power-cut'; exec sleep 100", "echo '@vm pass'"), "pass")

    def test_a_pass_before_the_last_boot(self):
        self.check(outcome_of("echo '@vm pass'", "echo '@vm pass'"), "fail", "declares 2")

    def test_a_power_cut_in_the_last_boot(self):
        self.check(outcome_of("echo '@vm power-cut'; exec sleep 100"), "fail", "declares 1")


class PowerCut(unittest.TestCase):
    def test_nothing_runs_after_the_line(self):
        machine = ShellMachine()
        machine.boot("echo '@vm power-cut'; sleep 5; echo '@vm pass'", 30, 0)
        self.assertEqual(machine.qemu.returncode, -signal.SIGKILL)
        self.assertNotIn(b"pass", machine.console)

    def test_a_clean_end_is_waited_for(self):
        with tempfile.TemporaryDirectory() as folder:
            late = pathlib.Path(folder) / "late"
            machine = ShellMachine()
            machine.boot(f"echo '@vm next-boot'; sleep 0.5; touch {late}", 30, 0)
            self.assertEqual(machine.qemu.returncode, 0)
            self.assertTrue(late.exists())


class RandomCuts(unittest.TestCase):
    def test_the_log_counts_whole_lines(self):
        log = Log(2)
        log.take(b"hello\n@done 0 1\r\n@done 1 1\n@done 0 2\r\n@done 1 2")
        self.assertEqual((log.done, log.total), ([2, 1], 3))
        log.take(b"hello\n@done 0 1\r\n@done 1 1\n@done 0 2\r\n@done 1 2\n@done 0 2\n@do")
        self.assertEqual((log.done, log.total), ([2, 2], 4))
        log.begin_boot()
        log.take(b"@done 1 3\n")
        self.assertEqual(log.done, [2, 3])

    def test_a_gap_in_the_log_is_a_fault_of_the_rig(self):
        for line in (b"@done 0 2\n", b"@done 1 1\n", b"@done 0 1\n@done 0 3\n"):
            with self.assertRaisesRegex(Broken, "gap"):
                Log(1).take(line)

    def boot_cut(self, command, moment):
        machine = ShellMachine()
        return machine.boot(command, 30, 0, moment), machine

    def test_the_power_goes_at_the_moment_and_what_was_said_until_then_counts(self):
        log = Log(1)
        moment = Moment(log, random.Random(1))
        moment.in_mount, moment.total = False, 2
        outcome, machine = self.boot_cut("for i in 1 2 3; do echo @done 0 $i; done; exec sleep 100", moment)
        self.assertEqual((outcome.word, machine.qemu.returncode), ("power-cut", -signal.SIGKILL))
        log.take(machine.console)
        self.assertEqual(log.done, [3])

    def test_a_guest_that_fails_before_the_moment_has_failed(self):
        outcome, _ = self.boot_cut("echo go; echo '@vm fail it is lost'; exec sleep 100", lambda console: 0.3)
        self.assertEqual((outcome.word, outcome.text), ("fail", "it is lost"))

    def test_the_next_boot_hears_what_was_done_and_the_last_is_not_cut(self):
        heard = []

        def boot(environment, moment):
            heard.append((environment["VM_DONE"], environment["VM_LAST"], moment is None))
            numbers = b"@done 1 1\n@done 1 2\n" if len(heard) == 1 else b"vm: worker 1 at 2, write a b: half done\r\n"
            return Outcome("pass" if moment is None else "power-cut"), numbers

        cuts = Cuts(2, 2, 7)
        self.assertEqual(boot_all(3, lambda number: cuts.boot(boot, number)).word, "pass")
        self.assertEqual(heard, [("0,0", 0, False), ("0,2", 0, False), ("0,2", 1, True)])
        self.assertIn("2 half done", cuts.summary())
        self.assertIn("2 power cuts", cuts.summary())

    def test_cuts_that_did_not_come_are_not_counted(self):
        cuts = Cuts(1, 5, 7)
        self.assertEqual(boot_all(6, lambda number: cuts.boot(lambda *_: (Outcome("fail", "lost"), b""), number)).word, "fail")
        self.assertIn("0 power cuts", cuts.summary())


class ShellGuest(Guest):
    """A shell that talks to us where a guest has its second serial port."""

    def __init__(self, answer):
        super().__init__(None, None, [], answer, lambda data: None)

    def command(self, environment, megabytes):
        return ["/bin/bash", "-c", environment.replace("PORT", str(self.inherited[0]))]


class Conversation(unittest.TestCase):
    def boot(self, command, answer=lambda line: f"ok {line.upper()}"):
        guest = ShellGuest(answer)
        return guest.boot(command, 30, 0), guest

    def test_the_guest_gets_the_answer(self):
        outcome, guest = self.boot("echo one two >&PORT; read -r answer <&PORT; echo \"@vm fail $answer\"")
        self.assertEqual((outcome.word, outcome.text), ("fail", "ok ONE TWO"))

    def test_what_was_asked_is_shown_beside_what_the_guest_says(self):
        _, guest = self.boot("printf he; echo one >&PORT; read -r answer <&PORT; echo llo; sleep 0.1; echo '@vm pass'")
        self.assertIn(b"hello\noutside: one -> ok ONE\n", guest.console)

    def test_a_guest_that_ends_while_it_waits(self):
        outcome, _ = self.boot("echo one >&PORT; kill -9 $$", lambda line: time.sleep(0.3) or "ok")
        self.assertEqual(outcome.word, "silent")

    def test_a_guest_that_asks_nothing(self):
        self.assertEqual(self.boot("echo '@vm pass'")[0].word, "pass")


class Words(unittest.TestCase):
    """What Outside makes of a line, without a region."""

    def setUp(self):
        self.outside = Outside.__new__(Outside)
        self.outside.told, self.outside.failed, self.outside.lock = {}, False, threading.Condition()

    def test_what_one_guest_tells_another_hears(self):
        threading.Timer(0.1, self.outside.answer, (1, "tell ready 7")).start()
        self.assertEqual(self.outside.answer(2, "wait ready"), "ok 7")
        self.assertEqual(self.outside.answer(2, "told ready"), "ok yes")
        self.assertEqual(self.outside.answer(2, "told other"), "ok no")

    def test_nobody_waits_for_a_guest_that_has_failed(self):
        threading.Timer(0.1, self.outside.give_up).start()
        self.assertRegex(self.outside.answer(2, "wait ready"), "^error another guest has failed$")

    def test_what_cannot_be_done_is_one_line(self):
        for line in ("", "dance", "tell", "tell a b c d", "run 'half"):
            self.assertRegex(self.outside.answer(1, line), r"^error [^\n]+$")


class Scripts(unittest.TestCase):
    def test_a_script_must_declare_media_and_boots(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "mine.sh"
            path.write_text("# media: ext4-dax\npass\n")
            with self.assertRaisesRegex(Broken, "boots"):
                Script(path)
            path.write_text("# media: ext4-dax\n# boots: 2\npass\n")
            self.assertEqual(Script(path).boots, 2)


if __name__ == "__main__":
    unittest.main()
