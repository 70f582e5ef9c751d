"""What every decoding helper runs at its start while `tests.tasks.night.without_pauses` holds: retries come at once."""

from tasks import storage

storage.FIRST_DELAY_S = 0.0
