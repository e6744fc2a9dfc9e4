"""The number of examples of property tests: some in each run, many in `.ci/long`."""

from typing import Final

from hypothesis import HealthCheck, settings

USUAL: Final = 40  # examples of a property test that states no number
FEW: Final = 8  # on other Pythons, which the same tests run on
LONG: Final = 2_000

for name, number in (("odds", USUAL), ("few", FEW), ("long", LONG)):
    # No deadline for an example: the machine may be busy.
    settings.register_profile(
        name,
        max_examples=number,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
    )


def examples(usual: int) -> int:
    """Return `usual`, scaled up under the profile `long` and down under `few`."""
    return max(1, usual * settings().max_examples // USUAL)
