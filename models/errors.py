"""What can go wrong with a model.

ModelError
├── ModelMissing      weights are not where they should be
├── ModelDamaged      weights do not match their SHA-256
├── DeviceUnavailable a device was asked for that this machine lacks
└── Overloaded        the pool dropped the job: too late or too many
"""

from __future__ import annotations


class ModelError(Exception):
    """A model could not do its work."""


class ModelMissing(ModelError):
    """Weights are not where they should be; the message says how to get them."""


class ModelDamaged(ModelError):
    """Weights do not match the SHA-256 in the catalogue."""


class DeviceUnavailable(ModelError):
    """The configured device is not on this machine."""


class Overloaded(ModelError):
    """The pool refused or dropped a job because it would have come too late."""
