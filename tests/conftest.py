"""What all tests share."""

from hypothesis import settings

# Machines differ in speed; what is tested is the result.
settings.register_profile("droulette", deadline=None)
settings.load_profile("droulette")
