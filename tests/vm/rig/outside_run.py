"""A run of a script in guests that are served from this machine: one thread for each guest, which boots it and answers it."""

import threading

from rig import initramfs
from rig.boots import boot_all
from rig.guests import Guest
from rig.machine import Outcome
from rig.outside import Outside, Refused
from rig.parts import Broken, Skip, private_program, program

QEMUS = {"window": private_program, "system": program}
WORST = ("fail", "skip", "pass")


class Prefixed:
    """Shows whole lines, each with the guest that said it."""

    def __init__(self, show, prefix):
        self.show, self.prefix, self.rest = show, prefix, b""

    def echo(self, data):
        *lines, self.rest = (self.rest + data).split(b"\n")
        self.show(b"".join(self.prefix + line + b"\n" for line in lines))


class OutsideRun:
    def __init__(self, options, script, kernel, folder):
        private_program("virtiofsd")  # or the test is skipped
        self.options, self.script, self.kernel = options, script, kernel
        if options.times is not None:
            raise Broken(f"{script.name} has no power cuts at random moments")
        archive = folder / "initramfs.cpio"
        initramfs.build(archive, options.bin, kernel, script)
        try:
            self.outside = Outside(folder, options.bin.resolve(), options.media, script, options.back_end)
        except Refused as why:
            raise Broken(f"no region: {why}") from why
        self.guests = {number: self.guest(number, archive) for number in range(1, script.guests + 1)}
        self.outside.machines = self.guests
        self.consoles = {guest: b"" for guest in range(1, script.guests + 1)}
        self.outcomes = {}

    def guest(self, number, archive):
        options = self.options
        echo = options.echo if self.script.guests == 1 else Prefixed(options.echo, f"{number}> ".encode()).echo
        return Guest(
            self.kernel,
            archive,
            list(self.outside.devices(number)),
            lambda line: self.outside.answer(number, line),
            echo,
            options.cpus,
            options.count,
            self.script.reboots,
            QEMUS[options.qemu]("qemu-system-x86_64"),
        )

    def boot(self, guest, number):
        self.outside.start_others(guest)
        environment = {
            "VM_SCRIPT": self.script.name,
            "VM_MEDIA": self.options.media,
            "VM_RELEASE": self.kernel.release,
            "VM_BOOT": number,
            "VM_GUEST": guest,
        }
        machine = self.guests[guest]
        outcome = machine.boot(environment, self.options.limit, self.script.memory)
        self.consoles[guest] += machine.console
        return outcome

    def boots(self, guest):
        """One guest's; what went wrong becomes its outcome, so that nobody waits for a thread that is gone."""
        try:
            outcome = boot_all(self.script.boots, lambda number: self.boot(guest, number))
        except (Broken, OSError) as problem:
            outcome = Outcome("fail", str(problem))
        if outcome.word == "fail" and self.script.guests > 1:
            outcome.text = f"guest {guest}: {outcome.text}"
        self.outcomes[guest] = outcome
        if outcome.word == "fail":
            self.outside.give_up()

    def outcome(self):
        """The worst of all guests."""
        guests = range(1, self.script.guests + 1)
        threads = [threading.Thread(target=self.boots, args=(guest,), daemon=True) for guest in guests]
        try:
            self.outside.start()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            self.outside.close()
        return min(self.outcomes.values(), key=lambda outcome: WORST.index(outcome.word))

    def console(self):
        """Of all guests, one after the other, then what the daemon said."""
        heads = [f"-- guest {guest}\n".encode() + said for guest, said in self.consoles.items()]
        said = self.outside.said()
        return b"".join([*heads, f"-- outside\n{said}\n".encode() if said else b""])

    def summary(self):
        return None
