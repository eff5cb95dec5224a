#!/usr/bin/env python3
"""What the rig makes of a guest that passes, fails, hangs, ends or says too little; a shell plays the machine."""

import pathlib
import signal
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from rig.boots import boot_all
from rig.machine import Machine
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
