"""The boots of one guest script, and what they come to together."""

from rig.machine import Outcome

MORE = ("next-boot", "power-cut")


def boot_all(boots, boot):
    """Calls boot(1), boot(2), …, which return outcomes, until a verdict; it must come in the last of `boots`."""
    for number in range(1, boots + 1):
        outcome = boot(number)
        if outcome.word not in MORE:
            break
    if outcome.word == "pass" and number < boots:
        return Outcome("fail", f"passed in boot {number}, but declares {boots}")
    if outcome.word in MORE:
        return Outcome("fail", f"wants another boot, but declares {boots}")
    if outcome.word in ("pass", "skip"):
        return outcome
    return Outcome("fail", f"boot {number} of {boots}: {outcome.text or 'the guest does not say why'}")
